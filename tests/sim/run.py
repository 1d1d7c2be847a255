"""``python -m sim.run``: many schedules, their totals, and the first violation with its seed.

Exit status 0: all promises held; 1: one was broken, and the last line says how to see it again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from sim.crowd import tell_story
from sim.invariants import Violation
from sim.many import how_many, run_many
from sim.measure import measure
from sim.schedule import Outcome, run_schedule
from sim.trace import Trace

KINDS = {"open": ("open",), "quorum": ("quorum",), "both": ("open", "quorum")}
Job = tuple[str, int]


@dataclass
class Totals:
    """The sum over many schedules of one kind."""

    schedules: int = 0
    fewest: int = 0
    most: int = 0
    """Nodes of a group."""
    simulated: int = 0
    most_packets: float = 0.0
    converged: list[int] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, outcome: Outcome) -> None:
        """Take one more schedule into account."""
        self.fewest = min(self.fewest, outcome.nodes) if self.schedules else outcome.nodes
        self.most = max(self.most, outcome.nodes)
        self.schedules += 1
        self.simulated += outcome.simulated
        self.most_packets = max(self.most_packets, outcome.most_packets)
        self.converged.append(outcome.converged_after)
        self.counts += outcome.counts

    def report(self, kind: str) -> str:
        """Return the totals as lines for people."""
        counts = self.counts
        self.converged.sort()
        worst = self.converged[-1] / 1e9
        late = self.converged[len(self.converged) * 99 // 100] / 1e9
        sizes = f"{self.fewest} to {self.most}" if self.fewest < self.most else f"{self.most}"
        faults = ", ".join(
            f"{name.removeprefix('fault: ')} {n}"
            for name, n in sorted(counts.items())
            if name.startswith("fault: ")
        )
        return "\n".join(
            (
                f"{kind}: {self.schedules} schedules, N = {sizes} nodes, "
                f"{self.simulated / 3.6e12:.2f} hours simulated, "
                f"{counts['steps']} steps, {counts['sent']} datagrams "
                f"({counts['lost']} lost, {counts['doubled']} doubled, {counts['late']} late)",
                f"  leaders elected {counts['leaders elected']}, wills {counts['wills']}, "
                f"fsyncs {counts['fsyncs']} ({counts['fsyncs failed']} failed), "
                f"restarts asked {counts['restarts asked']}",
                f"  faults: {faults}",
                f"  after healing converged within {late:.2f} s (p99), {worst:.2f} s (worst); "
                f"at most {self.most_packets:.0f} datagrams per peer and second",
            )
        )


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    options = _parse(arguments)
    kinds = KINDS[options.kind]
    if options.measure:
        print(measure(kinds, options.seeds or 20))
        return 0
    if options.crowd:
        return _run_crowd(kinds, options.crowd, options.seed or 1)
    if options.seed is not None:
        return _run_one(kinds, options.seed, options.trace)
    return _run_many(kinds, options.base, options.seeds or 100, options.jobs)


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m sim.run", description=__doc__)
    parser.add_argument("--kind", choices=sorted(KINDS), default="both")
    parser.add_argument("--seeds", type=how_many, help="how many schedules of each kind (100)")
    parser.add_argument("--base", type=int, default=0, help="the first seed")
    parser.add_argument("--seed", type=int, help="run this one schedule")
    parser.add_argument("--trace", help="with --seed: write the full trace to this file")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    parser.add_argument("--crowd", type=int, metavar="N", help="the story of a group of N members")
    parser.add_argument("--measure", action="store_true", help="print the gaps, not the totals")
    return parser.parse_args(arguments)


def _run_one(kinds: tuple[str, ...], seed: int, trace: str | None) -> int:
    for kind in kinds:
        totals = Totals()
        try:
            if trace is None:
                totals.add(run_schedule(kind, seed))
            else:
                with Path(trace).open("w") as file:
                    totals.add(run_schedule(kind, seed, Trace(file)))
        except Violation as violation:
            print(violation)
            return 1
        print(totals.report(kind))
    return 0


def _run_crowd(kinds: tuple[str, ...], members: int, seed: int) -> int:
    for kind in kinds:
        try:
            print(tell_story(kind, members, seed), flush=True)
        except Violation as violation:
            print(f"{violation}\nreplay: make sim KIND={kind} CROWD={members} SEED={seed}")
            return 1
    return 0


def _run_many(kinds: tuple[str, ...], base: int, seeds: int, jobs: int) -> int:
    began = time.monotonic()
    for kind in kinds:
        totals = Totals()
        work = [(kind, seed) for seed in range(base, base + seeds)]
        try:
            for outcome in run_many(_run_job, work, jobs):
                totals.add(outcome)
        except Violation as violation:
            print(violation)
            return 1
        print(totals.report(kind))
    took = time.monotonic() - began
    print(f"seeds {base} to {base + seeds - 1}, no violation, {took:.1f} s")
    return 0


def _run_job(job: Job) -> Outcome:
    return run_schedule(*job)


if __name__ == "__main__":
    sys.exit(main())
