"""Noticing a guardian that hangs: it must answer while a job may run or a hook is owed.

A hung guardian would let a job outlive its lease. It is given two seconds, so that a busy machine
does not cost a job; the one that replaces it ends what it left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

EVERY_SECONDS = 0.5
MOST_UNANSWERED = 4
LATE_SECONDS = 0.3


class Pulse:
    """Asks while ``needed()``, and calls ``on_silence()`` after two seconds without an answer."""

    def __init__(
        self,
        needed: Callable[[], bool],
        ask: Callable[[], None],
        on_silence: Callable[[], None],
    ) -> None:
        self._needed = needed
        self._ask = ask
        self._on_silence = on_silence
        self._unanswered = 0
        self._timer: asyncio.TimerHandle | None = None

    def feel(self) -> None:
        """Begin, or go on; it ends by itself when nothing needs an answer any more."""
        if self._timer is None and self._needed():
            self._unanswered = 0
            self._plan()

    def answered(self) -> None:
        """It lives."""
        self._unanswered = 0

    def stop(self) -> None:
        """Ask no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time() + EVERY_SECONDS
        self._timer = loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        self._timer = None
        if not self._needed():
            return
        if asyncio.get_running_loop().time() - due > LATE_SECONDS:
            self._unanswered = 0  # we were away ourselves: its answers may wait to be read
        if self._unanswered >= MOST_UNANSWERED:
            self._on_silence()
            return
        self._unanswered += 1
        self._ask()
        self._plan()
