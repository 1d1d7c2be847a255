"""Somebody speaks in our name: another node with our identity, if it does not pass.

For a moment it may be the echo of our own earlier life, which members still have in their ears.
"""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.core.addresses import show
from followtheleader.core.doubles import DOUBLED_EVERY
from followtheleader.core.types import NANOSECONDS, Address, Instant, Owner, Span

DOUBLED_FOR: Span = 3 * NANOSECONDS
DOUBLED_QUIET: Span = 30 * NANOSECONDS


class Impostors:
    """``tell(text)`` is called once a minute at most while it lasts."""

    def __init__(self, here: Address, tell: Callable[[str], None]) -> None:
        self._here = here
        self._tell = tell
        # Datagrams in our own name: since when, the last, and when to tell of them again.
        self._since: Instant = 0
        self._last: Instant = -DOUBLED_QUIET
        self._told: Instant = 0

    def heard(self, sender: Owner, me: Owner, source: Address, now: Instant) -> bool:
        """A datagram of ``sender``, which has our id; return whether it has taken it from us."""
        if sender == me:
            return False
        if now - self._last > DOUBLED_QUIET:
            self._since = now
        self._last = now
        if now - self._since <= DOUBLED_FOR:
            return False
        if now >= self._told:
            self._told = now + DOUBLED_EVERY
            self._tell(
                f"another node with this node's identity speaks from {show(source)} "
                f"(this one listens on {show(self._here)}): two machines with one machine-id and "
                "one name? Give one of them another `node`, or a fresh /etc/machine-id"
            )
        return sender.incarnation > me.incarnation
