"""The learner: what others say of leaders, and whom this node follows.

Promise: a leader is followed from its first accepted heartbeat until its lock runs out or its own
word frees it, whoever else speaks meanwhile. What each message may change is decided by the
acceptor; here the answer is given, and the next election planned.
"""

from __future__ import annotations

from typing import assert_never

from followtheleader.core.acceptor import Answer, Lock, Pledge
from followtheleader.core.actions import Dropped, Restart, Unheard
from followtheleader.core.addresses import worth_telling
from followtheleader.core.context import Context
from followtheleader.core.doubles import DOUBLED_EVERY
from followtheleader.core.events import Received
from followtheleader.core.handover import Handovers
from followtheleader.core.meeting import Meeting
from followtheleader.core.messages import (
    Ack,
    Ask,
    Busy,
    Bye,
    Challenge,
    Handover,
    Header,
    Heartbeat,
    Hello,
    Nack,
    Pause,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.pausing import Pausing
from followtheleader.core.peers import Peer
from followtheleader.core.proposer import Proposer
from followtheleader.core.timing import lock_span
from followtheleader.core.types import (
    MAX_INCARNATION,
    MAX_TERM,
    NANOSECONDS,
    LeaderInfo,
    NodeId,
    Owner,
    Rank,
    Reason,
    Span,
    Term,
)

RESTART_WITHIN: Span = 60 * NANOSECONDS
"""A node that learns this long after its start that its identity lives on elsewhere is a clone."""
TAKEN_FOR: Span = 60 * NANOSECONDS
"""Nobody hears a node whose identity another has: it does not lead before it was told nothing of
that for so long."""

Said = (
    Heartbeat
    | Ack
    | Prepare
    | Promise
    | Nack
    | Busy
    | Challenge
    | Refute
    | Ask
    | Bye
    | Handover
    | Pause
)
"""What counts only from an incarnation that is verified."""


class Learner:
    """This node's ear: it asks the members whether a datagram counts, and acts on it."""

    def __init__(
        self,
        context: Context,
        proposer: Proposer,
        meeting: Meeting,
        handovers: Handovers,
        pausing: Pausing,
        *,
        may_restart: bool,
    ) -> None:
        self._c = context
        self._proposer = proposer
        self._meeting = meeting
        self._handovers = handovers
        self._pausing = pausing
        self._node = context.node
        self._restart_until = context.out.now + (RESTART_WITHIN if may_restart else 0)
        self._taken_told_at = -DOUBLED_EVERY

    def on_received(self, event: Received) -> None:
        """Act on a datagram, if its sender and its newness are proved."""
        c, members = self._c, self._c.membership
        if self._proposer.stopped:
            return
        header, message, source = event.header, event.message, event.source
        now, out = c.out.now, c.out.actions
        match message:
            case Hello():
                if members.greeted(header, message, source, now, out):
                    self._on_hello(header, message)
                else:
                    self._drop(event)
            case Release():
                if members.may_release(header):
                    self._on_release(header, message)
                else:
                    self._drop(event)
            case _:
                peer = members.speaker(header, source, now, out)
                if peer is not None and peer.compatible:
                    self._on_member_said(peer, message)
                else:
                    if peer is not None:
                        self._on_stranger_said(peer, message)
                    self._drop(event)
        if not self._proposer.idle and members.doubles.is_own(now):
            self._proposer.step_down(Reason.IDENTITY_TAKEN)

    def _drop(self, event: Received) -> None:
        """Say why the members did not let it pass."""
        sender = event.header.sender
        peer = self._c.membership.peers.get(sender.id)
        if peer is None or peer.owner.incarnation < sender.incarnation:
            reason = Unheard.UNVERIFIED
        elif peer.owner != sender:
            reason = Unheard.STALE
        elif isinstance(event.message, Release):
            reason = Unheard.REPEATED  # a last will is sent three times, word for word
        else:
            reason = Unheard.REPLAYED if peer.compatible else Unheard.INCOMPATIBLE
        self._c.out.add(Dropped(reason, sender, event.source))

    def _on_member_said(self, peer: Peer, message: Said) -> None:
        match message:
            case Heartbeat():
                self._on_heartbeat(peer, message)
            case Ack():
                self._proposer.on_ack(peer, message)
            case Prepare():
                self._on_prepare(peer, message)
            case Promise():
                self._proposer.on_promise(peer, message)
            case Nack():
                self._proposer.on_nack(message)
            case Busy():
                self._on_busy(peer, message)
            case Challenge():
                self._on_challenge(peer, message)
            case Refute():
                self._on_refute(peer, message)
            case Ask():
                self._on_ask(peer, message)
            case Handover():
                self._handovers.on_handover(peer, message)
            case Pause():
                self._pausing.on_pause(peer, message)
            case Bye():
                self._c.membership.departed(peer.owner, self._c.out.actions)
            case _:
                assert_never(message)

    def _on_stranger_said(self, peer: Peer, message: Said) -> None:
        """Whoever does not elect with us moves nothing here; but people want to know of it."""
        match message:
            case Heartbeat() if not peer.same_voters:
                self._c.membership.leads_others(peer, self._c.out.now, self._c.out.actions)
            case Bye():
                self._c.membership.departed(peer.owner, self._c.out.actions)

    def _on_hello(self, header: Header, hello: Hello) -> None:
        """A member may know of a pause, and of who led last."""
        peer = self._c.membership.peers.get(header.sender.id)
        known = peer is not None and peer.owner == header.sender and peer.compatible
        if known and peer is not None and hello.pause is not None:
            self._pausing.on_pause(peer, hello.pause)
        self._look_for_later_life(hello)

    def _look_for_later_life(self, hello: Hello) -> None:
        """A peer may have seen a later life of ours: our clock was set back, or we were cloned."""
        if not self._c.nonces.is_fresh(hello.echo, self._c.out.now):
            return
        self._c.agenda.hear_somebody()
        if not self._node.owner.incarnation < hello.seen < MAX_INCARNATION:
            return
        young = self._c.out.now < self._restart_until
        if young and self._proposer.idle and not self._c.agenda.stopping:
            self._c.out.add(Restart(hello.seen))
        else:
            self.yield_identity()

    def yield_identity(self) -> None:
        """Another node is heard in our place: to lead now is to lead nobody, beside others."""
        c, now = self._c, self._c.out.now
        c.membership.doubles.go_unheard(now + TAKEN_FOR)
        c.agenda.sit_out(TAKEN_FOR)
        self._proposer.step_down(Reason.IDENTITY_TAKEN, TAKEN_FOR)
        if now - self._taken_told_at < DOUBLED_EVERY:
            return
        self._taken_told_at = now
        c.out.note(
            "identity-taken",
            "another node is heard under this node's identity, and this one by nobody: two "
            "machines with one machine-id and one name? Give one of them another `node`, or a "
            "fresh /etc/machine-id; until then this one does not lead",
        )

    def _on_prepare(self, peer: Peer, prepare: Prepare) -> None:
        c = self._c
        if c.agenda.silent or not c.may_vote:
            return
        if prepare.after is not None:
            self._free(*prepare.after, successor=peer.owner.id)
        if self._proposer.leading:
            c.out.send(self._proposer.heartbeat(), peer)
            return
        if not c.pauses.allows(peer.owner.id, c.out.now):
            self._pausing.answer(peer)
            return
        # Who claims a term has given up its lower ones: nobody acts under two.
        self._free(peer.owner, prepare.term - 1, successor=peer.owner.id)
        until = c.out.now + c.node.timing.claim_patience
        pledge = Pledge(peer.owner, prepare.term, until, peer.priority)
        match c.acceptor.on_prepare(pledge, c.out.now):
            case Answer.YES:
                self._proposer.withdraw(0)
                if c.agenda.election_at is not None:
                    c.agenda.elect_after(until - c.out.now + c.agenda.skew())
                c.out.send(Promise(prepare.term), peer)
            case Answer.BUSY:
                self._answer_busy(peer, prepare.term)
            case Answer.CONTENDED:
                c.out.send(Nack(prepare.term, c.acceptor.max_term, contended=True), peer)
            case Answer.LOWER_TERM:
                c.out.send(Nack(prepare.term, c.acceptor.max_term, contended=False), peer)
            case _:
                pass

    def _answer_busy(self, peer: Peer, echo: int) -> None:
        """Name the leader that we are locked on, if we heard it ourselves."""
        c = self._c
        lock = c.acceptor.foreign(c.out.now)
        if lock is None or not lock.direct:
            return
        leader = c.membership.peers.get(lock.owner.id)
        known = leader is not None and leader.owner == lock.owner
        addresses = leader.addresses if leader is not None and known else ()
        c.out.send(
            Busy(
                echo=echo,
                leader=lock.owner,
                address=worth_telling(addresses, peer.address),
                term=lock.term,
                seq=lock.seq,
                remaining=lock.until - c.out.now,
                rank=lock.rank,
            ),
            peer,
        )

    def _on_heartbeat(self, peer: Peer, beat: Heartbeat) -> None:
        c = self._c
        if beat.pause is not None or c.pauses.number:
            self._pausing.compare(peer, beat.pause)
        if c.agenda.silent:
            self._on_hint(peer, beat)
            return
        if self._proposer.leading:
            ghost = self._node.quorum or c.acceptor.has_given_up(peer.owner, beat.term)
            if not ghost and self._meeting.must_yield(peer, beat):
                self._proposer.yield_to(_leader_info(peer, beat))
                self._on_heartbeat(peer, beat)
            return
        now = c.out.now
        if c.acceptor.renew(peer.owner, beat, peer.priority, now):
            self._acknowledge(peer, beat)
            return
        span = lock_span(beat.lease, beat.stop_timeout)
        rank = Rank(beat.support, -beat.tenure, peer.priority, peer.owner.id)
        lock = Lock(
            owner=peer.owner,
            term=beat.term,
            seq=beat.seq,
            until=now + span,
            rank=rank,
            span=span,
            established=beat.established,
        )
        match c.acceptor.on_heartbeat(lock, established=beat.established, now=now):
            case Answer.YES:
                self._on_locked(peer, beat, span)
            case Answer.REPEATED:
                self._acknowledge(peer, beat)
            case Answer.BUSY:
                if not self._node.quorum:
                    self._answer_busy(peer, beat.seq)
            case Answer.LOWER_TERM:
                c.out.send(Nack(beat.term, c.acceptor.max_term, contended=False), peer)
            case Answer.CONTENDED:
                c.out.send(Nack(beat.term, c.acceptor.max_term, contended=True), peer)
            case _:
                pass

    def _on_hint(self, peer: Peer, beat: Heartbeat) -> None:
        """In quarantine: follow without a lock, and leave the leader in peace when it ends."""
        if beat.established:
            self._c.pauses.follow(peer.owner.id, beat.term)
            self._c.roles.follow(_leader_info(peer, beat))
            self._c.agenda.hear_hint(lock_span(beat.lease, beat.stop_timeout))

    def _on_locked(self, peer: Peer, beat: Heartbeat, span: Span) -> None:
        c = self._c
        self._proposer.withdraw(0)
        c.acceptor.max_lock = max(c.acceptor.max_lock, span)
        c.agenda.hear_leader()
        if beat.established:
            self._follow(_leader_info(peer, beat))
        self._acknowledge(peer, beat)

    def _acknowledge(self, peer: Peer, beat: Heartbeat) -> None:
        if not self._c.may_vote:
            return
        # Disk before the word that raises it: a forgotten term lets tokens go back.
        self._c.disk.persist()
        self._c.out.send(Ack(beat.term, beat.seq, peer.owner.incarnation), peer)

    def _on_release(self, header: Header, release: Release) -> None:
        self._c.membership.resigned(header.sender)
        self._free(header.sender, release.term, successor=release.successor)
        self._pausing.on_release(header.sender, release)

    def _on_refute(self, peer: Peer, refute: Refute) -> None:
        """A later incarnation says that an earlier one of its own is dead."""
        if refute.old.id == peer.owner.id and refute.old.incarnation < peer.owner.incarnation:
            self._free(refute.old, MAX_TERM - 1, successor=0)

    def _on_challenge(self, peer: Peer, challenge: Challenge) -> None:
        if self._node.quorum:
            return
        if self._proposer.leading:
            self._c.out.send(self._proposer.heartbeat(challenge.nonce), peer)
        self._on_heartbeat(peer, challenge.heartbeat)

    def _on_ask(self, peer: Peer, ask: Ask) -> None:
        if self._proposer.leading:
            self._c.out.send(self._proposer.heartbeat(ask.nonce), peer)
        elif not self._c.agenda.silent:
            self._answer_busy(peer, ask.nonce)

    def _on_busy(self, peer: Peer, busy: Busy) -> None:
        if busy.leader.id == self._node.owner.id:
            self._deny_ghost(peer, busy)
        elif not self._node.quorum:
            leader = self._meeting.on_busy(peer, busy)
            if leader is not None:
                self._follow(leader)
        elif busy.address is not None:
            # No lock by hearsay; but a leader that we have never met is met by its address.
            self._c.membership.hear_of(busy.address, peer, self._c.out.now)

    def _deny_ghost(self, peer: Peer, busy: Busy) -> None:
        """Somebody is still locked on a life, or a tenure, of ours that is over."""
        proposer, c = self._proposer, self._c
        if c.roles.owes or proposer.lapsed is not None:
            return  # its job may still be running
        if busy.leader.incarnation < self._node.owner.incarnation:
            c.out.send(Refute(busy.leader, busy.term), peer)
        elif proposer.idle and busy.term <= c.disk.used_term:
            c.out.send(Release(busy.term), peer)

    # -- following

    def _follow(self, leader: LeaderInfo) -> None:
        self._c.agenda.election_at = None
        self._c.agenda.defers = True
        self._proposer.predecessor = None
        self._c.pauses.follow(leader.owner.id, leader.term)
        self._c.roles.follow(leader)
        self._handovers.watch()

    def lock_lost(self, lock: Lock, reason: Reason) -> None:
        """The lock on a leader ended; remember how many followed it."""
        # Early heartbeats were sent before everybody could have acknowledged one.
        counted = lock.direct and lock.seq > self._node.timing.forgiven + 1
        self._proposer.electorate = max(lock.rank.support - 1, 0) if counted else None
        self.lose_leader(reason)

    def lose_leader(self, reason: Reason) -> None:
        """Nobody is followed any more."""
        self._handovers.watch()
        self._c.agenda.hint_until = None
        if self._proposer.idle and not self._c.agenda.stopping and self._c.roles.leader is not None:
            self._c.roles.lose_leader(reason, self._c.acceptor.max_term)

    def _free(self, owner: Owner, term: Term, *, successor: NodeId) -> None:
        """``owner`` no longer acts under ``term``: if we were locked on it, an election begins."""
        if owner == self._node.owner:
            return  # only we know whether our job has ended
        c = self._c
        freed = c.acceptor.release(owner, term)
        leader = c.roles.leader
        hinted = c.agenda.hint_until is not None and leader is not None and leader.owner == owner
        if freed is not None:
            self.lock_lost(freed, Reason.RELEASED)
        elif hinted and leader is not None and leader.term <= term:
            self.lose_leader(Reason.RELEASED)
        else:
            return
        self._proposer.predecessor = (owner, term)
        if not self._proposer.idle:
            return
        if successor == self._node.owner.id:
            self._c.agenda.defers = False
            c.agenda.elect_after(0)
        elif successor:
            c.agenda.elect_after(c.node.timing.claim_patience + c.agenda.skew())
        else:
            c.agenda.elect_after(c.agenda.skew())


def _leader_info(peer: Peer, beat: Heartbeat) -> LeaderInfo:
    return LeaderInfo(peer.owner, peer.name, peer.address, beat.term, True)
