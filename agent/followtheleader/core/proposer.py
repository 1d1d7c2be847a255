"""The proposer: claiming, leading, and giving leadership up.

Rule 1: a term is claimed once, with counters that begin at zero, and is on disk before it is
spoken.
Rule 2: the node leads while ``now < lease.deadline``, and nothing but acknowledged heartbeats
moves that instant.
Rule 3: whoever gives up says so before it promises anything to anybody, and never before its job
has ended; the one exception is an open group's leader that yields to a better one.

How a tenure ends:

    stop, step-down   job and on_follower end while the lease is renewed; then RELEASE, thrice
    lapse             follower at once; own lock held until the job has ended; then RELEASE
    yield (open)      RELEASE at once, naming the winner
"""

from __future__ import annotations

from followtheleader.core.acceptor import FOREVER, Lock, Pledge
from followtheleader.core.actions import ExtendLease, PublishToken, Stopped
from followtheleader.core.claims import Claim, Leaving
from followtheleader.core.context import Context
from followtheleader.core.disk import RETRY_DISK_AFTER
from followtheleader.core.lease import Lease
from followtheleader.core.messages import Ack, Bye, Heartbeat, Nack, Prepare, Promise, Release
from followtheleader.core.peers import Peer
from followtheleader.core.succession import Will, choose_successor
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
    Span,
    Term,
)
from followtheleader.errors import InvariantBroken

FAREWELLS: tuple[Span, ...] = (0, 5 * MS, 20 * MS)
RESEND_TO_THOSE_HEARD_WITHIN: Span = 10 * NANOSECONDS
MOST_BACK_OFF = 5


class Proposer:
    """This node's claims and tenures."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self._me = context.node.owner
        self.claim: Claim | None = None
        self.lease: Lease | None = None
        self.leading = False
        self.leaving: Leaving | None = None
        self.lapsed: Term | None = None
        self.stopped = False
        self.led_at: Instant = 0
        self.predecessor: tuple[Owner, Term] | None = None
        self.electorate: int | None = None
        self._failures = 0
        self._tick_at: Instant | None = None
        self._resend_at: Instant | None = None
        self._farewells: list[tuple[Instant, Release]] = []
        self._will = Will(context)

    @property
    def idle(self) -> bool:
        """Neither claiming nor leading."""
        return self.claim is None and not self.leading

    @property
    def rank(self) -> Rank:
        """Our rank as our newest heartbeat tells it."""
        lease = self.held
        node = self._c.node
        return Rank(lease.support, -(lease.tenure or lease.term), node.priority, self._me.id)

    def as_leader(self) -> LeaderInfo:
        """Describe ourselves as the leader."""
        return LeaderInfo(self._me, self._c.node.name, None, self.held.term, True)

    @property
    def held(self) -> Lease:
        """The lease of a leader."""
        if self.lease is None:
            raise InvariantBroken("a leader has a lease")
        return self.lease

    # -- time

    def next_deadline(self) -> Instant:
        """Return when something is due here; `FOREVER`: nothing is."""
        if self.lease is None and self.claim is None and not self._farewells:
            return FOREVER
        times = [self._tick_at or FOREVER, self._resend_at or FOREVER]
        if self.claim is not None:
            times += [self.claim.until, self.claim.repeat_at, self.claim.decide_at or FOREVER]
        if self.lease is not None and self.leading:
            times.append(self.lease.deadline)
        if self._farewells:
            times.append(self._farewells[0][0])
        return min(times)

    def pass_deadline(self) -> None:
        """Lapse if the lease has run out."""
        if self.leading and self._c.out.now >= self.held.deadline:
            self.lapse(Reason.LAPSED)

    def wake(self) -> None:
        """Do what is due."""
        now = self._c.out.now
        while self._farewells and self._farewells[0][0] <= now:
            self._say_farewell()
        if self._tick_at is not None and self._tick_at <= now:
            self._tick()
        if self._resend_at is not None and self._resend_at <= now:
            self._resend()
        if self.claim is not None:
            self._watch(self.claim)

    # -- claiming

    def may_claim(self) -> bool:
        """Is there nothing that forbids a claim?"""
        c = self._c
        return (
            c.node.may_lead
            and self.idle
            and self.lapsed is None
            and not c.roles.owes
            and not c.agenda.stopping
            and not c.agenda.silent
            and c.agenda.link_up
            and c.pauses.allows(self._me.id, c.out.now)
            and c.acceptor.lock(c.out.now) is None
            and c.may_vote
        )

    def begin_claim(self, wall_ms: int) -> None:
        """Claim the next term. ``wall_ms`` counts only where no floor file is."""
        c = self._c
        now, timing = c.out.now, c.node.timing
        term = max(c.acceptor.max_term, c.disk.used_term) + 1
        if not c.disk.has_floor:
            # Nothing remembers our earlier terms: the wall clock keeps them from being reused.
            term = max(term, wall_ms)
            c.disk.has_floor = True
        if term >= MAX_TERM:
            c.out.note("terms-exhausted", "a member has used the terms up; remove its floor.json")
            return
        c.disk.used_term = term
        # PREPARE says as much as they; and no RELEASE of ours is under way when a job may run.
        self._farewells.clear()
        patience = timing.claim_patience if c.node.quorum else timing.claim_wait
        self.lease = None
        # Not in this step: a lease counts from now, and the disk may take longer than it lasts.
        self.claim = Claim(term, now, now + patience, now + patience // 2, self.electorate, now)
        self.claim.promised[self._me.id] = None
        c.acceptor.promise(
            Pledge(self._me, term, now + timing.claim_patience, c.node.priority),
        )
        c.roles.lose_leader(Reason.EXPIRED, term)
        # Disk before network: a term that a crash can forget can be spoken twice. With it the lock
        # that we shall hold: a second flush would come between the promises and the heartbeat.
        c.acceptor.max_lock = max(c.acceptor.max_lock, timing.lock)
        c.disk.persist()
        c.out.broadcast(Prepare(term, self.predecessor), c.membership.members(now))

    def spoken_late(self, by: Span) -> None:
        """The disk has kept a claim waiting before anybody could hear it: now its time begins.

        Else two that claim at once, each with a disk slower than W, would lead both.
        """
        c, claim = self._c, self.claim
        if claim is not None and self.lease is None:
            claim.started_at += by
            claim.until += by
            claim.repeat_at += by
            if claim.decide_at is not None:
                claim.decide_at += by
            promised_until = claim.started_at + c.node.timing.claim_patience
            c.acceptor.promise(Pledge(self._me, claim.term, promised_until, c.node.priority))

    def _watch(self, claim: Claim) -> None:
        c = self._c
        now = c.out.now
        if claim.decide_at is not None:
            claim.decide_at = None
            self._consider(claim)
            if self.claim is None:
                return
        if now >= claim.until:
            if not c.node.quorum:
                self._lead()
            else:
                self._failures = min(self._failures + 1, MOST_BACK_OFF)
                self.withdraw((c.agenda.skew() + 1) << self._failures)
        elif now >= claim.repeat_at:
            claim.repeat_at = now + max(c.node.timing.claim_wait // 2, 1)
            if self.lease is None:
                members = c.membership.members(now)
                for peer in members:
                    if peer.owner.id not in claim.promised:
                        c.out.send_everywhere(Prepare(claim.term, self.predecessor), peer)

    def on_promise(self, peer: Peer, promise: Promise) -> None:
        """Count a promise."""
        claim = self.claim
        if claim is not None and promise.term == claim.term:
            claim.promised[peer.owner.id] = None
            self._consider(claim)

    def _consider(self, claim: Claim) -> None:
        """Enough promises? An open group waits for all who may answer, a quorum group for M."""
        c = self._c
        if not c.node.quorum:
            expected = c.membership.expected(c.out.now)
            everybody = all(peer in claim.promised for peer in expected)
            electorate = claim.electorate is not None and len(claim.promised) > claim.electorate
            if everybody or electorate:
                self._lead()
        elif self.lease is None:
            voters = self._voters()
            names = {voters[node] for node in claim.promised if node in voters}
            if len(names) >= c.node.needed:
                claim.until = claim.started_at + c.node.timing.lease
                self._open_lease(claim.term)
                self._tick()

    def withdraw(self, delay: Span) -> None:
        """Give a claim up, and say so before anything else is promised."""
        claim, c = self.claim, self._c
        if claim is None:
            return
        self._forget_claim()
        c.out.broadcast(Release(claim.term), c.membership.members(c.out.now))
        c.agenda.elect_after(delay)

    def _forget_claim(self) -> None:
        claim, self.claim, self.lease = self.claim, None, None
        self._tick_at = self._resend_at = None
        if claim is not None:
            self._c.acceptor.release(self._me, claim.term)

    def on_nack(self, nack: Nack) -> None:
        """A no: our term is too low, or a better candidate is about."""
        c = self._c
        if nack.max_term >= MAX_TERM - 1:
            return
        if self.leading:
            if not nack.contended and nack.term == self.held.term <= nack.max_term:
                self.raise_term(nack.max_term)
        elif self.claim is None or nack.term != self.claim.term:
            return
        elif not nack.contended:
            c.acceptor.max_term = max(c.acceptor.max_term, nack.max_term)
            self.withdraw(c.agenda.skew() // 4)
        elif not c.node.quorum:
            self.withdraw(c.node.timing.claim_patience + c.agenda.skew())

    # -- leading

    def _voters(self) -> dict[NodeId, str]:
        """Ids of known voters with their names; in an open group only ourselves."""
        node, members = self._c.node, self._c.membership
        voters = {} if members.doubles.is_own(self._c.out.now) else {self._me.id: node.name}
        if node.quorum:
            for peer in members.peers.values():
                if peer.compatible and peer.name in node.voters:
                    voters[peer.owner.id] = peer.name
        return voters

    def _open_lease(self, term: Term) -> None:
        node = self._c.node
        self.lease = Lease(self._me.id, term, node.timing.lease, node.needed)

    def _lead(self) -> None:
        """The claim has succeeded."""
        c, claim = self._c, self.claim
        if claim is None:
            return
        self.claim = None
        c.agenda.election_at = None
        self._failures = 0
        if self.lease is None:
            self._open_lease(claim.term)
        lease = self.held
        lease.tenure = lease.term
        self._tick()
        self.leading = True
        self.led_at = c.out.now
        self.predecessor = self.electorate = None
        c.pauses.follow(self._me.id, lease.term)
        c.roles.lead(self.as_leader(), lease.deadline, Reason.ELECTED)
        c.out.add(ExtendLease(lease.deadline))
        c.out.add(PublishToken(lease.token))

    def _tick(self) -> None:
        """Send the next heartbeat to everybody; our own support is renewed by it."""
        c, lease = self._c, self.held
        now, timing = c.out.now, c.node.timing
        # Stored before it is sent: a lease counts from the sending.
        lease.beat(now, own_vote=c.node.votes)
        lease.count_support(now, timing.patience)
        c.acceptor.max_lock = max(c.acceptor.max_lock, timing.lock)
        until = now + timing.lock
        c.acceptor.take(
            Lock(self._me, lease.term, lease.seq, until, self.rank, timing.lock),
        )
        c.disk.persist()
        c.out.broadcast(self.heartbeat(), c.membership.members(now))
        planned = self._tick_at
        on_time = planned is not None and 0 <= now - planned < timing.heartbeat // 2
        self._tick_at = (planned if planned is not None and on_time else now) + timing.heartbeat
        self._resend_at = now + timing.heartbeat // 2
        self._renew(lease)

    def _renew(self, lease: Lease) -> None:
        c, token = self._c, lease.token
        grew = lease.renew(self._voters())
        if not self.leading:
            if grew and self.claim is not None and c.out.now < lease.deadline and c.node.quorum:
                self._lead()
            return
        if grew:
            c.out.add(ExtendLease(lease.deadline))
        if lease.token > token:
            c.out.add(PublishToken(lease.token))

    def heartbeat(self, echo: Nonce = NO_NONCE) -> Heartbeat:
        """Describe the newest heartbeat, with an ``echo`` if it answers a nonce."""
        lease, timing = self.held, self._c.node.timing
        return Heartbeat(
            term=lease.term,
            seq=lease.seq,
            tenure=lease.tenure or lease.term,
            support=lease.support,
            established=lease.tenure > 0,
            heartbeat=timing.heartbeat,
            lease=timing.lease,
            stop_timeout=timing.stop_timeout,
            echo=echo,
            pause=self._c.pauses.notice(self._c.out.now),
        )

    def _resend(self) -> None:
        """Once more to those who have not acknowledged: one lost datagram is never a miss.

        And by every path: a member that has one left is not lost when the one used is cut.
        """
        self._resend_at = None
        lease, now = self.held, self._c.out.now
        for peer in self._c.membership.members(now):
            silent = lease.acked_seq.get(peer.owner.id, 0) < lease.seq
            if silent and now - peer.heard_at <= RESEND_TO_THOSE_HEARD_WITHIN:
                self._c.out.send_everywhere(self.heartbeat(), peer)

    def on_ack(self, peer: Peer, ack: Ack) -> None:
        """Count an acknowledgement of the current term."""
        if ack.incarnation != self._me.incarnation:
            return
        lease = self.lease
        if lease is None or ack.term != lease.term:
            return
        if lease.acknowledge(peer.owner.id, ack.seq) and self._c.node.quorum:
            self._renew(lease)

    def raise_term(self, above: Term) -> None:
        """Go on under a higher term, so that those who have seen ``above`` follow."""
        c, lease = self._c, self.held
        term = max(above, lease.term, c.disk.used_term, c.acceptor.max_term) + 1
        if term >= MAX_TERM:
            c.out.note("terms-exhausted", "a member has used the terms up; remove its floor.json")
            return
        c.disk.used_term = term
        lease.raise_term(term)
        if self.leading:
            c.pauses.follow(self._me.id, term)
        self._tick()

    # -- losing

    def lapse(self, reason: Reason) -> None:
        """The lease ran out. Our own lock stays until the guardian says that the job has ended."""
        term = self.held.term
        self.lease = None
        self.leading = False
        self.lapsed = term
        self._tick_at = self._resend_at = None
        self._c.acceptor.hold()
        leaving, self.leaving = self.leaving, None
        if leaving is None:
            self._c.roles.step_back(reason, term)

    def yield_to(self, winner: LeaderInfo) -> None:
        """Give way at once. In an open group this does not say that our job has ended."""
        c, term = self._c, self.held.term
        self.lease = None
        self.leading = False
        self._tick_at = self._resend_at = None
        c.acceptor.release(self._me, term)
        c.out.broadcast(Release(term, winner.owner.id), c.membership.members(c.out.now))
        leaving, self.leaving = self.leaving, None
        if leaving is None:
            c.roles.step_back(Reason.YIELDED, term, winner)

    def step_down(self, reason: Reason, sit_out: Span = 0, successor: NodeId = 0) -> None:
        """End the job, then hand over; publicly a follower from now on."""
        if self.leading and self.leaving is None:
            self.leaving = Leaving(reason, sit_out, successor)
            self._c.roles.step_back(reason, self.held.term)
        elif self.claim is not None:
            self.withdraw(sit_out)

    def settled(self) -> None:
        """The job and its hooks have ended: what waited for that goes on."""
        c = self._c
        if self.leading and self.leaving is not None:
            self._resign(self.leaving)
        elif self.lapsed is not None:
            term, self.lapsed = self.lapsed, None
            c.acceptor.release(self._me, term)
            c.out.broadcast(Release(term), c.membership.members(c.out.now))
            # Whoever took over meanwhile is heard within H: do not disturb it with a claim.
            c.agenda.elect_after(c.node.timing.heartbeat + c.agenda.skew())
        if c.agenda.stopping:
            self.leave()
        elif self.idle and c.acceptor.lock(c.out.now) is None and c.agenda.election_at is None:
            c.agenda.elect_after(c.agenda.skew())

    def _resign(self, leaving: Leaving) -> None:
        c, lease = self._c, self.held
        now = c.out.now
        asked = leaving.reason is Reason.HANDED_OVER
        heir = choose_successor(c, lease, leaving.successor, asked=asked)
        release = Release(lease.term, heir)
        c.pauses.pass_on(self._me.id, release.successor, release.term)
        self.lease = None
        self.leading, self.leaving = False, None
        self._tick_at = self._resend_at = None
        c.acceptor.release(self._me, lease.term)
        self._farewells = [(now + after, release) for after in FAREWELLS]
        self._say_farewell()
        c.agenda.sit_out(leaving.sit_out)
        c.agenda.elect_after(c.node.timing.claim_patience + c.agenda.skew())

    def _say_farewell(self) -> None:
        c = self._c
        _, release = self._farewells.pop(0)
        c.out.broadcast(release, c.membership.members(c.out.now))
        if not self._farewells and c.agenda.stopping:
            self.leave()

    def leave(self) -> None:
        """Say goodbye, unless something that must be said first is still to come."""
        c = self._c
        waits = self.leading or self.lapsed is not None or self._c.roles.owes
        if self.stopped or self._farewells or waits:
            return
        self.stopped = True
        now = c.out.now
        c.out.broadcast(Bye(), c.membership.members(now))
        lock = c.acceptor.lock(now)
        c.out.add(Stopped(max(lock.until if lock else 0, c.agenda.quarantine_until)))

    def disk_failed(self) -> None:
        """A quorum node that cannot remember must not act: what was ordered was not spoken."""
        c = self._c
        if self.leading:
            self.lapse(Reason.UNWRITABLE)
        elif self.claim is not None:
            self._forget_claim()
        c.agenda.sit_out(RETRY_DISK_AFTER)
        if c.acceptor.lock(c.out.now) is None:
            c.agenda.elect_after(0)

    def keep_will(self, *, only_acked: bool) -> None:
        """See to it that the guardian could speak for us now, and no longer than it must.

        ``only_acked``: nothing but an ACK has come. What that may change waits for the next
        heartbeat: each member sends one a beat, and a will looks at all members.
        """
        if self.leading:
            if not (only_acked and self._will.is_of(self.held.term)):
                self._will.write(self.held)
        elif self._will.deposited is not None and self.lapsed is None:
            self._will.withdraw()
