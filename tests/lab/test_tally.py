"""An ordeal's dice and its count: what is drawn, who must have a leader, and what is said of it."""

from __future__ import annotations

import random

import pytest

from lab import faults
from lab.checker import FOR_EVER
from lab.events import Record
from lab.faults import Division, Fault, Step, links, majority, parts
from lab.tally import Tally


def drawn(seed: int, size: int, *, quorum: bool, witness: bool = False) -> list[Step]:
    return faults.plan(random.Random(seed), size, 100, quorum=quorum, witness=witness)


@pytest.mark.parametrize(("size", "quorum"), [(3, True), (5, True), (5, False)])
def test_a_seed_says_what_happens(size: int, quorum: bool) -> None:
    steps = drawn(1, size, quorum=quorum)
    assert steps == drawn(1, size, quorum=quorum) != drawn(2, size, quorum=quorum)
    found = [fault for step in steps for fault in step.faults]
    assert len(found) == 100
    kinds = {*faults.KINDS} | (set() if quorum else {*faults.UNPROMISED})
    assert {fault.kind for fault in found} == kinds
    assert {fault.target for fault in found} == set(range(size))
    assert any(len(step.faults) == 2 for step in steps)
    for step in steps:
        assert len({fault.target for fault in step.faults}) == len(step.faults)


def test_where_all_others_crash_nothing_else_is_done() -> None:
    steps = [step for seed in range(20) for step in drawn(seed, 3, quorum=True)]
    alone = [step for step in steps if any(f.kind == "crash-others" for f in step.faults)]
    assert len(alone) > 20
    assert {len(step.faults) for step in alone} == {1}
    assert all(step.held for step in alone)
    assert any(step.faults[0].target == 0 for step in alone), "both followers"


def test_a_witness_crashes_alone_and_together_with_another() -> None:
    steps = [step for seed in range(20) for step in drawn(seed, 3, quorum=True, witness=True)]
    found = [[f for f in step.faults if f.kind == "crash-witness"] for step in steps]
    assert {fault.target for few in found for fault in few} == {2}
    assert {len(s.faults) for s, few in zip(steps, found, strict=True) if few} == {1, 2}
    for step in steps:
        assert len({fault.target for fault in step.faults}) == len(step.faults)


@pytest.mark.parametrize("seed", range(50))
def test_something_is_asked_of_every_run(seed: int) -> None:
    first, second, *_, last = drawn(seed, 3, quorum=True)
    assert first.held
    assert [fault.kind for fault in second.faults] == ["crash-others"]
    assert second.held
    (fault,) = first.faults
    assert fault.target == 0
    names = ["h1", "h2", "h3"]
    gone = {names[fault.target]} if fault.kind in ("crash", "power-off") else set()
    blocked = set() if gone else links(fault, names)
    assert majority([name for name in names if name not in gone], blocked, 3)
    assert not last.rushed


def test_who_must_have_a_leader() -> None:
    three, five = ["a", "b", "c"], ["a", "b", "c", "d", "e"]
    cut = links(Fault("cut", 0, 1, 0), three)
    assert majority(three, set(), 3) == three
    assert majority(three, cut, 3) == ["b", "c"]
    assert majority(["a"], set(), 3) == []
    assert majority(three, cut | {("b", "c")}, 3) == []
    assert majority(["a", "b"], cut, 3) == []
    split = links(Fault("split", 0, 1, 0), five)
    assert majority(five, split, 5) == ["c", "d", "e"]
    assert parts(five, split, set()) == [["a", "b"], ["c", "d", "e"]]
    assert parts(five, split, {"a", "b"}) == [["c", "d", "e"]]
    assert parts(five, links(Fault("mute", 0, 1, 0), five), set()) == []


def test_only_what_divides_excuses_a_second_leader_and_until_all_agree() -> None:
    division = Division()
    assert division.windows() == []
    for harmless in ("crash", "crash-others", "power-off", "restart"):
        division.begin(harmless, 1)
    division.agree(2)
    assert division.windows() == []
    division.begin("cut", 3)
    division.begin("freeze", 4)
    assert division.windows() == [(3, FOR_EVER)]
    division.agree(5)
    division.begin("loss", 6)
    assert division.windows() == [(3, 5), (6, FOR_EVER)]


def test_a_run_that_asked_nothing_is_told() -> None:
    with pytest.raises(AssertionError, match="while a fault lasted nobody was ever asked"):
        Tally(healed=[1.0]).demand(minority=False)
    with pytest.raises(AssertionError, match="after a fault nobody was ever asked"):
        Tally(settled=[1.0]).demand(minority=False)
    asked = Tally(settled=[1.0], healed=[1.0])
    asked.demand(minority=False)
    with pytest.raises(AssertionError, match="whether a minority leads"):
        asked.demand(minority=True)


def records(*lines: tuple[float, str, str, str, str]) -> list[Record]:
    return [
        Record(int(at * 10**9), host, what, phase, token, token, int(token))
        for at, host, what, phase, token in lines
    ]


def test_its_line_says_how_often_and_how_long() -> None:
    tally = Tally(settled=[0.5, 1.5], healed=[0.25], leaderless=[1.0])
    tally.faults.update({"crash": 2, "cut": 1})
    gains = ((1.0, "a", "hook.leader", "start", "7"), (9.0, "b", "hook.leader", "start", "8"))
    jobs = records(
        (1.0, "a", "job", "start", "7"),
        (4.0, "a", "job", "end", "7"),
        (3.0, "c", "job", "start", "9"),
        (3.5, "c", "job", "end", "9"),
        (9.0, "b", "job", "start", "8"),
    )
    assert tally.line("quorum of 3", records(*gains) + jobs, quorum=True) == (
        "quorum of 3: 3 faults (crash 2, cut 1); 2 leaders; longest without a job 5.0 s; settled "
        "within 1.5 s 2 times, without a majority nobody led within 1.0 s 1 times, healed within "
        "0.2 s 1 times; tokens 7 to 8; overlaps 1"
    )
    with pytest.raises(AssertionError, match="no job ever ran"):
        tally.line("it", records(*gains), quorum=True)
    with pytest.raises(AssertionError, match="nobody ever led"):
        tally.line("it", [], quorum=True)
