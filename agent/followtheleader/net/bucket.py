"""A token bucket: how often something may be done, and how often at once after silence."""

from __future__ import annotations

from followtheleader.core.types import NANOSECONDS, Instant


class Bucket:
    """``per_second`` times, and ``at_once`` after silence. Full at first."""

    __slots__ = ("_at", "_left", "_most", "_per_second")

    def __init__(self, per_second: int, at_once: int) -> None:
        self._per_second = per_second
        self._most = self._left = at_once * NANOSECONDS
        self._at: Instant = 0

    def spend(self, now: Instant, times: int = 1) -> bool:
        """Whether it may be done ``times`` times at ``now``, which never decreases."""
        self._left = min(self._most, self._left + (now - self._at) * self._per_second)
        self._at = now
        cost = times * NANOSECONDS
        if self._left < cost:
            return False
        self._left -= cost
        return True
