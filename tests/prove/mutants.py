"""``python -m prove.mutants``: take the rules of the election out, one by one; who notices?

Each mutant of the tables (`prove.of_locks` and its neighbours) is tried on a copy of the agent
against the tests that it names. Exit status 0: each is killed by all of them, or survives with a
reason; 1: one survives without, a test has not noticed it, or the bench could not say.
``--only NAME…`` tries some.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from prove.mutation import BenchError, Mutant, patched, try_mutant, try_without
from prove.of_counts import COUNTS
from prove.of_leases import LEASES
from prove.of_locks import LOCKS
from prove.of_memory import MEMORY
from prove.of_peace import PEACE

MUTANTS: tuple[Mutant, ...] = (*LOCKS, *MEMORY, *COUNTS, *LEASES, *PEACE)


@dataclass(frozen=True, slots=True)
class Result:
    """How a mutant fared. ``killers`` empty: it survived; ``trouble``: or could not be tried."""

    mutant: Mutant
    killers: tuple[str, ...]
    seconds: float
    trouble: str = ""

    @property
    def killed(self) -> bool:
        """Has a test failed as it should?"""
        return bool(self.killers)

    @property
    def idle(self) -> tuple[str, ...]:
        """Tests that the table names, and that have seen nothing."""
        return tuple(test for test in self.mutant.tests if test not in self.killers)

    @property
    def as_expected(self) -> bool:
        """Does each of its tests kill it, or does it live with a reason?"""
        if self.trouble or self.mutant.harmless_because:
            return not self.trouble and not self.killed
        return self.killed and not self.idle

    def line(self) -> str:
        """Say it in one line."""
        name = f"{self.mutant.name:<36} {self.seconds:5.1f} s  "
        if self.trouble:
            return f"{name}NOT TRIED: {self.trouble.splitlines()[-1]}"
        if self.killed and self.mutant.harmless_because:
            return f"{name}KILLED, though said to be harmless, by {_names(self.killers)}"
        if self.killed:
            idle = f", BUT NOT BY {_names(self.idle)}" if self.idle else ""
            return f"{name}killed by {_names(self.killers)}{idle}"
        reason = self.mutant.harmless_because
        return f"{name}{'survives, harmless' if reason else 'SURVIVES'}"


def run(names: Iterable[str], progress: Callable[[Result], None]) -> list[Result]:
    """Try the mutants called ``names`` (none: all of them), telling each result to ``progress``.

    BenchError: a patch does not apply, or the tests fail without one.
    """
    wanted = dict.fromkeys(names)
    unknown = [name for name in wanted if name not in {m.name for m in MUTANTS}]
    if unknown:
        raise BenchError(f"no mutant is called {', '.join(unknown)}")
    chosen = [m for m in MUTANTS if not wanted or m.name in wanted]
    for mutant in chosen:
        patched(mutant)
    try_without(test for mutant in chosen for test in mutant.tests)
    results = []
    for mutant in chosen:
        said, seconds = try_mutant(mutant)
        trouble = "" if said.status == 0 or said.failed else said.last_words
        # Named with one set of parameters it is told so, else as the one function it is.
        killers = (t if t in mutant.tests else t.partition("[")[0] for t in said.failed)
        results.append(Result(mutant, tuple(dict.fromkeys(killers)), seconds, trouble))
        progress(results[-1])
    return results


def report(results: list[Result]) -> str:
    """Return the table for people, and what is to be said of survivors."""
    rows = [("mutant", "rule", "killed by", "seconds")]
    for r in results:
        first, *more = r.killers or ("-",)
        rows.append((r.mutant.name, r.mutant.rule, first, f"{r.seconds:.1f}"))
        rows += [("", "", test, "") for test in more]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        " | ".join(f"{word:<{width}}" for word, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
    survivors = [r for r in results if not r.killed]
    for r in survivors:
        reason = r.mutant.harmless_because
        why = r.trouble or (f"harmless: {reason}" if reason else "NO TEST KILLS IT")
        lines.append(f"survivor {r.mutant.name}: {why}")
    lines += [f"idle at {r.mutant.name}: {test}" for r in results if r.killed for test in r.idle]
    bad = sum(not r.as_expected for r in results)
    lines.append(
        f"{len(results)} mutants: {len(results) - len(survivors)} killed, "
        f"{len(survivors)} survive; {bad} not as they should be"
    )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m prove.mutants", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="try these only")
    options = parser.parse_args(arguments)
    try:
        results = run(options.only, lambda result: print(result.line(), flush=True))
    except BenchError as error:
        print(error, file=sys.stderr)
        return 1
    print()
    print(report(results))
    return 0 if all(result.as_expected for result in results) else 1


def _names(tests: Iterable[str]) -> str:
    return ", ".join(test.partition("::")[2] for test in tests)


if __name__ == "__main__":
    sys.exit(main())
