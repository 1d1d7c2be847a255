"""Datagrams that this host does not let out: told while they fail, and over when they pass.

Promise: a firewall of our own host, or a host from which nothing can leave for seconds, is the
trouble ``sending``, with the address and the cure. An address without a route among others that
work is none: members are remembered of networks that this host has left.
"""

from __future__ import annotations

import asyncio
from collections import Counter

from followtheleader.net.udp import Endpoint
from followtheleader.observer import Observer

FIRST_SECONDS = 1.0
AGAIN_SECONDS = 5.0
_OF_THIS_HOST = ("EPERM", "EACCES")


class Unsent:
    """``counters``: ``sent`` and ``send-failed``, as the driver counts them."""

    def __init__(self, endpoint: Endpoint, counters: Counter[str], observer: Observer) -> None:
        self._endpoint = endpoint
        self._counters = counters
        self._observer = observer
        self._timer: asyncio.TimerHandle | None = None
        self._before = (0, 0)
        self._looks = 0

    def failed(self) -> None:
        """A datagram could not leave. Costs nothing while none fails."""
        self._counters["send-failed"] += 1
        if self._timer is None:
            sent, failed = self._counters["sent"], self._counters["send-failed"]
            self._before, self._looks = (sent - 1, failed - 1), 0
            self._wait(FIRST_SECONDS)

    def close(self) -> None:
        """Tell nothing more."""
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        failures = self._endpoint.take_failures()
        now = (self._counters["sent"], self._counters["send-failed"])
        sent, failed = (new - old for new, old in zip(now, self._before, strict=True))
        # At a boot the network may come a moment after us.
        mute = sent == failed and self._looks > 0
        told = [f for f in failures if mute or f.kind in _OF_THIS_HOST]
        if told:
            last = "; ".join(sorted(failure.last for failure in told))
            self._observer.on_trouble("sending", f"datagrams cannot leave this host: {last}")
        else:
            self._observer.on_relief("sending")
        if failures:
            self._before, self._looks = now, self._looks + 1
            self._wait(AGAIN_SECONDS)
