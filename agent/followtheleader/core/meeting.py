"""When two leaders of an open group meet: who has proved what.

Promise: nobody yields to a ghost. A heartbeat may be a second old and its sender dead since, so a
leader compares ranks only with one that carries its own fresh nonce; and it believes a holder's word
about a third node only if that node's heartbeats are seen to advance between two reports.

A heartbeat without the nonce is answered by CHALLENGE, at most once per peer in 50 ms: without that
bound the two would answer each other for ever.
"""

from __future__ import annotations

from followtheleader.core.membership import CHALLENGE_EVERY, Peer
from followtheleader.core.messages import Busy, Challenge, Heartbeat
from followtheleader.core.node import Node
from followtheleader.core.nonces import Nonces
from followtheleader.core.outbox import Outbox
from followtheleader.core.types import Owner, Term

REPORTS_LIMIT = 64


class Meeting:
    """What a leader knows of other leaders."""

    def __init__(self, node: Node, nonces: Nonces, out: Outbox) -> None:
        self._node = node
        self._nonces = nonces
        self._out = out
        self._reports: dict[Owner, tuple[Term, int]] = {}

    def begin(self) -> None:
        """A new tenure: earlier reports prove nothing."""
        self._reports.clear()

    def is_proven(self, beat: Heartbeat, peer: Peer, own: Heartbeat) -> bool:
        """Does ``beat`` carry our fresh nonce? If not, challenge its sender."""
        if self._nonces.is_fresh(beat.echo, self._out.now):
            return True
        if self._out.now - peer.challenged_at >= CHALLENGE_EVERY:
            peer.challenged_at = self._out.now
            self._out.send(Challenge(self._nonces.issue(self._out.now), own), peer)
        return False

    def is_advancing(self, busy: Busy) -> bool:
        """Has the reported leader's heartbeat advanced since an earlier report?"""
        newest = (busy.term, busy.seq)
        earlier = self._reports.get(busy.leader)
        if earlier is None and len(self._reports) >= REPORTS_LIMIT:
            self._reports.clear()
        if earlier is None or newest > earlier:
            self._reports[busy.leader] = newest
        return earlier is not None and newest > earlier
