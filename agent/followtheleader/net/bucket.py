"""A token bucket: how often something may be done, and how often at once after silence."""

from __future__ import annotations

from followtheleader.core.types import NANOSECONDS, Instant, Span


class Bucket:
    """``times`` in each ``span``, and ``at_once`` after silence. Full at first."""

    __slots__ = ("_at", "_left", "_most", "_span", "_times")

    def __init__(self, times: int, *, at_once: int, span: Span = NANOSECONDS) -> None:
        self._times = times
        self._span = span
        self._most = self._left = at_once * span
        self._at: Instant = 0

    def spend(self, now: Instant) -> bool:
        """Whether it may be done at ``now``, which never decreases."""
        self._left = min(self._most, self._left + (now - self._at) * self._times)
        self._at = now
        if self._left < self._span:
            return False
        self._left -= self._span
        return True
