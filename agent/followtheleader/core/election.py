"""The election: who leads, decided from events and the clock we are handed.

Rule 1: only this file changes ``role``, ``term`` and the lease.
Rule 2: nothing here sends, sleeps, logs, or asks what time it is.
Rule 3: deadlines come first. Every step, whatever its event, begins by asking what has run out.

A node is proposer, acceptor and learner at once. How it speaks when two leaders of an open group
meet is in `followtheleader.core.meeting`; whom it believes in, in `followtheleader.core.acceptor`;
until when it may act, in `followtheleader.core.lease`; who the others are, in
`followtheleader.core.membership`. Start with the essay in `followtheleader.core`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import assert_never

from followtheleader.core.acceptor import Acceptor, Answer, Lock, Pledge
from followtheleader.core.actions import (
    Action,
    ChangeRole,
    DepositWill,
    ExtendLease,
    LeaderChanged,
    Persist,
    PublishToken,
    Restart,
    Stopped,
)
from followtheleader.core.events import (
    AddressFound,
    Event,
    Received,
    Settled,
    Started,
    StepDownRequested,
    StopRequested,
    StoreFailed,
    Woken,
)
from followtheleader.core.lease import Lease
from followtheleader.core.meeting import Meeting
from followtheleader.core.membership import Membership, Peer
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
from followtheleader.core.nonces import Nonces
from followtheleader.core.outbox import Outbox
from followtheleader.core.timing import lock_span
from followtheleader.core.types import (
    MAX_TERM,
    MS,
    NANOSECONDS,
    NO_NONCE,
    Instant,
    LeaderInfo,
    NodeId,
    Nonce,
    Owner,
    Rank,
    Reason,
    Role,
    Span,
    Term,
)
from followtheleader.core.view import MemberView, View
from followtheleader.errors import ensure

FAREWELLS: tuple[Span, ...] = (0, 5 * MS, 20 * MS)
RESEND_TO_THOSE_HEARD_WITHIN: Span = 10 * NANOSECONDS
RETRY_DISK_AFTER: Span = 10 * NANOSECONDS
LONGEST_BACK_OFF = 5
RESTART_WITHIN: Span = 60 * NANOSECONDS
WILL_RECIPIENTS = 64
DOUBT_FOR = 10
"""After a late timer: patient for this many A."""


@dataclass(slots=True)
class Claim:
    """PREPARE is out. ``until``: when it must have led somewhere; ``repeat_at``: ask again."""

    term: Term
    started_at: Instant
    until: Instant
    repeat_at: Instant
    promised: set[NodeId] = field(default_factory=set)


@dataclass(slots=True)
class Leaving:
    """The job is ending while the lease is still renewed; then leadership is given up."""

    reason: Reason
    sit_out: Span


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
        self.role = Role.CANDIDATE
        self._rng = rng
        self._out = Outbox(now)
        self._nonces = Nonces(rng, node.timing.patience)
        self.membership = Membership(node, self._nonces)
        self.acceptor = Acceptor(node.owner, quorum=node.quorum, max_term=memory.floor or 0)
        self.acceptor.max_lock = memory.max_lock
        self._meeting = Meeting(node, self._nonces, self._out)
        self._used_term: Term = memory.floor or 0
        self._on_disk: tuple[Term, Span] = (memory.floor or 0, memory.max_lock)
        self._clockless = memory.floor is not None
        self._writable = memory.writable
        self._started_at = now
        self._quarantine_until = now + self._quarantine(memory, now)
        self._change = 0
        # The change whose job and hooks have not ended yet; no claim before that.
        self._owed: int | None = 0 if job_running else None
        self._lapsed: Term | None = None
        self._claim: Claim | None = None
        self._lease: Lease | None = None
        self._leading = False
        self._leaving: Leaving | None = None
        self._stopping = False
        self._stopped = False
        self._successor: NodeId = 0
        self._farewells: list[tuple[Instant, Release]] = []
        self._after: tuple[Owner, Term] | None = None
        self._leader: LeaderInfo | None = None
        self._will: DepositWill | None = None
        self._failures = 0
        self._tick_at: Instant | None = None
        self._resend_at: Instant | None = None
        self._ask_at: Instant | None = None
        self._election_at: Instant | None = None
        self._sit_out_until: Instant = now
        self._doubt_until: Instant = now

    def _quarantine(self, memory: Memory, now: Instant) -> Span:
        """How long a restarted voter is silent: as long as a lock that it forgot may live."""
        if not self.node.quorum:
            return 0
        longest = max(self.node.timing.lock, memory.max_lock)
        if memory.clean_until is None:
            return longest
        # A clean stop left the end of its last lock. After a reboot that instant of the earlier
        # boot is still an upper bound: at least `now` has passed since.
        return min(max(memory.clean_until - now, 0), longest)

    # ------------------------------------------------------------------ the only way in

    def step(self, event: Event, now: Instant) -> list[Action]:
        """Fold one event into the state; return what must be done, in order."""
        out = self._out
        ensure(now >= out.now, "the clock went backwards")
        due = self.next_deadline()
        out.begin(now)
        self._pass_deadlines()
        match event:
            case Received():
                self._on_received(event)
            case Woken():
                self._on_woken(event, late=now - due if due is not None and due < now else 0)
            case Started():
                self._on_started()
            case AddressFound():
                self.membership.suggest(event.address, now, configured=event.configured)
            case Settled():
                self._on_settled(event.change)
            case StoreFailed():
                self._on_store_failed()
            case StepDownRequested():
                self._on_step_down(event.sit_out)
            case StopRequested():
                self._on_stop()
            case _:
                assert_never(event)
        self._deposit_will()
        return out.actions

    def next_deadline(self) -> Instant | None:
        """Return the instant at which `Woken` must be handed in; None: nothing is due ever."""
        if self._stopped:
            return None
        times = [
            self._tick_at,
            self._resend_at,
            self._ask_at,
            self._election_at,
            self.membership.next_deadline(),
        ]
        times.extend(self.acceptor.deadlines())
        if self._claim is not None:
            times += [self._claim.until, self._claim.repeat_at]
        if self._lease is not None and self._leading:
            times.append(self._lease.deadline)
        if self._farewells:
            times.append(self._farewells[0][0])
        return min((t for t in times if t is not None), default=None)

    def view(self, now: Instant) -> View:
        """Return a snapshot for people, files and the simulator."""
        lease, lock = self._lease, self.acceptor.lock(now)
        leading = lease is not None and self._leading
        valid = lease is not None and leading and now < lease.deadline
        return View(
            owner=self.node.owner,
            role=self.role,
            term=lease.term if lease else self._leader.term if self._leader else 0,
            token=lease.token if lease and leading else 0,
            leader=self._me_as_leader() if valid and not self._leaving else self._leader,
            deadline=lease.deadline if lease and leading else None,
            valid_leader=valid,
            leaving=self._leaving is not None,
            support=lease.support if lease else 0,
            needed=self.node.needed,
            quarantined=now < self._quarantine_until,
            max_term=self.acceptor.max_term,
            lock_owner=lock.owner if lock else None,
            lock_until=lock.until if lock else None,
            members=tuple(self._member_view(p) for p in self.membership.peers.values()),
        )

    def _member_view(self, peer: Peer) -> MemberView:
        return MemberView(
            id=peer.owner.id,
            owner=peer.owner,
            name=peer.name,
            address=peer.address,
            priority=peer.priority,
            witness=peer.witness,
            voter=peer.name in self.node.voters,
            heard_at=None if peer.left else peer.heard_at,
        )

    # ------------------------------------------------------------------ time

    def _pass_deadlines(self) -> None:
        lease = self._lease
        if lease is not None and self._leading and self._out.now >= lease.deadline:
            self._lapse(Reason.LAPSED)
        expired = self.acceptor.expire(self._out.now)
        if expired is not None and expired.owner != self.node.owner:
            self.membership.resigned(expired.owner)
            self._on_lock_lost(Reason.EXPIRED)
            # Never in the same callback: what was buffered may renew it.
            self._elect_after(self._random_skew())

    def _on_started(self) -> None:
        now = self._out.now
        self._started_at = now
        self._election_at = max(now + self.node.timing.listening, self._quarantine_until)
        self._election_at += self._random_skew()
        self.membership.greet(now, self._out.actions)

    def _on_woken(self, event: Woken, late: Span) -> None:
        now = self._out.now
        if late > self.node.timing.heartbeat:
            self._doubt_myself(late)
        if _is_due(self.membership.next_deadline(), now):
            self.membership.sweep(now, self._out.actions)
        while self._farewells and self._farewells[0][0] <= now:
            self._say_farewell()
        if _is_due(self._tick_at, now):
            self._tick()
        if _is_due(self._resend_at, now):
            self._resend()
        if _is_due(self._ask_at, now):
            self._ask_everybody()
        if self._claim is not None:
            self._watch_claim(self._claim)
        if _is_due(self._election_at, now):
            self._claim_leadership(event.wall_ms)

    def _doubt_myself(self, late: Span) -> None:
        """We were late, so others may seem silent who are not (after Lifeguard)."""
        now, timing = self._out.now, self.node.timing
        if self._election_at is not None:
            self._election_at = max(
                self._election_at, now + self._random_skew() + min(late, timing.patience)
            )
        if self._claim is not None and now >= self._claim.until:
            self._withdraw(self._random_skew())
        if now >= self._doubt_until:
            self._out.note("late", f"this process ran {late // MS} ms late")
        self._doubt_until = now + DOUBT_FOR * timing.patience

    def _random_skew(self) -> Span:
        return self._rng.randrange(max(self.node.timing.skew, 1))

    def _elect_after(self, delay: Span) -> None:
        if not self.node.may_lead or self._stopping:
            return
        now = self._out.now
        if now < self._doubt_until:
            delay += self.node.timing.heartbeat
        at = max(now + delay, self._sit_out_until, self._quarantine_until)
        at = max(at, self._started_at + self.node.timing.listening)
        self._election_at = at

    # ------------------------------------------------------------------ roles

    def _change_role(
        self,
        role: Role,
        reason: Reason,
        *,
        leader: LeaderInfo | None = None,
        reelection: bool = False,
    ) -> None:
        old, self.role = self.role, role
        self._leader = leader
        self._change += 1
        if role is Role.FOLLOWER:
            self._owed = self._change
        lease = self._lease
        term = lease.term if lease else leader.term if leader else self.acceptor.max_term
        deadline = lease.deadline if lease and role is Role.LEADER else 0
        self._out.add(
            ChangeRole(self._change, role, old, term, reason, leader, deadline, reelection)
        )

    def _follow(self, leader: LeaderInfo) -> None:
        """A leader is known (and locked): follow it."""
        self._election_at = None
        self._failures = 0
        self._ask_at = None if leader.direct else self._out.now
        self._after = None
        if self.role is not Role.FOLLOWER:
            self._change_role(Role.FOLLOWER, Reason.FOLLOWING, leader=leader)
        elif self._leader is None or (
            self._leader.owner,
            self._leader.term,
            self._leader.direct,
        ) != (leader.owner, leader.term, leader.direct):
            self._leader = leader
            self._out.add(LeaderChanged(leader))

    def _on_lock_lost(self, reason: Reason) -> None:
        self._ask_at = None
        if self._leading or self._claim is not None or self._stopping:
            return
        if self.role is Role.FOLLOWER and self._leader is not None:
            self._change_role(Role.CANDIDATE, reason, reelection=True)

    def _me_as_leader(self) -> LeaderInfo:
        term = self._lease.term if self._lease else 0
        return LeaderInfo(self.node.owner, self.node.name, None, term, True)

    def _on_settled(self, change: int) -> None:
        """Job and hooks of ``change`` have ended: what waited for that may go on."""
        if self._owed is None or change < self._owed:
            return
        self._owed = None
        if self._leaving is not None and self._lease is not None:
            self._resign(self._leaving)
        elif self._lapsed is not None:
            self._give_up_lapsed(self._lapsed)
        elif self._stopping:
            self._leave()
        elif (
            not self._leading and self._claim is None and self.acceptor.lock(self._out.now) is None
        ):
            self._elect_after(self._random_skew())

    # ------------------------------------------------------------------ claiming

    def _may_claim(self) -> bool:
        now = self._out.now
        return (
            self.node.may_lead
            and self._owed is None
            and self._lapsed is None
            and not self._stopping
            and self._claim is None
            and not self._leading
            and self.acceptor.lock(now) is None
            and now >= self._quarantine_until
        )

    def _claim_leadership(self, wall_ms: int) -> None:
        self._election_at = None
        if not self._may_claim():
            return  # whatever stands in the way schedules the next election when it goes
        now, timing = self._out.now, self.node.timing
        pledge = self.acceptor.pledge(now)
        if pledge is not None and pledge.owner != self.node.owner:
            self._election_at = pledge.until + self._random_skew()
            return
        term = max(self.acceptor.max_term, self._used_term) + 1
        if not self._clockless:
            # Without a floor file the wall clock keeps terms from being spoken twice.
            term = max(term, wall_ms)
            self._clockless = True
        patience = timing.claim_patience if self.node.quorum else timing.claim_wait
        self._used_term = term
        self._lease = None
        self._claim = Claim(term, now, now + patience, now + patience // 2)
        self._claim.promised.add(self.node.owner.id)
        self.acceptor.promise(
            Pledge(self.node.owner, term, now + timing.claim_patience, self.node.priority)
        )
        # Disk before network: a term that a crash can forget can be spoken twice.
        self._persist()
        if self.role is Role.FOLLOWER:
            self._change_role(Role.CANDIDATE, Reason.EXPIRED, reelection=True)
        self._out.broadcast(Prepare(term, self._after), self.membership.members(now))
        self._consider_promises(self._claim)

    def _persist(self) -> None:
        """Have the terms' floor and the longest lock on disk before anything is said."""
        floor = max(self._used_term, self.acceptor.max_term)
        if (floor, self.acceptor.max_lock) == self._on_disk:
            return
        self._on_disk = (floor, self.acceptor.max_lock)
        self._out.add(Persist(floor, self.acceptor.max_lock, required=self.node.quorum))

    def _on_store_failed(self) -> None:
        self._on_disk = (-1, -1)
        if not self.node.quorum:
            return
        self._writable = False
        if self._leading:
            self._lapse(Reason.UNWRITABLE)
        elif self._claim is not None:
            # Nothing of this claim was spoken; there is nothing to take back.
            self.acceptor.release(self.node.owner, self._claim.term)
            self._claim = self._lease = None
            self._tick_at = self._resend_at = None
        self._sit_out_until = self._out.now + RETRY_DISK_AFTER
        if self.acceptor.lock(self._out.now) is None:
            self._elect_after(RETRY_DISK_AFTER)

    def _watch_claim(self, claim: Claim) -> None:
        now = self._out.now
        if now >= claim.until:
            if not self.node.quorum:
                self._lead(Reason.ELECTED)
            else:
                self._failures = min(self._failures + 1, LONGEST_BACK_OFF)
                self._withdraw((self._random_skew() + 1) << self._failures)
        elif now >= claim.repeat_at:
            claim.repeat_at += max(self.node.timing.claim_wait // 2, 1)
            if self._lease is None:
                silent = [
                    p for p in self.membership.members(now) if p.owner.id not in claim.promised
                ]
                self._out.broadcast(Prepare(claim.term, self._after), silent)

    def _consider_promises(self, claim: Claim) -> None:
        """Enough promises? An open group waits for all who may answer, a quorum group for M."""
        now = self._out.now
        if not self.node.quorum:
            if all(peer in claim.promised for peer in self.membership.expected(now)):
                self._lead(Reason.ELECTED)
            return
        if self._lease is not None:
            return
        voters = self._voters()
        names = {voters[node] for node in claim.promised if node in voters}
        if len(names) >= self.node.needed:
            claim.until = claim.started_at + self.node.timing.lease
            self._open_lease(claim.term)
            self._tick()

    def _voters(self) -> dict[NodeId, str]:
        """Ids of known voters with their names; in an open group only ourselves."""
        voters = {self.node.owner.id: self.node.name}
        if self.node.quorum:
            for peer in self.membership.peers.values():
                if peer.compatible and peer.name in self.node.voters:
                    voters[peer.owner.id] = peer.name
        return voters

    def _open_lease(self, term: Term) -> None:
        node = self.node
        self._lease = Lease(node.owner.id, term, node.timing.lease, node.needed)

    def _withdraw(self, delay: Span) -> None:
        """Give a claim up, and say so before anything else is promised."""
        claim, self._claim, self._lease = self._claim, None, None
        if claim is None:
            return
        self._tick_at = self._resend_at = None
        self.acceptor.release(self.node.owner, claim.term)
        self._out.broadcast(Release(claim.term), self.membership.members(self._out.now))
        self._elect_after(delay)

    # ------------------------------------------------------------------ leading

    def _lead(self, reason: Reason) -> None:
        """The claim has succeeded."""
        claim, self._claim = self._claim, None
        if claim is None:
            return
        self._election_at = None
        self._failures = 0
        self._meeting.begin()
        if self._lease is None:
            self._open_lease(claim.term)
        lease = self._lease
        ensure(lease is not None, "a leader has a lease")
        if lease is None:
            return
        lease.tenure = lease.term
        self._leading = True
        if not self.node.quorum:
            self._tick()
        self._after = None
        self._change_role(Role.LEADER, reason, leader=self._me_as_leader())
        self._out.add(ExtendLease(lease.deadline))
        self._publish(lease)

    def _publish(self, lease: Lease, before: Term = 0) -> None:
        if self._leading and lease.token > before:
            self._out.add(PublishToken(lease.token))

    def _tick(self) -> None:
        """Send the next heartbeat to everybody; our own support is renewed by it."""
        lease, now, timing = self._lease, self._out.now, self.node.timing
        if lease is None:
            self._tick_at = None
            return
        # Stored before it is sent: a lease counts from the sending.
        lease.beat(now, own_vote=self.node.votes)
        lease.count_support(now, timing.patience)
        self.acceptor.max_lock = max(self.acceptor.max_lock, timing.lock)
        self.acceptor.take(
            Lock(
                self.node.owner,
                lease.term,
                lease.seq,
                now + timing.lock,
                self._rank(lease),
                timing.heartbeat,
            )
        )
        self._persist()
        self._out.broadcast(self._heartbeat(lease), self.membership.members(now))
        planned = self._tick_at
        on_time = planned is not None and now - planned < timing.heartbeat // 2
        self._tick_at = (planned if planned is not None and on_time else now) + timing.heartbeat
        self._resend_at = now + timing.heartbeat // 2
        self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        before = lease.token
        if not lease.renew(self._voters()):
            self._publish(lease, before)
            return
        if self._leading:
            self._out.add(ExtendLease(lease.deadline))
            self._publish(lease, before)
        elif self._claim is not None and self._out.now < lease.deadline and self.node.quorum:
            self._lead(Reason.ELECTED)

    def _heartbeat(self, lease: Lease, echo: Nonce = NO_NONCE) -> Heartbeat:
        timing = self.node.timing
        return Heartbeat(
            term=lease.term,
            seq=lease.seq,
            tenure=lease.tenure or lease.term,
            support=lease.support,
            established=self._leading,
            heartbeat=timing.heartbeat,
            lease=timing.lease,
            stop_timeout=timing.stop_timeout,
            echo=echo,
        )

    def _rank(self, lease: Lease) -> Rank:
        return Rank(
            lease.support, -(lease.tenure or lease.term), self.node.priority, self.node.owner.id
        )

    def _resend(self) -> None:
        """Once more to those who have not acknowledged: one lost datagram is never a miss."""
        lease, now = self._lease, self._out.now
        self._resend_at = None
        if lease is None:
            return
        for peer in self.membership.members(now):
            silent = lease.acked_seq.get(peer.owner.id, 0) < lease.seq
            if silent and now - peer.heard_at <= RESEND_TO_THOSE_HEARD_WITHIN:
                self._out.send(self._heartbeat(lease), peer)

    def _raise_term(self, above: Term) -> None:
        lease = self._lease
        if lease is None:
            return
        term = max(above, lease.term, self._used_term, self.acceptor.max_term) + 1
        self._used_term = term
        lease.raise_term(term)
        self._tick()

    def _lapse(self, reason: Reason) -> None:
        """The lease ran out. Our own lock stays until the guardian says that the job has ended."""
        lease, self._lease = self._lease, None
        ensure(lease is not None, "only a leader lapses")
        self._lapsed = lease.term if lease else 0
        self._leading = False
        self._tick_at = self._resend_at = None
        self.acceptor.hold()
        if self._leaving is None:
            self._change_role(Role.FOLLOWER, reason)
        self._leaving = None

    def _give_up_lapsed(self, term: Term) -> None:
        self._lapsed = None
        self._release_own(term)
        self._out.broadcast(Release(term), self.membership.members(self._out.now))
        if self._stopping:
            self._leave()
        elif self.acceptor.lock(self._out.now) is None:
            self._elect_after(self._random_skew())

    def _release_own(self, term: Term) -> None:
        self.acceptor.release(self.node.owner, term)

    # ------------------------------------------------------------------ leaving

    def _on_step_down(self, sit_out: Span) -> None:
        self._sit_out_until = max(self._sit_out_until, self._out.now + sit_out)
        if self._leading and self._leaving is None:
            self._begin_leaving(Leaving(Reason.STEPPED_DOWN, sit_out))
        elif self._claim is not None:
            self._withdraw(sit_out)

    def _begin_leaving(self, leaving: Leaving) -> None:
        """Publicly a follower from now on; renewing until the job and on_follower have ended."""
        self._leaving = leaving
        self._change_role(Role.FOLLOWER, leaving.reason)

    def _resign(self, leaving: Leaving) -> None:
        lease, self._lease = self._lease, None
        if lease is None:
            return
        now = self._out.now
        self._leading, self._leaving = False, None
        self._tick_at = self._resend_at = None
        self._release_own(lease.term)
        release = Release(lease.term, self._choose_successor(lease))
        self._farewells = [(now + after, release) for after in FAREWELLS]
        self._say_farewell()
        self._sit_out_until = max(self._sit_out_until, now + leaving.sit_out)
        self._elect_after(self.node.timing.claim_patience + self._random_skew())

    def _choose_successor(self, lease: Lease) -> NodeId:
        """The member that should claim at once: it hears us, may lead, and ranks highest."""
        now, best, successor = self._out.now, (0, 0), 0
        for peer in self.membership.members(now):
            acked = lease.acked.get(peer.owner.id)
            able = peer.priority > 0 and not peer.witness and peer.compatible
            if self.node.quorum and peer.name not in self.node.voters:
                able = False
            if able and acked is not None and now - acked <= self.node.timing.patience:
                rank = (peer.priority, peer.owner.id)
                if rank > best:
                    best, successor = rank, peer.owner.id
        return successor

    def _say_farewell(self) -> None:
        _, release = self._farewells.pop(0)
        self._out.broadcast(release, self.membership.members(self._out.now))
        if not self._farewells and self._stopping:
            self._leave()

    def _on_stop(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._election_at = None
        self._withdraw(0)
        if self._leading:
            if self._leaving is None:
                self._begin_leaving(Leaving(Reason.STOPPED, 0))
        elif self._lapsed is None and not self._farewells:
            self._leave()

    def _leave(self) -> None:
        if self._stopped:
            return
        self._stopped = True
        now = self._out.now
        self._out.broadcast(Bye(), self.membership.members(now))
        lock = self.acceptor.lock(now)
        self._out.add(Stopped(max(lock.until if lock else 0, self._quarantine_until)))

    def _deposit_will(self) -> None:
        """What the guardian sends if we die: a RELEASE to those who may hold our locks."""
        lease, now = self._lease, self._out.now
        if lease is not None and self._leading:
            members = [(p.owner.id, p.address) for p in self.membership.members(now)]
            release = Release(lease.term, self._choose_successor(lease))
            will = DepositWill(release, tuple(members[:WILL_RECIPIENTS]))
        elif self._will is None or not self._will.recipients or self._lapsed is not None:
            return
        else:
            will = DepositWill(self._will.release, ())
        if will != self._will:
            self._will = will
            self._out.add(will)

    # ------------------------------------------------------------------ what others say

    def _on_received(self, event: Received) -> None:
        out = self._out
        if self._stopped:
            return
        header, message = event.header, event.message
        if not self.membership.admit(header, message, event.source, out.now, out.actions):
            return
        if isinstance(message, Hello):
            self._on_hello(message)
            return
        peer = self.membership.get(header.sender.id)
        if isinstance(message, Release):
            self._on_release(header, message)
        elif peer is not None and peer.owner == header.sender:
            self._on_member_said(peer, event)

    def _on_member_said(self, peer: Peer, event: Received) -> None:
        message = event.message
        match message:
            case Heartbeat():
                self._on_heartbeat(peer, message)
            case Ack():
                self._on_ack(peer, message)
            case Prepare():
                self._on_prepare(peer, message)
            case Promise():
                self._on_promise(peer, message)
            case Nack():
                self._on_nack(message)
            case Busy():
                self._on_busy(peer, message)
            case Challenge():
                self._on_challenge(peer, message)
            case Refute():
                self._on_refute(peer, message)
            case Ask():
                self._on_ask(peer, message)
            case Bye():
                self.membership.departed(peer.owner, self._out.actions)
            case Hello() | Release():
                pass  # handled before: they may come from incarnations that are not verified
            case _:
                assert_never(message)

    @property
    def _silent(self) -> bool:
        """In quarantine nothing is promised or acknowledged."""
        return self.node.quorum and self._out.now < self._quarantine_until

    def _on_hello(self, hello: Hello) -> None:
        if not self.node.owner.incarnation < hello.seen < MAX_TERM:
            return
        if self._out.now - self._started_at <= RESTART_WITHIN:
            self._out.add(Restart(hello.seen))
        else:
            self._out.note(
                "identity-taken",
                "another node uses this node's identity: two machines with one machine-id and "
                "node name? Give one of them another `node`, or a fresh /etc/machine-id",
            )

    def _on_prepare(self, peer: Peer, prepare: Prepare) -> None:
        if self._silent or not self._writable:
            return
        out, now = self._out, self._out.now
        if prepare.after is not None:
            self._free(prepare.after[0], prepare.after[1], successor=peer.owner.id)
        if self._leading and self._lease is not None:
            out.send(self._heartbeat(self._lease), peer)
            return
        # Who claims a term has given up its lower ones: nobody acts under two.
        self._free(peer.owner, prepare.term - 1, successor=peer.owner.id)
        timing = self.node.timing
        pledge = Pledge(peer.owner, prepare.term, now + timing.claim_patience, peer.priority)
        match self.acceptor.on_prepare(pledge, now):
            case Answer.YES:
                self._withdraw(0)
                if self._election_at is not None:
                    self._election_at = max(self._election_at, pledge.until + self._random_skew())
                out.send(Promise(prepare.term), peer)
            case Answer.BUSY:
                self._answer_busy(peer, prepare.term)
            case Answer.CONTENDED:
                out.send(Nack(prepare.term, self.acceptor.max_term, contended=True), peer)
            case Answer.LOWER_TERM:
                out.send(Nack(prepare.term, self.acceptor.max_term, contended=False), peer)
            case _:
                pass

    def _answer_busy(self, peer: Peer, echo: int) -> None:
        """Name the leader that we are locked on, if we heard it ourselves."""
        lock = self.acceptor.foreign(self._out.now)
        if lock is None or not lock.direct:
            return
        leader = self.membership.get(lock.owner.id)
        known = leader is not None and leader.owner == lock.owner
        self._out.send(
            Busy(
                echo=echo,
                leader=lock.owner,
                address=leader.address if leader and known else None,
                term=lock.term,
                seq=lock.seq,
                remaining=lock.until - self._out.now,
                rank=lock.rank,
            ),
            peer,
        )

    def _on_promise(self, peer: Peer, promise: Promise) -> None:
        claim = self._claim
        if claim is not None and promise.term == claim.term:
            claim.promised.add(peer.owner.id)
            self._consider_promises(claim)

    def _on_nack(self, nack: Nack) -> None:
        if nack.max_term >= MAX_TERM - 1:
            return
        if self._leading and self._lease is not None:
            if not nack.contended and nack.term == self._lease.term <= nack.max_term:
                self._raise_term(nack.max_term)
            return
        claim = self._claim
        if claim is None or nack.term != claim.term:
            return
        if not nack.contended:
            self.acceptor.max_term = max(self.acceptor.max_term, nack.max_term)
            self._withdraw(self._random_skew() // 4)
        elif not self.node.quorum:
            self._withdraw(self.node.timing.claim_patience + self._random_skew())

    def _on_heartbeat(self, peer: Peer, beat: Heartbeat) -> None:
        if self.acceptor.has_given_up(peer.owner, beat.term):
            return
        if self._silent:
            return
        if self._leading and self._lease is not None:
            if not self.node.quorum:
                self._meet(peer, beat)
            return
        rank = Rank(beat.support, -beat.tenure, peer.priority, peer.owner.id)
        now = self._out.now
        lock = Lock(
            peer.owner,
            beat.term,
            beat.seq,
            now + lock_span(beat.lease, beat.stop_timeout),
            rank,
            beat.heartbeat,
        )
        match self.acceptor.on_heartbeat(lock, established=beat.established, now=now):
            case Answer.YES:
                self._on_locked(peer, beat)
            case Answer.REPEATED:
                self._acknowledge(peer, beat)
            case Answer.BUSY:
                if not self.node.quorum:
                    self._answer_busy(peer, beat.seq)
            case Answer.LOWER_TERM:
                self._out.send(Nack(beat.term, self.acceptor.max_term, contended=False), peer)
            case Answer.CONTENDED:
                self._out.send(Nack(beat.term, self.acceptor.max_term, contended=True), peer)
            case _:
                pass

    def _on_locked(self, peer: Peer, beat: Heartbeat) -> None:
        if self._claim is not None:
            self._withdraw(0)
        self.acceptor.max_lock = max(
            self.acceptor.max_lock, lock_span(beat.lease, beat.stop_timeout)
        )
        if beat.established or not self.node.quorum:
            self._follow(LeaderInfo(peer.owner, peer.name, peer.address, beat.term, True))
        else:
            self._election_at = None
        self._acknowledge(peer, beat)

    def _acknowledge(self, peer: Peer, beat: Heartbeat) -> None:
        # Disk before the word that raises it: a forgotten term lets tokens go back.
        self._persist()
        if not self.node.quorum or self._writable:
            self._out.send(Ack(beat.term, beat.seq), peer)

    def _on_ack(self, peer: Peer, ack: Ack) -> None:
        lease = self._lease
        if lease is None or ack.term != lease.term:
            return
        if lease.acknowledge(peer.owner.id, ack.seq) and self.node.quorum:
            self._renew(lease)

    def _on_release(self, header: Header, release: Release) -> None:
        self.membership.resigned(header.sender)
        self._free(header.sender, release.term, successor=release.successor)

    def _on_refute(self, peer: Peer, refute: Refute) -> None:
        """A later incarnation says that an earlier one of its own is dead."""
        if refute.old.id == peer.owner.id and refute.old.incarnation < peer.owner.incarnation:
            self._free(refute.old, MAX_TERM, successor=0)

    def _free(self, owner: Owner, term: Term, *, successor: NodeId) -> None:
        if owner == self.node.owner:
            return  # only we know whether our job has ended
        freed = self.acceptor.release(owner, term)
        me = self.node.owner.id
        if freed is None:
            return
        self._after = (owner, term)
        self._on_lock_lost(Reason.RELEASED)
        if self._claim is not None or self._leading:
            return
        if successor == me:
            self._elect_after(0)
        elif successor:
            self._elect_after(self.node.timing.claim_patience + self._random_skew())
        else:
            self._elect_after(self._random_skew())

    # ------------------------------------------------------------------ open groups: who else leads

    def _meet(self, peer: Peer, beat: Heartbeat) -> None:
        """Two leaders: whoever ranks lower yields, once the other has proved to be alive."""
        lease = self._lease
        if lease is None:
            return
        own = self._heartbeat(lease)
        if not self._meeting.is_proven(beat, peer, own):
            return
        theirs = Rank(beat.support, -beat.tenure, peer.priority, peer.owner.id)
        if theirs > self._rank(lease):
            self._yield_to(LeaderInfo(peer.owner, peer.name, peer.address, beat.term, True))
            self._on_heartbeat(peer, beat)
        elif beat.term >= lease.term:
            self._raise_term(beat.term)
        else:
            self._out.send(own, peer)

    def _on_challenge(self, peer: Peer, challenge: Challenge) -> None:
        lease = self._lease
        if self.node.quorum:
            return
        if lease is not None and self._leading:
            self._out.send(self._heartbeat(lease, challenge.nonce), peer)
            self._meet(peer, challenge.heartbeat)
        else:
            self._on_heartbeat(peer, challenge.heartbeat)

    def _yield_to(self, winner: LeaderInfo) -> None:
        """Give way at once. In an open group this does not say that our job has ended."""
        lease, self._lease = self._lease, None
        if lease is None:
            return
        self._leading = False
        self._leaving, already = None, self._leaving is not None
        self._tick_at = self._resend_at = None
        self._release_own(lease.term)
        self._out.broadcast(
            Release(lease.term, winner.owner.id), self.membership.members(self._out.now)
        )
        if already:
            self._leader = winner
        else:
            self._change_role(Role.FOLLOWER, Reason.YIELDED, leader=winner)
        if self._stopping:
            self._owed_or_leave()

    def _owed_or_leave(self) -> None:
        if self._owed is None:
            self._leave()

    def _on_busy(self, peer: Peer, busy: Busy) -> None:
        if busy.leader.id == self.node.owner.id:
            self._deny_ghost(peer, busy)
            return
        if self.node.quorum or self.acceptor.has_given_up(busy.leader, busy.term):
            return
        if busy.address is not None:
            self.membership.suggest(busy.address, self._out.now)
        lease = self._lease
        if self._leading and lease is not None:
            fresh = lease.sent_at(busy.echo) is not None
            if fresh and self._meeting.is_advancing(busy) and busy.rank > self._rank(lease):
                self._yield_to(self._hearsay(busy))
                self._believe(busy)
        elif self._claim is not None:
            if busy.echo == self._claim.term:
                self._withdraw(0)
                self._believe(busy)
        elif self._nonces.is_fresh(busy.echo, self._out.now):
            self._extend_belief(busy)

    def _deny_ghost(self, peer: Peer, busy: Busy) -> None:
        """Somebody is still locked on a life of ours that is over."""
        if self._owed is not None or self._lapsed is not None:
            return  # its job may still be running
        if busy.leader.incarnation < self.node.owner.incarnation:
            self._out.send(Refute(busy.leader, busy.term), peer)
        elif not self._leading and self._claim is None:
            self._out.send(Release(busy.term), peer)

    def _hearsay(self, busy: Busy) -> LeaderInfo:
        leader = self.membership.get(busy.leader.id)
        known = leader is not None and leader.owner == busy.leader
        name = leader.name if leader and known else f"{busy.leader.id:016x}"
        return LeaderInfo(busy.leader, name, busy.address, busy.term, False)

    def _believe(self, busy: Busy) -> None:
        """Follow by hearsay: only for a while, and asking all the time."""
        now = self._out.now
        if self.acceptor.lock(now) is not None:
            return
        until = now + min(busy.remaining, self.node.timing.patience)
        self.acceptor.take(
            Lock(
                busy.leader,
                busy.term,
                busy.seq,
                until,
                busy.rank,
                self.node.timing.heartbeat,
                direct=False,
            )
        )
        self._follow(self._hearsay(busy))

    def _extend_belief(self, busy: Busy) -> None:
        lock = self.acceptor.foreign(self._out.now)
        if lock is None:
            if self.role is not Role.FOLLOWER or self._leader is None:
                self._believe(busy)
        elif not lock.direct and lock.owner == busy.leader:
            if (busy.term, busy.seq) > (lock.term, lock.seq):
                lock.term, lock.seq = busy.term, busy.seq
                lock.until = self._out.now + min(busy.remaining, self.node.timing.patience)

    def _ask_everybody(self) -> None:
        now = self._out.now
        lock = self.acceptor.foreign(now)
        if lock is None or lock.direct:
            self._ask_at = None
            return
        self._ask_at = now + self.node.timing.heartbeat
        self._out.broadcast(Ask(self._nonces.issue(now)), self.membership.members(now))

    def _on_ask(self, peer: Peer, ask: Ask) -> None:
        if self._silent:
            return
        if self._leading and self._lease is not None:
            self._out.send(self._heartbeat(self._lease, ask.nonce), peer)
        else:
            self._answer_busy(peer, ask.nonce)


def _is_due(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now
