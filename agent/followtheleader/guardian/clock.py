"""The one clock: CLOCK_BOOTTIME in integer nanoseconds, which does not stop in suspend."""

from __future__ import annotations

import time

MS = 1_000_000
SECOND = 1_000_000_000


def now() -> int:
    """Nanoseconds of CLOCK_BOOTTIME."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
