"""ftl-agent beside keepalived, ucarp and npm's followtheleader: one run, one table.

    make bench-peers                     three samples of each; npm, which takes minutes, one
    make bench-peers N=10 PEERS="ucarp"  more of them, of some

All meet the same five hosts and the same faults, and all gaps are read from the same stamps, which
their hooks write: from before the fault to the first line of the hook that says leader. Nothing is
judged here; the exit code is 1 if something could not be measured, and 2 with the command that
installs what is missing.
"""

from __future__ import annotations

import argparse
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from bench.arena import Arena, Seat
from bench.contenders import CONTENDERS, Contender, missing, version
from bench.process import pss_alone
from lab import checker
from lab.events import NS
from lab.net import missing_prerequisites
from lab.waiting import wait_until

LOSS_PERCENT = 20
LOSS_SECONDS = 60
LIVES_FOR_LOSS = 4
STOPPING_SECONDS = 15
NEVER = math.inf


@dataclass(frozen=True, slots=True)
class Fault:
    """``strike`` returns the instant before it; ``mend`` brings the host back, likewise.

    ``two`` is the row that tells how long two lead after the mending, if that is of interest.
    """

    row: str
    strike: Callable[[Arena, Seat], int]
    mend: Callable[[Arena, Seat], int]
    two: str = ""


def _restart(_: Arena, seat: Seat) -> int:
    wait_until(seat.is_gone, STOPPING_SECONDS, f"{seat.name} stops", seat.tail)
    return seat.start()


CRASH = Fault("crash", lambda _, seat: seat.crash(), lambda _, seat: seat.start())
FAULTS = [
    CRASH,
    Fault("crash-all", lambda _, seat: seat.crash_all(), lambda _, seat: seat.start()),
    Fault("freeze", lambda _, seat: seat.freeze(), lambda _, seat: seat.thaw(), "thaw"),
    Fault("cut", lambda arena, seat: arena.cut(seat), lambda arena, _: arena.heal(), "heal"),
    Fault("stop", lambda _, seat: seat.stop(), _restart),
]

ROWS = {
    "launch": "launch to one leader alone, where it came to one, s",
    "several": "several leaders at cold start",
    "crash": "failover: electing process killed, s",
    "crash-all": "failover: all its processes killed, s",
    "freeze": "failover: electing process frozen, s",
    "cut": "failover: host cut off, carrier kept, s",
    "stop": "graceful stop, s",
    "heal": "two leaders after healing, for s",
    "thaw": "two leaders after a frozen one resumes, for s",
    "loss": f"leader claims in {LOSS_SECONDS} s at {LOSS_PERCENT} % loss",
    "memory": "memory of one node (PSS), MiB",
}


@dataclass(slots=True)
class Figures:
    """What was measured of one contender: samples by row, in seconds, `NEVER` among them."""

    contender: Contender
    samples: dict[str, list[float]] = field(default_factory=dict)

    def add(self, row: str, value: float) -> None:
        self.samples.setdefault(row, []).append(value)

    def cell(self, row: str) -> str:
        if row == "crash" and not self.contender.has_helper:
            row = "crash-all"  # it has but one process
        samples = self.samples.get(row)
        if not samples:
            return "never" if row == "launch" else "–"
        if row == "several":
            return f"{sum(samples):.0f} of {len(samples)}"
        median = statistics.median(samples)
        if median == NEVER:
            return "for ever" if row in ("heal", "thaw") else "never"
        if row == "loss":
            return f"{median:g}"
        return f"{median:.3f}" if median < 1 else f"{median:.3g}"


# -- measuring


def measure(contender: Contender, n: int) -> Figures:
    """Every row of one contender, ``n`` samples each; RuntimeError, AssertionError if it fails."""
    figures = Figures(contender)
    n = max(1, n // contender.every)
    todo = _faults(contender) * n
    lives_left = n + 2 * len(todo)
    while lives_left and (todo or len(figures.samples.get("several", ())) < n):
        lives_left -= 1
        with Arena(contender) as arena:
            leader = _launch(arena, figures)
            while leader and todo:
                leader = _strike(arena, leader, todo.pop(0), figures)
    if todo:
        raise RuntimeError(
            f"{contender.name}: found no one leader to strike in {2 * len(todo)} lives"
        )
    if contender.elects:
        for _ in range(math.ceil(n / 3)):
            for _ in range(LIVES_FOR_LOSS):  # until one begins with one leader
                if _lose(contender, figures):
                    break
    return figures


def _faults(contender: Contender) -> list[Fault]:
    if not contender.elects:
        return []
    return [fault for fault in FAULTS if fault is not CRASH or contender.has_helper]


def _launch(arena: Arena, figures: Figures) -> Seat | None:
    """Start all hosts and return the one that leads, or None if several do for good."""
    at = arena.start()
    leaders = arena.leaders()
    one = leaders[0] if len(leaders) == 1 else None
    figures.add("several", arena.several_led())
    if one:
        figures.add("launch", (arena.one_since() - at) / NS)
        figures.add("memory", sum(pss_alone(one.pids())))
    return one


def _strike(arena: Arena, leader: Seat, fault: Fault, figures: Figures) -> Seat | None:
    """One fault from beginning to end; the one who leads afterwards, or None if several do."""
    arena.let_a_random_time_pass()
    at = fault.strike(arena, leader)
    gap = arena.takeover(at, leader)
    figures.add(fault.row, NEVER if gap is None else gap / NS)
    arena.leaders()  # whoever leads by now, mending begins when the others have settled
    since = fault.mend(arena, leader)
    leaders = arena.leaders()
    if fault.two:
        figures.add(fault.two, _two_leaders(arena, since))
    return leaders[0] if len(leaders) == 1 else None


def _two_leaders(arena: Arena, since: int) -> float:
    if len(arena.open_tenures()) > 1:
        return NEVER
    return checker.two_leaders_ns(arena.log.read(), since) / NS


def _lose(contender: Contender, figures: Figures) -> bool:
    """One leader, and then loss on every link: the claim that made it counts as the first.

    False, and no figure, if the launch came to several leaders.
    """
    with Arena(contender) as arena:
        if _launch(arena, figures) is None:
            return False
        at = arena.lose(LOSS_PERCENT)
        time.sleep(LOSS_SECONDS)
        records = arena.log.read(at)
        claims = sum(r.is_hook_start and r.what == "hook.leader" for r in records)
        figures.add("loss", 1 + claims)
        return True


# -- the table


def table(all_figures: Sequence[Figures]) -> str:
    """Markdown: a column for each contender, medians."""
    titles = [figures.contender.title for figures in all_figures]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(titles) + 1) + "|"]
    for row, what in ROWS.items():
        cells = [figures.cell(row) for figures in all_figures]
        lines.append(f"| {what} | {' | '.join(cells)} |")
    return "\n".join(lines)


def report(names: Sequence[str], n: int) -> int:
    """Measure and print; return the exit code."""
    contenders = [contender for contender in CONTENDERS if contender.name in names]
    lacking = missing_prerequisites() or missing(contenders)
    if lacking:
        print(f"bench: this needs more: {lacking}", file=sys.stderr)
        return 2
    measured, failed = [], False
    for contender in contenders:
        began = time.monotonic()
        try:
            measured.append(measure(contender, n))
        except (AssertionError, RuntimeError, subprocess.SubprocessError) as broken:
            print(f"{contender.title}: NOT MEASURED\n{broken}", file=sys.stderr)
            failed = True
            continue
        took = time.monotonic() - began
        samples = {row: len(found) for row, found in measured[-1].samples.items()}
        print(f"# {contender.title}: {took:.0f} s, samples {samples}", file=sys.stderr, flush=True)
    versions = dict.fromkeys(version(contender) for contender in contenders)
    print(f"Five hosts, medians; {', '.join(versions)}; `make bench-peers N={n}`\n")
    print(table(measured))
    return 1 if failed else 0


def main(argv: list[str] | None = None) -> int:
    names = [contender.name for contender in CONTENDERS]
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("-n", type=int, default=3, help="samples for each row (default 3)")
    parser.add_argument("names", nargs="*", metavar="PEER", help=f"of {', '.join(names)}")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.names) - set(names))
    if unknown:
        parser.error(f"no such peer: {', '.join(unknown)}; there are {', '.join(names)}")
    if options.n < 1:
        parser.error("-n: at least one sample")
    return report(options.names or names, options.n)


if __name__ == "__main__":
    sys.exit(main())
