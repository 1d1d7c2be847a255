"""The lease: until when a leader may act, computed from what was *sent* when.

Each heartbeat's send time is stored before it is sent. An acknowledgement of ``(term, seq)`` proves
that the acceptor believed in us at some time after that; its lock therefore outlives ``sent + T``.
The lease ends T after the M-th newest acknowledged send time, one per voter *name*.

Counting from the arrival of the acknowledgement instead (as the PaxosLease paper of 2012 does)
hands out a lease that the acceptors' locks need not cover.
"""

from __future__ import annotations

from collections.abc import Mapping

from followtheleader.core.types import Instant, NodeId, Span, Term

REMEMBERED_SENDS = 64


class Lease:
    """One tenure's (or claim's) heartbeats and who acknowledged them.

    ``deadline``: the node may act before this instant; 0 while it never could. ``token``: the
    newest term that enough acceptors have on disk; 0 before the first.
    """

    def __init__(self, me: NodeId, term: Term, span: Span, needed: int) -> None:
        self._me = me
        self._span = span
        self._needed = needed
        self._sent: dict[int, Instant] = {}
        self._acked_term: dict[NodeId, Term] = {}
        self.acked: dict[NodeId, Instant] = {}
        self.acked_seq: dict[NodeId, int] = {}
        self.term = term
        self.tenure: Term = 0
        self.token: Term = 0
        self.seq = 0
        self.support = 0
        self.deadline: Instant = 0

    def sent_at(self, seq: int) -> Instant | None:
        """Return when heartbeat ``seq`` of the current term was first sent, if remembered."""
        return self._sent.get(seq)

    def beat(self, now: Instant, *, own_vote: bool) -> None:
        """Begin the next heartbeat; our own acceptor acknowledges it at once."""
        self.seq += 1
        self._sent[self.seq] = now
        if len(self._sent) > REMEMBERED_SENDS:
            del self._sent[next(iter(self._sent))]
        if own_vote:
            self.acknowledge(self._me, self.seq)

    def acknowledge(self, acceptor: NodeId, seq: int) -> bool:
        """Count an acknowledgement of the current term; return whether it was one of ours."""
        sent = self._sent.get(seq)
        if sent is None:
            return False
        self.acked[acceptor] = max(sent, self.acked.get(acceptor, sent))
        self.acked_seq[acceptor] = max(seq, self.acked_seq.get(acceptor, 0))
        self._acked_term[acceptor] = self.term
        return True

    def renew(self, voters: Mapping[NodeId, str]) -> bool:
        """Recompute ``deadline`` and ``token``; return whether the deadline grew.

        ``voters`` maps ids to names, whichever ids are voters; a name counts once.
        """
        newest: dict[str, Instant] = {}
        current: set[str] = set()
        for acceptor, name in voters.items():
            sent = self.acked.get(acceptor)
            if sent is None:
                continue
            newest[name] = max(sent, newest.get(name, sent))
            if self._acked_term[acceptor] == self.term:
                current.add(name)
        if len(newest) < self._needed:
            return False
        if len(current) >= self._needed:
            self.token = self.term
        supported = sorted(newest.values(), reverse=True)[self._needed - 1]
        deadline = supported + self._span
        if deadline <= self.deadline:
            return False
        self.deadline = deadline
        return True

    def raise_term(self, term: Term) -> None:
        """Go on under a higher term; what was acknowledged keeps its worth, the token waits."""
        self.term = term
        self._sent.clear()

    def count_support(self, now: Instant, patience: Span) -> None:
        """Freeze the number of others that acknowledged within ``patience``."""
        self.support = sum(
            1
            for acceptor, at in self.acked.items()
            if acceptor != self._me and now - at <= patience
        )
