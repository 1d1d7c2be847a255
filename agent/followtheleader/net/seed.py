"""The wire of npm's followtheleader: followers send the ASCII word PING, the leader answers PONG.

The answer is no longer than the question, so it amplifies nothing, and its rate is bounded.
"""

from __future__ import annotations

PING = b"PING"
PONG = b"PONG"
_PER_SECOND = 200
_NANOSECONDS = 1_000_000_000


class PongBudget:
    """How many answers may still be given: 200 a second, and as many at once after silence."""

    def __init__(self) -> None:
        self._left = _PER_SECOND * _NANOSECONDS
        self._at = 0

    def spend(self, now: int) -> bool:
        """Whether to answer at ``now`` (nanoseconds, never decreasing)."""
        gained = (now - self._at) * _PER_SECOND
        self._left = min(_PER_SECOND * _NANOSECONDS, self._left + gained)
        self._at = now
        if self._left < _NANOSECONDS:
            return False
        self._left -= _NANOSECONDS
        return True
