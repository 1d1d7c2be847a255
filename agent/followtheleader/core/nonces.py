"""Nonces: how a node knows that an answer was made now.

One nonce serves everybody for up to 50 ms, and is fresh for ``lifetime`` after it was made: an
answer that carries it was made after the question. Random numbers come from the generator that is
handed in.
"""

from __future__ import annotations

import random
from collections import deque

from followtheleader.core.types import MS, NO_NONCE, Instant, Nonce, Span

SHARED_FOR: Span = 50 * MS


class Nonces:
    """Issue nonces and recognize the fresh ones."""

    __slots__ = ("_issued", "_lifetime", "_rng")

    def __init__(self, rng: random.Random, lifetime: Span) -> None:
        self._rng = rng
        self._lifetime = lifetime
        self._issued: deque[tuple[Instant, Nonce]] = deque()

    def issue(self, now: Instant) -> Nonce:
        """Return a nonce that counts as fresh from ``now`` on."""
        if self._issued and now - self._issued[-1][0] < SHARED_FOR:
            return self._issued[-1][1]
        while self._issued and now - self._issued[0][0] > self._lifetime:
            self._issued.popleft()
        nonce = self._rng.getrandbits(64) or 1
        self._issued.append((now, nonce))
        return nonce

    def is_fresh(self, nonce: Nonce, now: Instant) -> bool:
        """Was ``nonce`` issued by us within the lifetime?"""
        if nonce == NO_NONCE:
            return False
        return any(
            nonce == issued and now - at <= self._lifetime + SHARED_FOR
            for at, issued in self._issued
        )
