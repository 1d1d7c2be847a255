"""What an ordeal has come to: how often what was asked, and how the group bore it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab import checker
from lab.checker import Span
from lab.events import NS, Record


@dataclass
class Tally:
    """Counts while it goes on. All spans in seconds."""

    faults: Counter[str] = field(default_factory=Counter)
    settled: list[float] = field(default_factory=list)
    """While a fault lasted: until those who were left had a leader."""
    leaderless: list[float] = field(default_factory=list)
    """While a fault lasted that left no majority: until nobody led."""
    healed: list[float] = field(default_factory=list)
    """After it: until all agreed."""

    def demand(self, *, minority: bool) -> None:
        """AssertionError if nothing was asked: a run that asks nothing proves nothing.

        ``minority``: at some time too few agents of a quorum group were left.
        """
        assert self.settled, "while a fault lasted nobody was ever asked for a leader"
        assert self.leaderless or not minority, "nobody ever looked whether a minority leads"
        assert self.healed, "after a fault nobody was ever asked for a leader"

    def line(self, name: str, records: Sequence[Record], *, quorum: bool) -> str:
        """One line: what befell the group, and how it bore it. AssertionError if no job ran."""
        gains = [r for r in records if r.is_hook_start and r.what == "hook.leader"]
        jobs = sorted(checker.lives(records, "job"), key=lambda job: job.start)
        assert gains, f"{name}: nobody ever led"
        assert jobs, f"{name}: no job ever ran"
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        may = "" if quorum else " (all while it was divided)"
        return (
            f"{name}: {self.faults.total()} faults ({kinds}); {len(gains)} leaders; longest "
            f"without a job {longest_idle(jobs) / NS:.1f} s; settled {_times(self.settled)}, "
            f"without a majority nobody led {_times(self.leaderless)}, healed "
            f"{_times(self.healed)}; tokens {gains[0].token} to {gains[-1].token}; "
            f"overlaps {overlaps(jobs)}{may}"
        )


def longest_idle(jobs: Sequence[Span]) -> int:
    """The longest span (ns) between the first job and the last in which none ran."""
    longest, busy_until = 0, jobs[0].start
    for job in jobs:
        longest = max(longest, job.start - busy_until)
        busy_until = max(busy_until, job.end or busy_until)
    return longest


def overlaps(jobs: Sequence[Span]) -> int:
    """How many jobs began while an earlier one ran."""
    number, busy_until = 0, jobs[0].start
    for job in jobs:
        number += job.start < busy_until
        busy_until = max(busy_until, job.end or busy_until)
    return number


def _times(spans: Sequence[float]) -> str:
    return f"within {max(spans, default=0):.1f} s {len(spans)} times"
