"""A job that follows the leader target: how long it takes to end here and to start there.

    make bench-systemd                             every mishap, five samples: ten minutes
    make bench-systemd MISHAPS="crash freeze" N=20

Three booted machines with real systemd and the .deb, the product's default times, an open and a
quorum group on them. The job is a unit of three lines; gaps are from the instant before the fault
to the last sign of life of the job on the host that is struck, and to the first of the job that
comes next, in one clock. A machine that is struck is struck in both groups at once.

A target is for the median, but that of a freeze for every sample. The exit code is 1 if one is
missed or something could not be measured, 2 if no machine can be booted here.
"""

from __future__ import annotations

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from lab import checker
from lab.cluster import Cluster, Election, Plan
from lab.members import Member
from lab.mishaps import BY_NAME, MISHAPS, Mishap
from lab.net import missing_prerequisites
from lab.rootfs import missing_for_machines
from lab.waiting import holds_for, wait_until

MS = 1_000_000
QUORUM_STOP_MS = 2000  # the product's default
LEASE_MS = 800


@dataclass(frozen=True, slots=True)
class Target:
    """The most that may pass until the job's end, and until the next one's start (ms)."""

    end: float | None = None
    start: float | None = None
    judged: Callable[[Sequence[float]], float] = statistics.median

    def keeps(self, gaps: Gaps) -> bool:
        """Do these samples keep it?"""
        pairs = ((self.end, gaps.ends), (self.start, gaps.starts))
        return all(most is None or self.judged(took) <= most for most, took in pairs if took)

    def __str__(self) -> str:
        words = [f"{most:g}" if most is not None else "" for most in (self.end, self.start)]
        return " / ".join(words) if any(words) else ""


TARGETS = {"crash": Target(80, 300), "freeze": Target(LEASE_MS + 300, judged=max)}


@dataclass(slots=True)
class Gaps:
    """What was measured of one mishap in one kind of group, in milliseconds."""

    ends: list[float] = field(default_factory=list)
    starts: list[float] = field(default_factory=list)

    def words(self) -> str:
        return f"{_figures(self.ends)} {_figures(self.starts)}"


def _figures(gaps: Sequence[float]) -> str:
    if not gaps:
        return f"{'-':>11} {'':6}"
    return f"{statistics.median(gaps):11.0f} {max(gaps):6.0f}"


_KINDS = ("open: ended here", "started there", "quorum: ended here", "started there")
HEAD = (
    f"{'what befalls the leader (ms: median, max)':44} {' '.join(f'{kind:>18}' for kind in _KINDS)}"
    f" {'n':>3} {'target':>9} {'':6} command"
)


def main(argv: list[str] | None = None) -> int:
    options = _parse(argv)
    missing = missing_prerequisites() or missing_for_machines()
    if missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    kept = True
    with Cluster([Plan("svc"), Plan("db", quorum=True, stop_ms=QUORUM_STOP_MS)]) as cluster:
        cluster.start()
        print(HEAD, flush=True)
        for name in options.mishaps:
            kept &= _report(BY_NAME[name], cluster, options.n)
    return 0 if kept else 1


def _parse(argv: list[str] | None) -> argparse.Namespace:
    known = [mishap.name for mishap in MISHAPS]
    parser = argparse.ArgumentParser(prog="python -m bench.systemd", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("-n", type=int, default=5, help="samples of each (default 5)")
    parser.add_argument("mishaps", nargs="*", metavar="MISHAP", help=f"of {', '.join(known)}")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.mishaps) - set(known))
    if unknown:
        parser.error(f"no such mishap: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.n < 1:
        parser.error("-n: at least one sample")
    options.mishaps = options.mishaps or known
    return options


def _report(mishap: Mishap, cluster: Cluster, n: int) -> bool:
    """Measure one mishap and print its line; tell whether it keeps its target."""
    command = f'make bench-systemd MISHAPS="{mishap.name}" N={n}'
    gaps = [Gaps() for _ in cluster.elections]
    try:
        for _ in range(n):
            _sample(mishap, cluster, gaps)
    except (AssertionError, RuntimeError, subprocess.SubprocessError) as broken:
        print(f"{mishap.what:44} MISSED  {command}\n{broken}", flush=True)
        return False
    target = TARGETS.get(mishap.name, Target())
    keeps = all(target.keeps(each) for each in gaps)
    figures = " ".join(each.words() for each in gaps)
    verdict = "" if target == Target() else "ok" if keeps else "MISSED"
    print(f"{mishap.what:44} {figures} {n:3} {target!s:>9} {verdict:6} {command}", flush=True)
    return keeps


def _sample(mishap: Mishap, cluster: Cluster, gaps: Sequence[Gaps]) -> None:
    """Strike once, wait for what follows, mend."""
    leaders = [election.members[0] for election in cluster.elections]
    for leader in leaders:
        leader.wait_job()
    if mishap.whole:
        _let_a_random_time_pass(cluster.elections[0])
        at = mishap.strike(cluster, leaders[0])
        for election, old, gap in zip(cluster.elections, leaders, gaps, strict=True):
            _measure(mishap, election, old, at, gap)
        mishap.mend(cluster, leaders[0])
    else:
        for election, old, gap in zip(cluster.elections, leaders, gaps, strict=True):
            _let_a_random_time_pass(election)
            at = mishap.strike(cluster, old)
            _measure(mishap, election, old, at, gap)
            mishap.mend(cluster, old)
            election.wait_settled()
    cluster.rest()


def _measure(mishap: Mishap, election: Election, old: Member, at: int, gap: Gaps) -> None:
    if mishap.moves is False:
        holds_for(lambda: old.role == "leader", 1, f"{old} leads")
        if checker.job_end(election.records(), at, old.name, at + checker.LATE) is not None:
            raise AssertionError(f"the job of {old} ended\n{election.describe()}")
        return
    if mishap.moves is None:
        election.wait_job_end(old, at)  # else all would look settled before anything has happened
    election.wait_settled(election.others(old) if mishap.moves else None)
    if mishap.ends or election.quorum:
        gap.ends.append((election.wait_job_end(old, at) - at) / MS)
    elsewhere = old.name if mishap.moves else ""
    start = wait_until(
        lambda: checker.job_start(election.records(), at, elsewhere),
        election.patience,
        "the next job starts",
        election.describe,
    )
    gap.starts.append((start - at) / MS)


def _let_a_random_time_pass(election: Election) -> None:
    """Strike anywhere in the heartbeat's period: right after a heartbeat would be the best case."""
    time.sleep(election.timing.heartbeat * random.uniform(2, 3))


if __name__ == "__main__":
    sys.exit(main())
