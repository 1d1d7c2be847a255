"""The election: who leads, decided from events and the clock we are handed.

Rule 1: `Election.step` is the only way in, and its list of actions the only way out.
Rule 2: nothing here sends, sleeps, logs, or asks what time it is.
Rule 3: deadlines come first. Every step, whatever its event, begins by asking what has run out.

A node is proposer, acceptor and learner at once. This file hands each event to where it belongs and
holds what a *follower* does; claiming and leading are in `followtheleader.core.proposer`, whom we
believe in `followtheleader.core.acceptor`, other leaders of an open group in
`followtheleader.core.meeting`. Start with the essay in `followtheleader.core`.
"""

from __future__ import annotations

import random
from typing import assert_never

from followtheleader.core.acceptor import FOREVER, Answer, Lock, Pledge
from followtheleader.core.actions import Action, Restart
from followtheleader.core.context import Context
from followtheleader.core.events import (
    AddressFound,
    Event,
    LinkChanged,
    Received,
    Settled,
    Started,
    StepDownRequested,
    StopRequested,
    StoreFailed,
    Woken,
)
from followtheleader.core.meeting import Meeting
from followtheleader.core.membership import Peer
from followtheleader.core.messages import (
    Ack,
    Ask,
    Busy,
    Bye,
    Challenge,
    Header,
    Heartbeat,
    Hello,
    Nack,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.node import Memory, Node
from followtheleader.core.proposer import Proposer
from followtheleader.core.snapshot import take_snapshot
from followtheleader.core.timing import lock_span
from followtheleader.core.types import (
    MAX_INCARNATION,
    MAX_TERM,
    NANOSECONDS,
    Instant,
    LeaderInfo,
    NodeId,
    Owner,
    Rank,
    Reason,
    Span,
    Term,
)
from followtheleader.core.view import View
from followtheleader.errors import ensure

RESTART_WITHIN: Span = 60 * NANOSECONDS
"""A node that learns this long after its start that its identity lives on elsewhere is a clone."""


class Election:
    """One node's part in one election; see `step`, `next_deadline` and `view`."""

    def __init__(
        self,
        node: Node,
        memory: Memory,
        rng: random.Random,
        now: Instant,
        job_running: bool = False,
    ) -> None:
        self.node = node
        self._born_at = now
        self._defers = True
        self._c = Context.create(node, memory, rng, now, job_running=job_running)
        self._proposer = Proposer(self._c)
        self._meeting = Meeting(self._c, self._proposer)

    # -- the only way in

    def step(self, event: Event, now: Instant) -> list[Action]:
        """Fold one event into the state; return what must be done, in order."""
        c = self._c
        ensure(now >= c.out.now, "the clock went backwards")
        due = self.next_deadline() if isinstance(event, Woken) else None
        c.out.begin(now)
        self._pass_deadlines()
        match event:
            case Received():
                self._on_received(event)
            case Woken():
                self._on_woken(event, late=now - due if due is not None and due < now else 0)
            case Started():
                self._on_started()
            case AddressFound():
                c.membership.suggest(event.address, now, configured=event.configured)
            case Settled():
                if c.roles.settle(event.change):
                    self._proposer.settled()
            case StoreFailed():
                c.disk.failed()
                if self.node.quorum:
                    self._proposer.disk_failed()
            case StepDownRequested():
                c.agenda.sit_out(event.sit_out)
                self._proposer.step_down(Reason.STEPPED_DOWN, event.sit_out)
            case LinkChanged():
                self._on_link(event.up)
            case StopRequested():
                self._on_stop()
            case _:
                assert_never(event)
        self._proposer.deposit_will()
        return c.out.actions

    def next_deadline(self) -> Instant | None:
        """Return the instant at which `Woken` must be handed in; None: nothing is due ever."""
        if self._proposer.stopped:
            return None
        c = self._c
        times = [
            *self._proposer.deadlines(),
            c.agenda.election_at or FOREVER,
            c.membership.next_deadline() or FOREVER,
            self._meeting.ask_at or FOREVER,
            c.agenda.hint_until or FOREVER,
            c.acceptor.next_deadline(),
        ]
        soonest = min(times)
        return soonest if soonest < FOREVER else None

    def view(self, now: Instant) -> View:
        """Return a snapshot for people, files and the simulator."""
        return take_snapshot(self._c, self._proposer, now)

    # -- time

    def _pass_deadlines(self) -> None:
        c = self._c
        self._proposer.pass_deadline()
        expired = c.acceptor.expire(c.out.now)
        if expired is not None and expired.owner != self.node.owner:
            c.membership.resigned(expired.owner)
            self._on_lock_lost(expired, Reason.EXPIRED)
            # Never in the same callback: what was buffered may renew it.
            c.agenda.elect_after_silence()
        if _is_due(c.agenda.hint_until, c.out.now):
            self._lose_leader(Reason.EXPIRED)

    def _on_started(self) -> None:
        c = self._c
        c.agenda.listen()
        c.membership.greet(c.out.now, c.out.actions)

    def _on_woken(self, event: Woken, late: Span) -> None:
        c = self._c
        now = c.out.now
        if late > self.node.timing.heartbeat and c.agenda.doubt(late):
            claim = self._proposer.claim
            if claim is not None and now >= claim.until:
                self._proposer.withdraw(c.agenda.skew())
        if _is_due(c.membership.next_deadline(), now):
            c.membership.sweep(now, c.out.actions)
        self._proposer.wake()
        self._meeting.wake()
        if _is_due(c.agenda.election_at, now):
            self._elect(event.wall_ms)

    def _elect(self, wall_ms: int) -> None:
        c = self._c
        c.agenda.election_at = None
        if not self._proposer.may_claim():
            return  # whatever stands in the way plans the next election when it goes
        pledge = c.acceptor.pledge(c.out.now)
        if pledge is not None and pledge.owner != self.node.owner:
            c.agenda.elect_after(pledge.until - c.out.now + c.agenda.skew())
        elif self._should_defer():
            c.agenda.elect_after(self.node.timing.claim_wait + c.agenda.skew())
        else:
            self._proposer.begin_claim(wall_ms)

    def _should_defer(self) -> bool:
        """Is a better candidate there? It may claim first; but it is waited for only once."""
        defers, self._defers = self._defers, False
        expected = self._c.membership.expected(self._c.out.now)
        return defers and any(
            peer.priority > self.node.priority
            and not peer.witness
            and (not self.node.quorum or peer.name in self.node.voters)
            for peer in (self._c.membership.peers[node] for node in expected)
        )

    def _on_stop(self) -> None:
        agenda, proposer = self._c.agenda, self._proposer
        if agenda.stopping:
            return
        agenda.stopping = True
        agenda.election_at = None
        proposer.step_down(Reason.STOPPED)
        proposer.leave()

    def _on_link(self, up: bool) -> None:
        """No carrier: nobody can hear us, so we do not lead (VRRP's fault). Then listen anew."""
        c = self._c
        if up == c.agenda.link_up:
            return
        c.agenda.link_up = up
        if not up:
            self._proposer.step_down(Reason.FAULT)
            c.agenda.election_at = None
        else:
            c.agenda.listen()
            c.membership.greet(c.out.now, c.out.actions)

    # -- following

    def _follow(self, leader: LeaderInfo) -> None:
        self._c.agenda.election_at = None
        self._defers = True
        self._proposer.predecessor = None
        self._c.roles.follow(leader)

    def _on_lock_lost(self, lock: Lock, reason: Reason) -> None:
        # Early heartbeats were sent before everybody could have acknowledged one.
        counted = lock.direct and lock.seq > self.node.timing.forgiven + 1
        self._proposer.electorate = max(lock.rank.support - 1, 0) if counted else None
        self._lose_leader(reason)

    def _lose_leader(self, reason: Reason) -> None:
        self._c.agenda.hint_until = None
        if self._proposer.idle and not self._c.agenda.stopping and self._c.roles.leader is not None:
            self._c.roles.lose_leader(reason, self._c.acceptor.max_term)

    def _free(self, owner: Owner, term: Term, *, successor: NodeId) -> None:
        """``owner`` no longer acts under ``term``: if we were locked on it, an election begins."""
        if owner == self.node.owner:
            return  # only we know whether our job has ended
        c = self._c
        freed = c.acceptor.release(owner, term)
        leader = c.roles.leader
        hinted = c.agenda.hint_until is not None and leader is not None and leader.owner == owner
        if freed is not None:
            self._on_lock_lost(freed, Reason.RELEASED)
        elif hinted and leader is not None and leader.term <= term:
            self._lose_leader(Reason.RELEASED)
        else:
            return
        self._proposer.predecessor = (owner, term)
        if not self._proposer.idle:
            return
        if successor == self.node.owner.id:
            self._defers = False
            c.agenda.elect_after(0)
        elif successor:
            c.agenda.elect_after(c.node.timing.claim_patience + c.agenda.skew())
        else:
            c.agenda.elect_after(c.agenda.skew())

    # -- what others say

    def _on_received(self, event: Received) -> None:
        c = self._c
        header, message = event.header, event.message
        if self._proposer.stopped:
            return
        if not c.membership.admit(header, message, event.source, c.out.now, c.out.actions):
            return
        peer = c.membership.peers.get(header.sender.id)
        if isinstance(message, Hello):
            if c.nonces.is_fresh(message.echo, c.out.now):
                self._on_hello(message)
        elif isinstance(message, Release):
            self._on_release(header, message)
        elif peer is not None and peer.owner == header.sender:
            self._on_member_said(peer, event)

    def _on_member_said(self, peer: Peer, event: Received) -> None:
        message = event.message
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
            case Bye():
                self._c.membership.departed(peer.owner, self._c.out.actions)
            case Hello() | Release():
                pass  # handled before: they may come from incarnations that are not verified
            case _:
                assert_never(message)

    def _on_hello(self, hello: Hello) -> None:
        """A peer may have seen a later life of ours: our clock was set back, or we were cloned."""
        if not self.node.owner.incarnation < hello.seen < MAX_INCARNATION:
            return
        if self._c.out.now - self._born_at <= RESTART_WITHIN and not self._c.agenda.stopping:
            self._c.out.add(Restart(hello.seen))
        else:
            self._c.out.note(
                "identity-taken",
                "another node uses this node's identity: two machines with one machine-id and "
                "node name? Give one of them another `node`, or a fresh /etc/machine-id",
            )

    def _on_prepare(self, peer: Peer, prepare: Prepare) -> None:
        c = self._c
        if c.agenda.silent or not c.disk.may_vote:
            return
        if prepare.after is not None:
            self._free(*prepare.after, successor=peer.owner.id)
        if self._proposer.leading:
            c.out.send(self._proposer.heartbeat(), peer)
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
        address = leader.address if leader is not None and leader.owner == lock.owner else None
        c.out.send(
            Busy(
                echo=echo,
                leader=lock.owner,
                address=address,
                term=lock.term,
                seq=lock.seq,
                remaining=lock.until - c.out.now,
                rank=lock.rank,
            ),
            peer,
        )

    def _on_heartbeat(self, peer: Peer, beat: Heartbeat) -> None:
        c = self._c
        if c.agenda.silent:
            self._on_hint(peer, beat)
            return
        if self._proposer.leading:
            ghost = self.node.quorum or c.acceptor.has_given_up(peer.owner, beat.term)
            if not ghost and self._meeting.must_yield(peer, beat):
                self._proposer.yield_to(_leader_info(peer, beat))
                self._on_heartbeat(peer, beat)
            return
        span = lock_span(beat.lease, beat.stop_timeout)
        rank = Rank(beat.support, -beat.tenure, peer.priority, peer.owner.id)
        now = c.out.now
        lock = Lock(
            owner=peer.owner,
            term=beat.term,
            seq=beat.seq,
            until=now + span,
            rank=rank,
            span=span,
            established=beat.established,
        )
        if c.acceptor.renew(lock):
            # The one thing that happens all day long: nothing but the time has changed.
            self._acknowledge(peer, beat)
            return
        match c.acceptor.on_heartbeat(lock, established=beat.established, now=now):
            case Answer.YES:
                self._on_locked(peer, beat, span)
            case Answer.REPEATED:
                self._acknowledge(peer, beat)
            case Answer.BUSY:
                if not self.node.quorum:
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
        if not self._c.disk.may_vote:
            return
        # Disk before the word that raises it: a forgotten term lets tokens go back.
        self._c.disk.persist()
        self._c.out.send(Ack(beat.term, beat.seq), peer)

    def _on_release(self, header: Header, release: Release) -> None:
        self._c.membership.resigned(header.sender)
        self._free(header.sender, release.term, successor=release.successor)

    def _on_refute(self, peer: Peer, refute: Refute) -> None:
        """A later incarnation says that an earlier one of its own is dead."""
        if refute.old.id == peer.owner.id and refute.old.incarnation < peer.owner.incarnation:
            self._free(refute.old, MAX_TERM - 1, successor=0)

    def _on_challenge(self, peer: Peer, challenge: Challenge) -> None:
        if self.node.quorum:
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
        if busy.leader.id == self.node.owner.id:
            self._deny_ghost(peer, busy)
        elif not self.node.quorum:
            leader = self._meeting.on_busy(busy)
            if leader is not None:
                self._follow(leader)

    def _deny_ghost(self, peer: Peer, busy: Busy) -> None:
        """Somebody is still locked on a life, or a tenure, of ours that is over."""
        proposer, c = self._proposer, self._c
        if c.roles.owes or proposer.lapsed is not None:
            return  # its job may still be running
        if busy.leader.incarnation < self.node.owner.incarnation:
            c.out.send(Refute(busy.leader, busy.term), peer)
        elif proposer.idle and busy.term <= c.disk.used_term:
            c.out.send(Release(busy.term), peer)


def _leader_info(peer: Peer, beat: Heartbeat) -> LeaderInfo:
    return LeaderInfo(peer.owner, peer.name, peer.address, beat.term, True)


def _is_due(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now
