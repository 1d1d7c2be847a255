"""The two clocks: one to measure with, one to show to people."""

from __future__ import annotations

import os
import time
from functools import partial

boottime = partial(time.clock_gettime_ns, time.CLOCK_BOOTTIME)
"""Nanoseconds of CLOCK_BOOTTIME: never set, goes on while the host is suspended."""


def wall_ms() -> int:
    """Milliseconds since 1970 by the wall clock, which may jump and may be wrong at boot."""
    return time.time_ns() // 1_000_000


def wall_us() -> int:
    """The same in microseconds."""
    return time.time_ns() // 1_000


def boot_mark() -> str:
    """What is the same as long as `boottime` counts on one clock; "" where that cannot be known.

    The boot's id and the time namespace: an instant read under another mark means nothing here.
    """
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot = file.read().strip()
        return f"{boot} {os.readlink('/proc/self/ns/time')}"
    except OSError:
        return ""
