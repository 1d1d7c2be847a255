"""The ordeal, bounded: as many faults as CI has time for. ``python -m bench.ordeal`` has more.

Each run draws a new seed; FTL_ORDEAL_SEED=N runs that one again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable

import pytest

from lab import ordeal
from lab.group import Group

pytestmark = pytest.mark.lab

FAULTS = 27


def test_a_minute_of_it(build: Callable[..., Group]) -> None:
    seed = int(os.environ.get("FTL_ORDEAL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"again: FTL_ORDEAL_SEED={seed}")
    ordeals = ordeal.entries(build, seed, FAULTS, print)
    ordeal.run_side_by_side(ordeals)
    for one in ordeals:
        print(one.summary())


@pytest.mark.parametrize(("size", "quorum"), [(3, True), (5, True), (5, False)])
def test_a_seed_says_what_happens(size: int, quorum: bool) -> None:
    def drawn(seed: int) -> list[ordeal.Step]:
        return ordeal.plan(random.Random(seed), size, 100, quorum=quorum)

    assert drawn(1) == drawn(1) != drawn(2)
    faults = [fault for step in drawn(1) for fault in step.faults]
    assert len(faults) == 100
    kinds = {*ordeal.KINDS} | (set() if quorum else {*ordeal.UNPROMISED})
    assert {fault.kind for fault in faults} == kinds
    assert {fault.target for fault in faults} == set(range(size))
    assert any(len(step.faults) == 2 for step in drawn(1))
    for step in drawn(1):
        assert len({fault.target for fault in step.faults}) == len(step.faults)
