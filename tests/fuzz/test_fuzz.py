"""Every target holds its promises for the seeds of its corpus, and for whatever once broke one."""

from __future__ import annotations

import pytest

from fuzz.kept import KEPT
from fuzz.targets import PLANTED, TARGETS, load


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds(name: str) -> None:
    target = load(name)
    seeds = target.seeds()
    assert seeds
    for seed in seeds:
        target.one(seed)


@pytest.mark.parametrize(
    ("name", "data"), [(name, data) for name, inputs in KEPT.items() for data in inputs]
)
def test_what_was_found(name: str, data: bytes) -> None:
    load(name).one(data)


def test_the_planted_fault_is_one() -> None:
    """The runner looks for it first; by what it begins with it is not to be seen."""
    planted = load(PLANTED)
    for seed in planted.seeds():
        planted.one(seed)
    with pytest.raises(AssertionError, match="the planted fault"):
        planted.one(b"\xf2\x01\x03" + bytes(2) + (80).to_bytes(2, "big") + bytes(73))
