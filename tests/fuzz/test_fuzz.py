"""Every target holds its promises for the seeds of its corpus, and for whatever once broke one."""

from __future__ import annotations

import pytest

from fuzz import records
from fuzz.kept import KEPT
from fuzz.targets import PLANTED, TARGETS, load


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds(name: str) -> None:
    target = load(name)
    seeds = target.seeds()
    assert seeds
    for seed in seeds:
        target.one(seed)


def test_what_was_found() -> None:
    for name, inputs in KEPT.items():
        for data in inputs:
            load(name).one(data)


def test_an_announcement_comes_through() -> None:
    """Else the target of mDNS would fuzz nothing."""
    assert records.heard(records.seeds()[0]) == [(("10.0.0.2", 9001), "h2")]


def test_the_planted_fault_is_one() -> None:
    """The runner looks for it first; by what it begins with it is not to be seen."""
    planted = load(PLANTED)
    for seed in planted.seeds():
        planted.one(seed)
    with pytest.raises(AssertionError, match="the planted fault"):
        planted.one(b"\xf2\x01\x03" + bytes(2) + (80).to_bytes(2, "big") + bytes(73))
