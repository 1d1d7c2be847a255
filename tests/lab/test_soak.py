"""The soak, bounded: as many rounds as CI has time for. `make soak` runs it for hours."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from lab import soak
from lab.group import Group

pytestmark = [pytest.mark.lab, pytest.mark.alone]


def test_a_minute_of_it(build: Callable[..., Group]) -> None:
    told: list[str] = []
    day = soak.Soak(build(10, quorum=True), random.Random(1), told.append)
    day.run(60, round_seconds=0)
    assert soak.verdict(day.readings) == []
    assert day.changes >= len(told), "a leader for each round"


def readings(*memory: float) -> dict[str, list[soak.Reading]]:
    return {"h1 agent": [soak.Reading(kib, 12, 1, 5) for kib in memory]}


def test_what_grows_is_found() -> None:
    flat = [9000.0, 9100, 9050, 9080] * 5
    assert soak.verdict(readings(*flat)) == []
    leaking = [9000.0 + 200 * minute for minute in range(20)]
    (told,) = soak.verdict(readings(*leaking))
    assert told == "h1 agent: memory grew by 2000 (limit 1024)"
