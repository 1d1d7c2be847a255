"""Waiting on conditions, never on hope.

A test that needs something to have happened says what, and by when at the latest; it goes on the
moment it is true, and otherwise fails with the words it was given.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL = 0.005


def wait_until(
    condition: Callable[[], T | None],
    within: float,
    what: str,
    explain: Callable[[], str] | None = None,
    *,
    poll: float = POLL,
) -> T:
    """Return the first truthy value of ``condition``; AssertionError after ``within`` seconds.

    ``poll`` seconds lie between two looks: more of them where a look is dear.
    """
    deadline = time.monotonic() + within
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            detail = f"\n{explain()}" if explain else ""
            raise AssertionError(f"not within {within:.1f} s: {what}{detail}")
        time.sleep(poll)


def holds_for(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Require that ``condition`` stays true for so long; AssertionError the moment it is not."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not condition():
            raise AssertionError(f"did not hold for {seconds:.1f} s: {what}")
        time.sleep(POLL)
