"""The two clocks: one to measure with, one to show to people."""

from __future__ import annotations

import time


def boottime() -> int:
    """Nanoseconds of CLOCK_BOOTTIME: never set, goes on while the host is suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def wall_ms() -> int:
    """Milliseconds since 1970 by the wall clock, which may jump and may be wrong at boot."""
    return time.time_ns() // 1_000_000
