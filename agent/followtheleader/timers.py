"""Timers of the running loop, known by name: each is planned at most once at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Timers:
    """What is to be done a while from now."""

    def __init__(self) -> None:
        self._planned: dict[str, asyncio.TimerHandle] = {}

    def after(self, name: str, seconds: float, action: Callable[[], object]) -> None:
        """Call ``action`` once after a while, unless that is planned already."""
        if name not in self._planned:

            def fire() -> None:
                self._planned.pop(name, None)
                action()

            self._planned[name] = asyncio.get_running_loop().call_later(seconds, fire)

    def cancel(self, *names: str) -> None:
        """It is not needed any more."""
        for name in names:
            if name in self._planned:
                self._planned.pop(name).cancel()

    def cancel_all(self) -> None:
        """Nothing is needed any more."""
        self.cancel(*list(self._planned))
