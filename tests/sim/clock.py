"""A host's clocks: BOOTTIME with its own rate, and a wall clock that may be anywhere.

True time is the simulator's alone; no node ever sees it. A reboot makes a new `HostClock`.
"""

from __future__ import annotations

from followtheleader.core.types import MS, Instant

THOUSANDTHS = 1000
EPOCH_MS = 1_800_000_000_000
"""What a right wall clock shows at true time 0, in milliseconds since 1970."""


class HostClock:
    """BOOTTIME of one boot: ``start`` at true time ``booted_at``, ``rate`` thousandths fast."""

    __slots__ = ("_booted_at", "_rate", "_start", "wall_error_ms")

    def __init__(self, booted_at: int, start: Instant, rate: int, wall_error_ms: int) -> None:
        self._booted_at = booted_at
        self._start = start
        self._rate = rate
        self.wall_error_ms = wall_error_ms

    def local(self, true: int) -> Instant:
        """Return what this host's BOOTTIME shows at true time ``true``."""
        return self._start + (true - self._booted_at) * self._rate // THOUSANDTHS

    def true(self, local: Instant) -> int:
        """Return the first true time at which this host's BOOTTIME shows ``local``."""
        return self._booted_at - (self._start - local) * THOUSANDTHS // self._rate + 1

    def wall_ms(self, true: int) -> int:
        """Return the wall clock in milliseconds since 1970, never before it."""
        return max(EPOCH_MS + true // MS + self.wall_error_ms, 1)
