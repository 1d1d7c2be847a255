"""The acceptor: whom this node believes in, and since when it may believe in another.

Rule 1: a live lock is never replaced; it ends by its time or by its owner's word. (Hearsay is none:
it gives way to the first heartbeat that is heard.)
Rule 2: a lock belongs to an owner, that is a node *and* its incarnation.
Rule 3: a word that came too late (a term that its owner has given up) frees and locks nothing.

The lock is at once the follower's belief in its leader and its failure detector. Promises order
competing claims; nothing but liveness depends on them. After Trencseni, Gazso and Reinhardt,
PaxosLease (arXiv 1209.4187, as revised in 2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

from followtheleader.core.messages import Heartbeat
from followtheleader.core.timing import lock_span
from followtheleader.core.types import Instant, Owner, Rank, Span, Term

FOREVER: Instant = 2**63 - 1
GIVEN_UP_LIMIT = 1024


@dataclass(slots=True)
class Lock:
    """Belief in ``owner`` until ``until``.

    ``span`` is L. ``direct`` False: only by a holder's word (hearsay). ``established`` False: a
    candidate's.
    """

    owner: Owner
    term: Term
    seq: int
    until: Instant
    rank: Rank
    span: Span
    direct: bool = True
    established: bool = True


@dataclass(slots=True)
class Pledge:
    """A promise to lock ``owner`` if it claims ``term``."""

    owner: Owner
    term: Term
    until: Instant
    priority: int

    @property
    def strength(self) -> tuple[int, Term, int]:
        """Of two candidates the one of greater strength is promised."""
        return (self.priority, self.term, self.owner.id)


class Answer(Enum):
    """What an acceptor makes of a PREPARE or HEARTBEAT."""

    DROP = auto()
    BUSY = auto()
    CONTENDED = auto()
    LOWER_TERM = auto()
    REPEATED = auto()
    YES = auto()


class Acceptor:
    """Locks, promises, and the terms that were given up."""

    def __init__(self, me: Owner, *, quorum: bool, max_term: Term) -> None:
        self._me = me
        self._quorum = quorum
        self.max_term = max_term
        self.max_lock: Span = 0
        self._lock: Lock | None = None
        self._pledge: Pledge | None = None
        self._last: tuple[Owner, Term] | None = None
        self._given_up: dict[Owner, Term] = {}

    # -- questions

    def lock(self, now: Instant) -> Lock | None:
        """Return the live lock."""
        lock = self._lock
        return lock if lock is not None and now < lock.until else None

    def foreign(self, now: Instant) -> Lock | None:
        """Return the live lock on somebody else."""
        lock = self.lock(now)
        return lock if lock is not None and lock.owner != self._me else None

    def pledge(self, now: Instant) -> Pledge | None:
        """Return the live promise."""
        pledge = self._pledge
        return pledge if pledge is not None and now < pledge.until else None

    def has_given_up(self, owner: Owner, term: Term) -> bool:
        """Has ``owner`` said that it no longer acts under ``term``?"""
        return term <= self._given_up.get(owner, -1)

    def next_deadline(self) -> Instant:
        """Return the instant at which the lock runs out; `FOREVER`: never."""
        return self._lock.until if self._lock is not None else FOREVER

    # -- what others say

    def on_prepare(self, claim: Pledge, now: Instant) -> Answer:
        """Decide about a claim; on YES the promise is given."""
        if self.has_given_up(claim.owner, claim.term):
            return Answer.DROP
        lock = self.lock(now)
        if lock is not None and (self._quorum or (lock.direct and lock.owner != claim.owner)):
            return Answer.BUSY
        rival = self.pledge(now)
        if rival is not None and rival.owner != claim.owner and rival.strength > claim.strength:
            return Answer.CONTENDED
        if self._quorum and claim.term <= self.max_term:
            return Answer.LOWER_TERM
        self._pledge = claim
        return Answer.YES

    def on_heartbeat(self, lock: Lock, *, established: bool, now: Instant) -> Answer:
        """Decide about a leader's heartbeat; on YES ``lock`` is held from now on."""
        if self.has_given_up(lock.owner, lock.term):
            return Answer.DROP
        held = self.lock(now)
        if held is not None and held.direct and held.owner != lock.owner:
            return Answer.BUSY
        own = held if held is not None and held.owner == lock.owner and held.direct else None
        if own is None:
            refused = self._refuse(lock, established=established, now=now)
            if refused is not None:
                return refused
        elif (lock.term, lock.seq) <= (own.term, own.seq):
            return Answer.REPEATED
        self.take(lock)
        return Answer.YES

    def renew(self, owner: Owner, beat: Heartbeat, priority: int, now: Instant) -> bool:
        """Extend the established lock by its owner's next heartbeat; False: it is not that.

        This happens all day long, and nothing else does. The caller has dropped locks that ran out
        (`expire`).
        """
        lock = self._lock
        if lock is None or lock.owner != owner or lock.term != beat.term or beat.seq <= lock.seq:
            return False
        span = lock_span(beat.lease, beat.stop_timeout)
        if span != lock.span or not (lock.direct and lock.established):
            return False
        lock.seq = beat.seq
        lock.until = now + span
        rank = (beat.support, -beat.tenure, priority, owner.id)
        if lock.rank != rank:
            lock.rank = Rank(*rank)
        return True

    def _refuse(self, lock: Lock, *, established: bool, now: Instant) -> Answer | None:
        if self._quorum and lock.term <= self.max_term and self._last != (lock.owner, lock.term):
            return Answer.LOWER_TERM
        rival = self.pledge(now)
        if established or rival is None or rival.owner == lock.owner:
            return None
        strength = (lock.rank.priority, lock.term, lock.owner.id)
        return Answer.CONTENDED if rival.strength > strength else None

    def take(self, lock: Lock) -> None:
        """Hold ``lock``. The caller has seen to it that no other is live."""
        self._lock = lock
        if lock.direct:
            self._last = (lock.owner, lock.term)
            self.max_term = max(self.max_term, lock.term)
            if self._pledge is not None and self._pledge.owner != lock.owner:
                self._pledge = None

    def release(self, owner: Owner, term: Term) -> Lock | None:
        """``owner`` no longer acts under ``term`` or a lower one. Return the lock this freed."""
        if term > self._given_up.get(owner, -1):
            self._given_up.pop(owner, None)
            if len(self._given_up) >= GIVEN_UP_LIMIT:
                del self._given_up[next(iter(self._given_up))]
            self._given_up[owner] = term
        pledge = self._pledge
        if pledge is not None and pledge.owner == owner and pledge.term <= term:
            self._pledge = None
        lock = self._lock
        if lock is not None and lock.owner == owner and lock.term <= term:
            self._lock = None
            return lock
        return None

    # -- time, and ourselves

    def expire(self, now: Instant) -> Lock | None:
        """Drop the lock if it has run out, and return it."""
        lock = self._lock
        if lock is None or now < lock.until:
            return None
        self._lock = None
        return lock

    def promise(self, claim: Pledge) -> None:
        """Promise ourselves."""
        self._pledge = claim

    def hold(self) -> None:
        """Keep our own lock until our job has ended, however long that takes."""
        if self._lock is not None and self._lock.owner == self._me:
            self._lock.until = FOREVER
