"""Members with other voters, or of the other kind of group: they move nothing, and are seen.

Times are milliseconds; H = 250, A = S = 1000, T = 800, L = 1000.
"""

from __future__ import annotations

import pytest

from followtheleader.core.actions import Note
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS
from sim.table import Table


def laid(ours: str, theirs: str) -> Table:
    """a and b, each with its own list (empty: an open group), on open roads."""
    table = Table("a b")
    table.open_road("a-b")
    for name, voters in (("a", ours), ("b", theirs)):
        table.seats[name].voters = tuple(voters.split())
        table.start(name)
    return table


def leaders_told(table: Table, name: str) -> list[str]:
    orders = table.seats[name].orders
    return [order.text for order in orders if isinstance(order, Note) and order.kind == KIND]


KIND = "other-leader"
DIFFERENT = pytest.mark.parametrize(
    ("ours", "theirs"), [("a", "b"), ("a", ""), ("", "b")], ids=["lists", "open", "quorum"]
)


@DIFFERENT
def test_a_leader_by_other_voters_is_told_once_a_minute(ours: str, theirs: str) -> None:
    table = laid(ours, theirs)
    table.run_to(30_000)
    assert table.leaders() == ["a", "b"]
    (text,) = leaders_told(table, "a")
    assert "b at 10.0.0.2:9001 leads by other `voters` than this node's" in text
    assert "give every member the same list" in text
    table.run_to(100_000)
    assert len(leaders_told(table, "a")) == 2
    table.crash("b")
    table.run_for(200)
    table.start("b", incarnation=2)  # another life is no way to be told of more often
    table.run_for(10_000)
    assert len(leaders_told(table, "a")) == 2


@DIFFERENT
def test_it_is_seen_until_it_leaves(ours: str, theirs: str) -> None:
    table = laid(ours, theirs)
    table.run_to(5000)
    (member,) = table.view("a").members
    assert (member.other_voters, member.quorum) == (True, bool(theirs))
    assert member.is_there(table.now)
    table.stop("b")
    table.run_for(100)
    (member,) = table.view("a").members
    assert not member.is_there(table.now), "its goodbye is heard"


@pytest.mark.parametrize("voters", ["a b", ""])
def test_the_same_list_is_none_of_this(voters: str) -> None:
    table = laid(voters, voters)
    table.run_to(5000)
    assert [m.other_voters for m in table.view("a").members] == [False]
    assert leaders_told(table, "a") == leaders_told(table, "b") == []


def test_a_member_that_comes_back_with_our_list_is_one_of_us() -> None:
    table = laid("a b", "b")
    table.run_to(5000)
    assert table.leaders() == ["b"]
    table.crash("b")
    table.seats["b"].voters = ("a", "b")
    table.start("b", incarnation=2)
    table.run_for(20_000)
    assert [m.other_voters for m in table.view("a").members] == [False]
    assert len(table.leaders()) == 1


def test_a_member_with_another_timing_is_marked() -> None:
    """Nothing else: followers believe in a leader for as long as its own heartbeats say."""
    table = Table("a b c", timings={"c": Timing(500 * MS, 3, 0)})
    table.open_road("a-b", "a-c", "b-c")
    for name in "abc":
        table.start(name)
    table.run_for(5000)
    assert {m.name: m.other_timing for m in table.view("a").members} == {"b": False, "c": True}
    assert {m.other_timing for m in table.view("c").members} == {True}
    assert len(table.leaders()) == 1
