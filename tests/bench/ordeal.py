"""The ordeal at length: ``python -m bench.ordeal --faults 300 --seed N``, as root.

Random faults, one after another and two at once, on a quorum group of three, one of two and a
witness, one of five and an open one of five, side by side. ``--stop-timeout 2000`` gives the quorum
groups another `stop_timeout` than the lab's 400 ms. Exit status 0: every promise was kept. 300
faults take three minutes to six, as busy as the machine is.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from contextlib import ExitStack

from lab import ordeal
from lab.group import Group
from lab.net import missing_prerequisites


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.ordeal", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--faults", type=int, default=300)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--stop-timeout", type=int, metavar="MS")
    options = parser.parse_args(argv)
    missing = missing_prerequisites()
    if missing:
        print(f"ordeal: {missing}", file=sys.stderr)
        return 2
    print(f"{options.faults} faults, seed {options.seed}", flush=True)
    begun_at = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun_at:6.0f} s  {text}", flush=True)

    with ExitStack() as groups:

        def build(size: int, *, quorum: bool, stop_ms: int | None) -> Group:
            return groups.enter_context(Group(size, quorum=quorum, stop_ms=stop_ms))

        ordeals = ordeal.entries(
            build, options.seed, options.faults, say, stop_ms=options.stop_timeout
        )
        try:
            ordeal.run_side_by_side(ordeals)
        except AssertionError as broken:
            print(f"{broken}\nseed {options.seed}, {options.faults} faults")
            return 1
        for one in ordeals:
            print(one.summary())
    print(f"every promise was kept, {time.monotonic() - begun_at:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
