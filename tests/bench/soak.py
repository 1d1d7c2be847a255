"""The soak for hours: ``make soak MINUTES=120``.

Ten agents, one change of leaders a minute at least, random faults. Exit status 0: every promise was
kept, and what an agent costs in the last quarter is what it cost in the second.
"""

from __future__ import annotations

import argparse
import random
import sys

from lab import soak
from lab.group import Group
from lab.net import missing_prerequisites


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--kind", choices=("open", "quorum"), default="quorum")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args(argv)
    missing = missing_prerequisites()
    if missing:
        print(f"soak: {missing}", file=sys.stderr)
        return 2
    print(f"{options.kind} group of ten, {options.minutes:g} min, seed {options.seed}", flush=True)
    with Group(10, quorum=options.kind == "quorum") as group:
        day = soak.Soak(group, random.Random(options.seed), lambda text: print(text, flush=True))
        try:
            day.run(options.minutes * 60)
        except AssertionError as broken:
            print(f"{group.describe()}\nbroken: {broken}")
            return 1
    faults = ", ".join(f"{name} {count}" for name, count in sorted(day.faults.items()))
    print(f"{day.changes} changes of leaders; {faults}\n{soak.table(day.readings)}")
    grown = soak.verdict(day.readings)
    print("\n".join(grown) or "flat")
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
