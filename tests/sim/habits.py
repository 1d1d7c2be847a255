"""How hosts behave without anybody's fault: how long things take. All spans are true time."""

from __future__ import annotations

import random
from dataclasses import dataclass

from followtheleader.core.types import MS, NANOSECONDS, Span

GRACE: Span = 4 * NANOSECONDS
"""SIGKILL comes this long after the request to end, where no deadline brings it earlier."""


@dataclass(slots=True)
class Habits:
    """``hurried``: jobs and hooks end at once; the rest are probabilities of something slow."""

    hurried: bool = False
    stubborn_job: float = 0.1
    slow_hook: float = 0.1
    slow_disk: float = 0.02
    late_timer: float = 0.02
    slow_answer: float = 0.02
    socket_buffer: int = 256

    def job_end(self, rng: random.Random, stop_timeout: Span) -> Span:
        """Return how long a job takes to end once asked: within B, unless it is stubborn."""
        if self.hurried:
            return 0
        if rng.random() < self.stubborn_job:
            return GRACE
        return int(rng.random() * max(stop_timeout, 200 * MS))

    def hook(self, rng: random.Random) -> Span:
        """Return how long an on_follower runs."""
        if self.hurried:
            return 0
        if rng.random() < self.slow_hook:
            return int(rng.random() * 3 * NANOSECONDS)
        return int(rng.random() * 50 * MS)

    def answer(self, rng: random.Random) -> Span:
        """Return how long a word between agent and guardian takes."""
        if self.slow_answer and rng.random() < self.slow_answer:
            return int(rng.random() * 100 * MS)
        return MS // 5

    def fsync(self, rng: random.Random) -> Span:
        """Return how long the agent stands still for one fsync."""
        if self.slow_disk and rng.random() < self.slow_disk:
            return int(rng.random() * 1500 * MS)
        return 0

    def oversleep(self, rng: random.Random) -> Span:
        """Return how late a timer fires."""
        if self.late_timer and rng.random() < self.late_timer:
            return int(rng.random() * 400 * MS)
        return 0

    def calm(self) -> None:
        """From now on nothing is slow."""
        self.stubborn_job = self.slow_hook = self.slow_disk = self.late_timer = 0.0
        self.slow_answer = 0.0
