"""The replay window: no datagram of an incarnation is taken twice (RFC 4303, 3.4.3).

64 counters back are remembered; older ones count as replayed. Needs no clock and no disk, because a
new incarnation begins a new window, and only after it answered a nonce.
"""

from __future__ import annotations

WINDOW = 64


class ReplayWindow:
    """Remember which counters of one incarnation were seen."""

    __slots__ = ("_newest", "_seen")

    def __init__(self) -> None:
        self._newest = -1
        self._seen = 0

    def accept(self, counter: int) -> bool:
        """Return whether ``counter`` is new, and remember it."""
        ahead = counter - self._newest
        if ahead > 0:
            # A jump of 64 or more leaves nothing of the old window; never shift by a huge number.
            shifted = self._seen << ahead if ahead < WINDOW else 0
            self._seen = (shifted | 1) & (2**WINDOW - 1)
            self._newest = counter
            return True
        if -ahead >= WINDOW or self._seen >> -ahead & 1:
            return False
        self._seen |= 1 << -ahead
        return True
