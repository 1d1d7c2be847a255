"""Open groups: when two leaders meet, and how to follow a leader that one cannot hear.

Promise: nobody yields to a ghost. A heartbeat may be a second old and its sender dead since, so a
leader compares ranks only with one that carries its own fresh nonce; and it believes a holder's
word about a third node only if that node's heartbeats are seen to advance between two reports.

A heartbeat without the nonce is answered by CHALLENGE, at most once per peer in 50 ms: without that
bound the two would answer each other for ever.

*Hearsay* is a lock that rests on a holder's word. It lasts as long as the holder's own, is renewed
only by news, and is never passed on as one's own.
"""

from __future__ import annotations

from dataclasses import replace

from followtheleader.core.acceptor import Lock
from followtheleader.core.context import Context
from followtheleader.core.messages import Ask, Busy, Challenge, Heartbeat
from followtheleader.core.peers import ANSWER_EVERY, Peer
from followtheleader.core.proposer import Proposer
from followtheleader.core.types import MS, Instant, LeaderInfo, Owner, Rank, Role, Span, Term

REPORTS_LIMIT = 64
ASK_PAUSE: Span = 50 * MS


class Meeting:
    """What this node knows of leaders that it does not follow directly."""

    def __init__(self, context: Context, proposer: Proposer) -> None:
        self._c = context
        self._proposer = proposer
        self._reports: dict[Owner, tuple[Term, int]] = {}
        self.ask_at: Instant | None = None

    # -- leader meets leader

    def must_yield(self, peer: Peer, beat: Heartbeat) -> bool:
        """We lead, and so says ``peer``. Has it proved to be alive, and does it rank higher?

        If we rank higher, raise our term above its, so that all that followed it accept ours.
        """
        c, proposer = self._c, self._proposer
        if not self._is_proven(peer, beat):
            return False
        theirs = Rank(beat.support, -beat.tenure, peer.priority, peer.owner.id)
        if theirs > proposer.rank:
            return True
        if beat.term >= proposer.as_leader().term:
            proposer.raise_term(beat.term)
        else:
            c.out.send(proposer.heartbeat(), peer)
        return False

    def _is_proven(self, peer: Peer, beat: Heartbeat) -> bool:
        c = self._c
        now = c.out.now
        if c.nonces.is_fresh(beat.echo, now):
            return True
        if now - peer.challenged_at >= ANSWER_EVERY:
            peer.challenged_at = now
            c.out.send(Challenge(c.nonces.issue(now), self._proposer.heartbeat()), peer)
        return False

    # -- hearsay

    def on_busy(self, peer: Peer, busy: Busy) -> LeaderInfo | None:
        """A holder of a direct lock names its leader; return whom to follow by its word."""
        c, proposer = self._c, self._proposer
        if c.acceptor.has_given_up(busy.leader, busy.term):
            return None
        if busy.address is not None:
            address = c.membership.hear_of(busy.address, peer, c.out.now)
            busy = replace(busy, address=address)
        if proposer.leading and proposer.lease is not None:
            sent = proposer.lease.sent_at(busy.echo)
            fresh = sent is not None and c.out.now - sent <= c.node.timing.patience
            if fresh and self._is_advancing(busy) and busy.rank > proposer.rank:
                proposer.yield_to(self._describe(busy))
                return self._believe(busy)
        elif proposer.claim is not None:
            if busy.echo == proposer.claim.term:
                proposer.withdraw(0)
                return self._believe(busy)
        elif c.nonces.is_fresh(busy.echo, c.out.now):
            return self._renew_belief(busy)
        return None

    def _is_advancing(self, busy: Busy) -> bool:
        """Has the reported leader's heartbeat advanced since an earlier report?"""
        newest = (busy.term, busy.seq)
        earlier = self._reports.get(busy.leader)
        if earlier is None and len(self._reports) >= REPORTS_LIMIT:
            self._reports.clear()
        if earlier is None or newest > earlier:
            self._reports[busy.leader] = newest
        return earlier is not None and newest > earlier

    def _describe(self, busy: Busy) -> LeaderInfo:
        leader = self._c.membership.peers.get(busy.leader.id)
        known = leader is not None and leader.owner == busy.leader
        name = leader.name if leader is not None and known else f"{busy.leader.id:016x}"
        return LeaderInfo(busy.leader, name, busy.address, busy.term, False)

    def _believe(self, busy: Busy) -> LeaderInfo | None:
        c = self._c
        now = c.out.now
        if c.acceptor.lock(now) is not None:
            return None
        c.acceptor.take(
            Lock(
                owner=busy.leader,
                term=busy.term,
                seq=busy.seq,
                until=self._until(busy),
                rank=busy.rank,
                span=c.node.timing.patience,
                direct=False,
            )
        )
        self.ask_at = now
        return self._describe(busy)

    def _until(self, busy: Busy) -> Instant:
        """As long as the holder believes: its leader may be slower than we are, or faster."""
        return self._c.out.now + busy.remaining

    def _renew_belief(self, busy: Busy) -> LeaderInfo | None:
        c = self._c
        lock = c.acceptor.foreign(c.out.now)
        if lock is None:
            return self._believe(busy) if c.roles.role is Role.CANDIDATE else None
        newer = (busy.term, busy.seq) > (lock.term, lock.seq)
        if not lock.direct and lock.owner == busy.leader and newer:
            lock.term, lock.seq, lock.until = busy.term, busy.seq, self._until(busy)
        return None

    def wake(self) -> None:
        """Following by hearsay: ask everybody who leads, every H or faster."""
        c = self._c
        now = c.out.now
        if self.ask_at is None or now < self.ask_at:
            return
        lock = c.acceptor.foreign(now)
        if lock is None or lock.direct:
            self.ask_at = None
            return
        # Several times before the belief ends, if its leader's pace is faster than ours.
        self.ask_at = now + min(c.node.timing.heartbeat, max((lock.until - now) // 3, ASK_PAUSE))
        c.out.broadcast(Ask(c.nonces.issue(now)), c.membership.members(now))
