"""The bench: what the product promises in figures, measured on five namespaced hosts.

    make bench                        every row, ten samples each: half an hour and more
    make bench ROWS="crash cut" N=20  some rows
    make bench ROWS=members           a table: what a group costs as it grows
    make bench ROWS=flood             two tables: what floods cost its leader

A row is ok if the median keeps its target (claims under loss: every sample). The exit code is 1 if
any row is not, or could not be measured, and 2 if no lab can be built here. The table that sets
others beside us is `make bench-peers`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys

from bench import flood, members
from bench.rows import ROWS, Row, Samples
from lab.net import missing_prerequisites

MEMBERS = "members"
FLOOD = "flood"
HEAD = f"{'figure':62} {'median':>9} {'min':>9} {'max':>9} {'n':>3} {'target':>10} {'':7} command"


def main(argv: list[str] | None = None) -> int:
    options = parse(argv)
    missing = missing_prerequisites()
    if missing:
        print(f"bench: {missing}", file=sys.stderr)
        return 2
    rows = [row for row in ROWS if row.name in options.rows]
    if rows:
        print(HEAD, flush=True)
    verdicts = [report(row, options.n) for row in rows]
    if MEMBERS in options.rows:
        verdicts.append(members.report(options.n))
    if FLOOD in options.rows:
        verdicts.append(flood.report())
    return 0 if all(verdicts) else 1


def parse(argv: list[str] | None) -> argparse.Namespace:
    names = [row.name for row in ROWS]
    known = [*names, MEMBERS, FLOOD]
    parser = argparse.ArgumentParser(prog="python -m bench.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("-n", type=int, default=10, help="samples for each row (default 10)")
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(known)}")
    options = parser.parse_args(argv)
    unknown = sorted(set(options.rows) - set(known))
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}; there are {', '.join(known)}")
    if options.n < 1:
        parser.error("-n: at least one sample")
    options.rows = options.rows or known
    return options


def report(row: Row, n: int) -> bool:
    """Measure one row and print its line; tell whether it keeps its target."""
    try:
        samples = row.measure(n)
    except (AssertionError, RuntimeError, subprocess.SubprocessError) as broken:
        print(f"{row.what:62} MISSED  {command(row, n)}\n{broken}", flush=True)
        return False
    print(line(row, samples, n), flush=True)
    return row.keeps(samples)


def line(row: Row, samples: Samples, n: int) -> str:
    median = statistics.median(samples)
    figures = " ".join(f"{value:9.3f}" for value in (median, min(samples), max(samples)))
    target = "" if row.limit is None else f"≤ {row.limit:g} {row.unit}"
    verdict = "ok" if row.keeps(samples) else "MISSED"
    return f"{row.what:62} {figures} {len(samples):3} {target:>10} {verdict:7} {command(row, n)}"


def command(row: Row, n: int) -> str:
    return f'make bench ROWS="{row.name}" N={n}'


if __name__ == "__main__":
    sys.exit(main())
