"""Another list of voters, host by host: by one name it is safe, by two it is not.

Directed schedules show why, with times in milliseconds; random ones roll lists out under the storm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import pytest

from followtheleader.core.membership import Membership
from followtheleader.core.node import Memory
from followtheleader.core.types import MS
from sim.invariants import Violation
from sim.rollout import Rollout, draw_rollout, main, run_rollout
from sim.table import DEFAULT, PATIENCE_MS, Table

SEEDS, AT_ONCE = 200, 50
A_HANDOVER, A_CLAIM = 50, 150
"""Milliseconds: what a leader that is stopped leaves, and what comes after a lock has run out."""
TOO_EARLY = (244,)
"""Seeds of an operator who must not be impatient: few of them break a promise."""


def table_of(names: str, lists: dict[str, str]) -> Table:
    """Everybody hears everybody; each name has a list of its own."""
    table = Table(names, quorum=True)
    everybody = names.split()
    table.open_road(*(f"{a}-{b}" for a in everybody for b in everybody if a < b))
    for name, voters in lists.items():
        table.seats[name].voters = tuple(voters.split())
    return table


def lead(table: Table, name: str, others: str) -> None:
    """Start all of them; ``name`` leads, for the others sit out at first."""
    for other in (name, *others.split()):
        table.start(other)
    for other in others.split():
        table.step_down(other, sit_out=1500 * MS)
    table.until_leads(name)
    table.run_for(600)
    assert table.leaders() == [name]


def restart(table: Table, name: str, voters: str, *, clean: bool = False) -> None:
    """Another list is in its file, and it is restarted: killed, or stopped with a stamp."""
    seat = table.seats[name]
    seat.voters = tuple(voters.split())
    if clean:
        table.stop(name)
        table.run_for(50)
        assert seat.stopped is not None
        stamp = seat.stopped.lock_until
        memory = Memory(seat.memory.floor, seat.memory.max_lock, clean_until=stamp)
    else:
        table.crash(name)
        memory = seat.memory
    table.start(name, incarnation=seat.owner.incarnation + 1, memory=memory)


def is_quarantined(table: Table, name: str) -> bool:
    return table.view(name).quarantined


class Gaps:
    """The spans in which nobody leads (ms), as time goes on at the table."""

    def __init__(self, table: Table) -> None:
        self.found = [0]
        self._table = table

    def run_for(self, ms: int) -> None:
        for _ in range(0, ms, 10):
            self._table.run_for(10)
            if self._table.leaders():
                self.found += [0] if self.found[-1] else []
            else:
                self.found[-1] += 10

    def run_while(self, condition: Callable[[], bool]) -> None:
        """At most for as long as a table waits for anything."""
        for _ in range(0, PATIENCE_MS, 10):
            if not condition():
                return
            self.run_for(10)
        raise AssertionError(f"it is still so after {PATIENCE_MS} ms")


@pytest.mark.parametrize("clean", [True, False], ids=["stopped", "killed"])
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("b", "a b"),
        ("a b", "a b c"),
        ("a b c", "a b c d"),
        ("a b c d", "a b c d e"),
        ("a b c d e", "a b c d"),
        ("a b c d", "a b c"),
        ("a b c", "a b"),
        ("a b", "b"),
    ],
)
def test_one_name_more_or_less_never_makes_two_leaders(
    before: str, after: str, clean: bool
) -> None:
    """b leads by the old list. In README's order once, for a lock and a claim, nobody leads."""
    old, new = before.split(), after.split()
    everybody = sorted({*old, *new})
    table = table_of(" ".join(everybody), dict.fromkeys(everybody, before))
    lead(table, "b", " ".join(name for name in old if name != "b"))
    gaps = Gaps(table)
    for name in everybody:
        if name not in old:
            table.seats[name].voters = tuple(new)
            table.start(name)
    for name in sorted(old, key=lambda name: (name not in new, name == "b")):
        restart(table, name, after, clean=clean)
        gaps.run_while(partial(is_quarantined, table, name))
    gaps.run_while(lambda: not table.leaders())
    gaps.run_for(3000)
    assert table.most_leaders == 1
    assert len([gap for gap in gaps.found if gap > A_HANDOVER]) <= 1
    assert max(gaps.found) <= DEFAULT.lock // MS + A_CLAIM
    (leader,) = table.leaders()
    assert leader in new
    followers = [name for name in everybody if name != leader]
    assert all(table.view(name).lock_owner == table.seats[leader].owner for name in followers)


def test_two_names_at_once_make_two_leaders() -> None:
    """Why it is one name at a time: {b, c} are a majority of the old list, {a, d, e} of the new."""
    new = "a b c d e"
    table = table_of(new, dict.fromkeys("abc", "a b c") | dict.fromkeys("de", new))
    lead(table, "b", "a c")
    table.start("d")
    table.start("e")
    restart(table, "a", new, clean=True)
    table.run_for(3000)
    assert table.most_leaders == 2
    assert len(table.leaders()) == 2
    assert "b" in table.leaders()


def test_two_changes_at_once_are_two_names_at_once() -> None:
    """The second change begins before the first has ended: e is added while b and c have not yet
    heard of d."""
    table = table_of("a b c d e", dict.fromkeys("abc", "a b c"))
    lead(table, "b", "a c")
    table.seats["d"].voters = tuple("abcd")
    table.start("d")
    restart(table, "a", "a b c d")
    table.run_for(3000)
    assert table.most_leaders == 1
    table.seats["e"].voters = tuple("abcde")
    table.start("e")
    restart(table, "d", "a b c d e")
    restart(table, "a", "a b c d e")
    table.run_for(3000)
    assert table.most_leaders == 2


@pytest.mark.parametrize("is_waited_for", [True, False])
def test_between_two_changes_one_must_lead(is_waited_for: bool) -> None:
    """c takes the place of b in two changes. {b, d} know b's token, and {a, c} do not: majorities
    of the first list and of the third. Only a leader of the second carries the token over."""
    table = table_of("a b c d", dict.fromkeys("abcd", "a b d"))
    table.cut_road("a-b", "a-d", "a-c")
    table.start("b", memory=Memory(floor=50))
    table.start("d")
    table.start("a")
    table.until_leads("b")
    table.run_for(600)
    (token,) = table.seats["b"].tokens
    assert token > 50
    table.open_road("a-b", "a-c", "a-d")
    table.seats["c"].voters = tuple("abcd")
    table.start("c")
    for name in "bda":
        restart(table, name, "a b c d")
    if is_waited_for:
        table.run_for(3000)
        assert len(table.leaders()) == 1
    for name in "bdca":
        restart(table, name, "a c d")
    table.cut_road("a-b", "a-d", "b-c", "c-d")
    table.run_for(3000)
    (leader,) = table.leaders()
    assert leader in "ac"
    assert (table.seats[leader].tokens[-1] > token) == is_waited_for
    assert table.most_leaders == 1


def test_who_was_forgotten_leads_nobody() -> None:
    """c is off while d takes its place by two changes, and comes back with the first list: alone
    it is no majority of that, and nobody of another list votes for it."""
    table = table_of("a b c d", dict.fromkeys("abc", "a b c"))
    lead(table, "b", "a c")
    table.crash("c")
    table.seats["d"].voters = tuple("abcd")
    table.start("d")
    for voters in ("a b c d", "a b d"):
        for name in ("d", "a", "b"):
            restart(table, name, voters)
            table.run_for(1200)
        table.run_for(2000)
    restart(table, "c", "a b c")
    table.run_for(5000)
    assert table.most_leaders == 1
    (leader,) = table.leaders()
    assert leader != "c"
    assert table.view("c").lock_owner is None


def test_an_open_group_becomes_no_quorum_group_host_by_host() -> None:
    """An open leader asks nobody, and leads on beside the one that the voters have."""
    table = table_of("a b c", dict.fromkeys("abc", ""))
    lead(table, "b", "a c")
    for name in ("a", "c"):
        restart(table, name, "a b c")
    table.run_for(3000)
    assert len(table.leaders()) == 2


@pytest.mark.parametrize("stamp_is_kept", [True, False])
def test_a_stamp_of_a_clean_stop_ends_the_silence_with_the_lock(stamp_is_kept: bool) -> None:
    """b leads by {a, b} and is cut off. a, locked on it, is stopped and started with {a, b, c}: it
    is silent until that lock has ended, whatever its list is now. Without this rule two lead."""
    table = table_of("a b c", {"a": "a b", "b": "a b", "c": "a b c"})
    table.start("c")
    lead(table, "b", "a")
    table.run_for(1000)
    table.cut_road("a-b", "b-c")
    table.run_for(200)
    locked_until = table.view("a").lock_until
    seat = table.seats["a"]
    seat.voters = tuple("abc")
    table.stop("a")
    assert seat.stopped is not None
    assert seat.stopped.lock_until == locked_until is not None
    stamp = locked_until if stamp_is_kept else table.now
    memory = Memory(seat.memory.floor, seat.memory.max_lock, clean_until=stamp)
    table.start("a", incarnation=2, memory=memory)
    table.run_for(3000)
    assert table.most_leaders == (1 if stamp_is_kept else 2)
    led = [name for name in "ac" if table.leads(name)]
    assert len(led) == 1, "and then there is a leader of the new list"


# -- at random, under the storm


@pytest.mark.parametrize("base", range(0, SEEDS, AT_ONCE))
def test_rollouts_break_no_promise(base: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(base, base + AT_ONCE):
        counts += run_rollout(draw_rollout(seed)).counts
    assert counts["rollout: older list's leader"] > AT_ONCE
    assert counts["rollout: new list's leader"] > AT_ONCE
    assert counts["rollout: leader while two lists run"] > AT_ONCE / 2


def test_rollouts_go_to_and_from_every_number_of_voters() -> None:
    """Neighbouring lists differ by one name."""
    changes = set()
    for seed in range(SEEDS):
        lists = draw_rollout(seed).lists
        for old, new in pairwise(lists):
            assert len({*old} ^ {*new}) == 1
            changes.add((len(old), len(new)))
    assert changes >= {(n, n + 1) for n in range(1, 6)} | {(n + 1, n) for n in range(1, 6)}


def test_some_rollouts_go_back_and_on_to_another_list() -> None:
    drawn = [draw_rollout(seed).lists for seed in range(SEEDS)]
    back = [lists for lists in drawn if len(lists) == 4]
    assert len(back) > SEEDS / 8
    for first, second, third, fourth in back:
        assert first == third
        assert len({*second} ^ {*fourth}) == 2


def test_that_lists_are_told_apart_is_more_than_safety_needs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever runs one list counts those that run the other: all promises hold, and others lead."""
    apart = [run_rollout(draw_rollout(seed)).counts for seed in range(AT_ONCE)]
    monkeypatch.setattr(Membership, "_has_same_voters", lambda *_: True)
    mixed = [run_rollout(draw_rollout(seed)).counts for seed in range(AT_ONCE)]
    assert sum(one != other for one, other in zip(apart, mixed, strict=True)) > AT_ONCE / 2


def run_all(rollouts: Iterable[Rollout]) -> None:
    """Run them until one of them breaks a promise."""
    for rollout in rollouts:
        run_rollout(rollout)


def two_at_once(rollout: Rollout) -> Rollout | None:
    """Two names are added instead of one."""
    names = tuple(spec.name for spec in rollout.plan.specs)
    if len(names) < 4:
        return None
    plan = replace(rollout.plan, voters=names[:-2])
    return replace(rollout, plan=plan, lists=(names[:-2], names))


def the_same(rollout: Rollout) -> Rollout | None:
    return rollout


def impatient(rollout: Rollout) -> Rollout | None:
    return replace(rollout, impatient=True)


@pytest.mark.parametrize(
    ("seeds", "place", "broken", "other", "broken_promise"),
    [
        (range(300), None, None, two_at_once, "I1: leads although"),
        (range(300), "followtheleader.core.agenda._quarantine", lambda *_: 0, the_same, "I6"),
        (TOO_EARLY, None, None, impatient, "I2: token"),
    ],
    ids=["two names at once", "no quarantine", "nobody led by the list between"],
)
def test_an_unsafe_rollout_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    seeds: Iterable[int],
    place: str | None,
    broken: object,
    other: Callable[[Rollout], Rollout | None],
    broken_promise: str,
) -> None:
    """The simulator has to see what is broken on purpose."""
    if place is not None:
        monkeypatch.setattr(place, broken)
    drawn = (other(draw_rollout(seed)) for seed in seeds)
    with pytest.raises(Violation, match=broken_promise) as violation:
        run_all(rollout for rollout in drawn if rollout is not None)
    assert "replay: python -m sim.rollout --seed" in str(violation.value)


def test_the_program_tells_violations_by_its_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--seeds", "3", "--base", "3", "--jobs", "2"]) == 0
    assert "seeds 3 to 5, no violation" in capsys.readouterr().out
    for seed in map(str, TOO_EARLY):
        assert main(["--seed", seed]) == 0
        capsys.readouterr()
        assert main(["--seed", seed, "--impatient"]) == 1
        replay = capsys.readouterr().out.splitlines()[-1]
        assert f"python -m sim.rollout --seed {seed} --impatient " in replay
    monkeypatch.setattr("followtheleader.core.agenda._quarantine", lambda *_: 0)
    assert main(["--seeds", "30"]) == 1
    assert "replay: python -m sim.rollout --seed" in capsys.readouterr().out
