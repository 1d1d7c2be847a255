"""Many schedules on all processors, in the order of their seeds."""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

from sim.schedule import Outcome

Work = TypeVar("Work")


def run_many(
    run: Callable[[Work], Outcome], work: Sequence[Work], processes: int
) -> Iterator[Outcome]:
    """Run them, so many at once; raise the first `Violation`, and begin no others.

    Not by `multiprocessing.Pool`, whose end sometimes never comes while there is work left.
    """
    pool = ProcessPoolExecutor(max(processes, 1), initializer=_keep)
    try:
        yield from pool.map(run, work, chunksize=4)
    finally:
        pool.shutdown(cancel_futures=True)


def how_many(text: str) -> int:
    """A number of schedules on a command line: none would look like all that hold."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: a whole number from 1")
    return int(text)


def _keep() -> None:
    """What exists now stays: the collector need not walk through it again and again."""
    if hasattr(gc, "freeze"):  # not so PyPy's
        gc.freeze()
