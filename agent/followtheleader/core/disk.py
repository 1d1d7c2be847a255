"""What must not be forgotten: ordered to be written before it is spoken."""

from __future__ import annotations

from followtheleader.core.acceptor import Acceptor
from followtheleader.core.actions import Persist
from followtheleader.core.node import Memory, Node
from followtheleader.core.outbox import Outbox
from followtheleader.core.types import NANOSECONDS, Span, Term

RETRY_DISK_AFTER: Span = 10 * NANOSECONDS


class Disk:
    """The floor of the terms and the longest lock: on disk before they are spoken."""

    def __init__(self, node: Node, memory: Memory, acceptor: Acceptor, out: Outbox) -> None:
        self._node = node
        self._acceptor = acceptor
        self._out = out
        known = (memory.floor or 0, memory.max_lock)
        self._written: tuple[Term, Span] = known if memory.writable else (-1, -1)
        self._retry_at = out.now
        self.used_term: Term = memory.floor or 0
        self.has_floor = memory.floor is not None
        self.writable = memory.writable

    @property
    def may_vote(self) -> bool:
        """A quorum node that cannot remember neither claims nor votes."""
        return self.writable or not self._node.quorum or self._may_try

    @property
    def _may_try(self) -> bool:
        return self.writable or self._out.now >= self._retry_at

    def persist(self) -> None:
        """Order what has changed to be written before the next action."""
        wanted = (max(self.used_term, self._acceptor.max_term), self._acceptor.max_lock)
        if wanted == self._written or not self._may_try:
            return
        self._written = wanted
        self.writable = True
        self._out.add(Persist(*wanted, required=self._node.quorum))

    def failed(self) -> None:
        """What was ordered last is not on disk."""
        self._written = (-1, -1)
        self.writable = False
        self._retry_at = self._out.now + RETRY_DISK_AFTER
