"""``python -m prove.exhaustive``: search each small world of `prove.scopes` to its end.

Exit status 0: every search was completed and found nothing; 1: otherwise. ``--small``: what takes
seconds. ``--without-rules``: with one rule taken out each time, a search has to find what it
prevents; exit status 1: one found nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing.pool import ThreadPool

from prove.mutants import MUTANTS
from prove.mutation import LONGEST, BenchError, Mutant, copy_of_the_house, patched
from prove.scopes import NAMED, SMALL
from prove.search import Report, Search


def search(name: str, *, seconds: float = 1e9, traced: bool = False, shown: bool = False) -> Report:
    """Search the scope called ``name``; ``shown``: tell a terminal how far it is."""
    began = time.monotonic()

    def progress(tick: int, states: int) -> None:
        spent = time.monotonic() - began
        sys.stderr.write(f"\r{name}: tick {tick}, {states:,} states, {spent:.0f} s\033[K")
        sys.stderr.flush()

    report = Search(NAMED[name], traced=traced).run(seconds, progress if shown else None)
    if shown:
        sys.stderr.write("\r\033[K")
    return report


def search_without(mutant: Mutant) -> tuple[Mutant, Report]:
    """Search the scope that ``mutant`` names with a core that lacks its rule."""
    with copy_of_the_house(patched(mutant)) as copy:
        done = subprocess.run(
            [sys.executable, "-m", "prove.exhaustive", "--json", mutant.scope],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": f"{copy / 'agent'}{os.pathsep}{copy / 'tests'}"},
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    if not done.stdout:
        last = done.stderr.strip().splitlines()[-1:]
        raise BenchError(f"{mutant.name} in {mutant.scope}: {''.join(last)}")
    return mutant, Report(NAMED[mutant.scope], **json.loads(done.stdout))


def line_of(report: Report, name: str = "") -> str:
    """Say a report in one line of a table."""
    result = report.violation or ("no violation" if report.complete else "NOT COMPLETE")
    count = f"{report.states:>12,} states {report.cells:>7,} cells {report.seconds:7.1f} s"
    return f"{name}{report.scope.name:<13} {count}  {result}"


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    options = _parse(arguments)
    if options.json:
        report = search(options.names[0])
        told = {part: getattr(report, part) for part in Report.TOLD}
        print(json.dumps(told))
        return 1 if report.violation else 0
    if options.without_rules:
        return _without_rules(options.jobs)
    names = options.names or (SMALL if options.small else tuple(NAMED))
    good = True
    shown = sys.stderr.isatty()
    ask = partial(search, seconds=options.seconds, traced=options.trace, shown=shown)
    with ProcessPoolExecutor(options.jobs) as pool:
        for report in pool.map(ask, names):
            if shown:
                sys.stderr.write("\r\033[K")  # another search may have left its line there
            print(f"{line_of(report)}  ({report.scope.about})", flush=True)
            for step in report.trace:
                print(f"    {step}")
            good = good and report.complete and not report.violation
    return 0 if good else 1


def _without_rules(jobs: int) -> int:
    chosen = [mutant for mutant in MUTANTS if mutant.scope]
    noticed = 0
    with ThreadPool(jobs) as pool:
        for mutant, report in pool.imap(search_without, chosen):
            noticed += bool(report.violation)
            print(line_of(report, f"{mutant.name:<35} "), flush=True)
    print(f"{len(chosen)} rules taken out, {noticed} times the search has noticed")
    return 0 if noticed == len(chosen) else 1


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m prove.exhaustive", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SCOPE", help=", ".join(NAMED))
    parser.add_argument("--small", action="store_true", help="only what takes seconds")
    parser.add_argument("--without-rules", action="store_true", help="search mutants of the core")
    parser.add_argument("--seconds", type=float, default=1e9, help="at most so long for a scope")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--trace", action="store_true", help="tell what led to a violation")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMED]
    if unknown:
        parser.error(f"no scope is called {', '.join(unknown)}; there are {', '.join(NAMED)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
