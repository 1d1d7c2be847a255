"""Members of different builds: each pair speaks the highest version that both know.

Times are milliseconds; H = 250, A = S = 1000, T = 800, L = 1000.
"""

from __future__ import annotations

import pytest

from followtheleader.core.messages import Heartbeat, Hello, Release
from sim.newer import NEWER, ONLY_NEWER
from sim.table import Flight, Table

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


def laid(*, quorum: bool, **versions: tuple[int, int]) -> Table:
    """a, b and c on open roads, of builds that speak these versions; a leads if it can."""
    table = Table("a b c", quorum=quorum)
    table.open_road("a-b", "a-c", "b-c")
    for name, spoken in versions.items():
        table.seats[name].versions = spoken
    for name in "abc":
        table.start(name)
    for name in "bc":
        table.step_down(name, sit_out=1500 * 1_000_000)
    return table


def spoken(table: Table, source: str, target: str) -> set[int]:
    """The versions in which one has said anything but greetings to the other."""
    return {f.header.version for f in talk(table, source, target)}


def talk(table: Table, source: str, target: str) -> list[Flight]:
    between = [f for f in table.flights if (f.source, f.target) == (source, target)]
    return [f for f in between if not isinstance(f.message, Hello)]


def greeted(table: Table) -> set[int]:
    return {f.header.version for f in table.flights if isinstance(f.message, Hello)}


@EITHER_KIND
def test_each_pair_speaks_the_highest_version_of_both(quorum: bool) -> None:
    """a and b are newer, c is older: one leader, followed by both."""
    table = laid(quorum=quorum, a=NEWER, b=NEWER)
    table.until_leads("a")
    table.run_for(3000)
    assert table.leaders() == ["a"]
    assert [table.view(name).lock_owner for name in "bc"] == [table.seats["a"].owner] * 2
    assert (spoken(table, "a", "b"), spoken(table, "b", "a")) == ({2}, {2})
    assert (spoken(table, "a", "c"), spoken(table, "c", "a")) == ({1}, {1})
    assert greeted(table) == {1}


@EITHER_KIND
def test_who_comes_back_in_another_build_is_spoken_to_in_its_version(quorum: bool) -> None:
    """b is upgraded, and downgraded. Nobody's role but its own changes."""
    table = laid(quorum=quorum, a=NEWER)
    table.until_leads("a")
    for life, (build, version) in enumerate((((1, 1), 1), (NEWER, 2), ((1, 1), 1)), start=2):
        table.stop("b")
        table.run_for(50)
        table.seats["b"].versions = build
        table.start("b", incarnation=life)
        table.run_for(6000)
        assert table.view("b").lock_owner == table.seats["a"].owner
        beats = [f for f in talk(table, "a", "b") if isinstance(f.message, Heartbeat)]
        assert beats[-1].header.version == version
    assert table.leaders() == ["a"]
    assert len(table.roles("a")) == 1
    assert len(table.roles("c")) == 1


@EITHER_KIND
def test_the_last_will_is_written_for_each_in_its_version(quorum: bool) -> None:
    table = laid(quorum=quorum, a=NEWER, b=NEWER)
    table.until_leads("a")
    table.run_for(600)
    table.die_with_will("a")
    assert table.last("a", "b", Release).header.version == 2
    assert table.last("a", "c", Release).header.version == 1
    table.run_for(200)
    assert len(table.leaders()) == 1


def test_an_open_group_of_builds_without_a_common_version_is_two_groups() -> None:
    """c does not hear a, nor does a wait for it: they greet each other, and say nothing else."""
    table = laid(quorum=False, c=ONLY_NEWER)
    table.until_leads("a")
    table.run_for(20_000)
    assert table.leaders() == ["a", "c"]
    assert talk(table, "a", "c") == talk(table, "c", "a") == talk(table, "c", "b") == []
    members = {member.name: member for member in table.view("a").members}
    assert (members["b"].version, members["c"].version) == (1, 0)
    assert members["c"].versions == ONLY_NEWER
    assert members["c"].heard_at is not None
    assert len(table.roles("c")) == len(table.roles("a")) == 1


def test_a_voter_without_a_common_version_is_not_counted() -> None:
    """Two that cannot read each other are no majority of three."""
    table = laid(quorum=True, b=ONLY_NEWER)
    table.crash("c")
    table.run_to(2500)
    assert table.view("a").connected == table.view("b").connected == 1
    table.run_to(10_000)
    assert table.leaders() == []
