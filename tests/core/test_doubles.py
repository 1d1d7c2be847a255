"""One voter's name, or identity, and two machines that live at once: nobody may count them.

x and y are both the voter x, a and b the other two; two of three are needed. What makes two leaders
of that is a split into {a, x} and {b, y}. Times are milliseconds.
"""

from __future__ import annotations

import pytest

from followtheleader.core.actions import Note
from followtheleader.core.events import KeysChanged
from followtheleader.core.messages import Ack, Promise
from followtheleader.core.types import Reason, Role
from sim.table import Table

ROADS = ("a-b", "a-x", "a-y", "b-x", "b-y", "x-y")
SPLIT = ("a-b", "a-y", "b-x", "x-y")
A_DAY = 86_400_000


def doubled(*, leader: str = "a", same_identity: bool = False) -> Table:
    """All four hear each other, and ``leader`` leads; then y comes."""
    priorities = {name: 100 if name == leader else 50 for name in "abxy"}
    table = Table("a b x y", quorum=True, voters="a b x", aliases={"y": "x"}, priorities=priorities)
    if same_identity:
        table.seats["y"].id = table.seats["x"].id
        table.cut_road("x-y")  # each drops what comes in its own name
    table.open_road(*(road for road in ROADS if not (same_identity and road == "x-y")))
    for name in "abx":
        table.start(name)
    table.until_leads(leader)
    table.run_for(2000)
    table.start("y", incarnation=2)
    table.run_for(5000)
    return table


def notes(table: Table, name: str, kind: str) -> list[str]:
    orders = table.seats[name].orders
    return [order.text for order in orders if isinstance(order, Note) and order.kind == kind]


def marked(table: Table, name: str) -> list[str]:
    """The members that ``name`` shows as doubled."""
    return sorted(member.name for member in table.view(name).members if member.doubled)


IDENTITY = pytest.mark.parametrize("same_identity", [False, True], ids=["name", "identity"])


@IDENTITY
def test_a_split_gives_each_part_one_of_them_and_neither_a_leader(same_identity: bool) -> None:
    table = doubled(same_identity=same_identity)
    assert table.leaders() == ["a"], "with b it is two of three"
    table.cut_road(*SPLIT)
    table.run_for(60_000)
    assert table.most_leaders == 1
    assert table.leaders() == []
    assert marked(table, "a")
    assert marked(table, "b")
    table.open_road("a-b")
    table.run_for(10_000)
    assert len(table.leaders()) == 1


@IDENTITY
@pytest.mark.parametrize("side", ["a", "b"])
def test_it_is_enough_that_one_part_knows(same_identity: bool, side: str) -> None:
    """Nobody but ``side`` has heard both; then the network falls apart."""
    table = Table("a b x y", quorum=True, voters="a b x", aliases={"y": "x"})
    if same_identity:
        table.seats["y"].id = table.seats["x"].id
    table.cut_road(*SPLIT)
    table.open_road("a-x", "b-y", *(("a-y",) if side == "a" else ("b-x",)))
    for name in "abx":
        table.start(name)
    table.run_for(3000)
    table.start("y", incarnation=2)
    table.run_for(5000)
    table.cut_road(*SPLIT)
    table.run_for(60_000)
    assert side not in table.leaders()
    assert len(table.leaders()) == 1, "whoever cannot know counts its x"


def test_whoever_is_doubled_does_not_vote() -> None:
    """a has heard of x only and b of y only, but x and y hear each other."""
    table = Table("a b x y", quorum=True, voters="a b x", aliases={"y": "x"})
    table.cut_road(*ROADS)
    table.open_road("a-x", "b-y", "x-y")
    for name in "abxy":
        table.start(name)
    table.run_for(30_000)
    assert table.most_leaders == 0
    for name in "xy":
        assert table.said(name, Promise) == table.said(name, Ack) == []
        assert "2 members are named x" in notes(table, name, "name-taken")[0]
        assert "neither votes nor leads" in notes(table, name, "name-taken")[0]


def test_a_doubled_leader_hands_over() -> None:
    """The machine beside it took its name while its job ran: somebody else leads."""
    table = doubled(leader="x")
    table.run_for(5000)
    assert table.most_leaders == 1
    assert table.leaders() in (["a"], ["b"])
    assert Reason.IDENTITY_TAKEN in [change.reason for change in table.seats["x"].changes]
    assert table.roles("x")[-1] is Role.FOLLOWER
    assert table.view("x").leader is not None, "it follows"


def test_a_doubled_leader_supports_itself_no_more() -> None:
    """Its job is ending meanwhile, under the lease that it had. a acknowledges, and knows only x:
    without x that is one of three."""
    table = Table("a x y b", quorum=True, voters="a b x", aliases={"y": "x"}, priorities={"a": 0})
    table.cut_road(*ROADS)
    table.open_road("a-x")
    table.seats["x"].keeps_job = True
    table.start("a")
    table.start("x")
    table.until_leads("x")
    table.run_for(1000)
    table.open_road("x-y")
    table.start("y")
    table.run_for(20)
    deadline = table.view("x").deadline
    assert deadline is not None
    assert table.view("x").leaving
    table.run_for(500)
    assert table.view("x").deadline == deadline


def test_a_restart_of_one_of_them_changes_nothing() -> None:
    """It is killed; its next life has the same identity as before."""
    table = doubled(same_identity=True)
    table.crash("y")
    table.run_for(2000)
    table.start("y", incarnation=7)
    table.cut_road(*SPLIT)
    table.run_for(60_000)
    assert table.most_leaders == 1
    assert table.leaders() == []


def test_it_is_over_when_one_of_them_stops() -> None:
    table = doubled()
    table.stop("y")
    table.run_for(1000)
    assert marked(table, "a") == marked(table, "b") == []
    table.crash("b")
    table.run_for(5000)
    assert table.leaders() == ["a"], "with x it is two of three again"


@IDENTITY
def test_it_is_over_when_one_of_them_gets_another_name(same_identity: bool) -> None:
    """Its agent is killed, and started anew as the advice says, at its old address."""
    table = doubled(same_identity=same_identity)
    table.crash("y")
    table.run_for(3000)
    table.seats["y"].voter_name, table.seats["y"].id = "z", 99
    table.start("y", incarnation=3)
    table.run_for(5000)
    assert marked(table, "a") == marked(table, "b") == []
    table.crash("b")
    table.run_for(60_000 + 5000)
    assert table.leaders() in (["a"], ["x"]), "they are two of three again"


def test_it_is_over_when_the_one_that_is_left_starts_anew() -> None:
    """y is gone for good, without a word. x is restarted, as the advice says."""
    table = doubled()
    table.crash("y")
    table.run_for(60_000)
    assert marked(table, "a"), "a split would look the same"
    table.stop("x")
    table.run_for(1000)
    table.start("x", incarnation=3)
    table.run_for(5000)
    assert marked(table, "a") == []
    table.crash("b")
    table.run_for(5000)
    assert table.leaders() == ["a"]


def test_a_machine_set_up_anew_doubles_nobody() -> None:
    """x is dead. Another machine takes its place, under its name."""
    table = Table("a b x y", quorum=True, voters="a b x", aliases={"y": "x"})
    table.open_road(*ROADS)
    for name in "abx":
        table.start(name)
    table.run_for(3000)
    table.crash("x")
    table.run_for(2000)
    table.start("y")
    table.run_for(2000)
    assert marked(table, "a") == marked(table, "b") == []
    table.crash("b" if table.leads("a") else "a")
    table.run_for(10_000)
    assert len(table.leaders()) == 1


def test_in_an_open_group_a_name_is_a_name() -> None:
    table = Table("a x y", aliases={"y": "x"})
    table.open_road("a-x", "a-y", "x-y")
    for name in "axy":
        table.start(name)
    table.run_for(5000)
    assert marked(table, "a") == []
    assert len(table.leaders()) == 1
    assert "neither" not in notes(table, "a", "name-taken")[0]


@IDENTITY
def test_when_only_signed_words_count_doubles_are_known_anew(same_identity: bool) -> None:
    """What was said before anybody may have said. Both live indeed, and are known again."""
    table = doubled(same_identity=same_identity)
    table.crash("y")
    table.run_for(2000)
    for name in "ab":
        table.seats[name].hear(KeysChanged(strict=True))
        assert marked(table, name) == []
    table.run_for(30_000)
    assert marked(table, "a") == marked(table, "b") == []
    table.start("y", incarnation=9)
    table.run_for(5000)
    assert marked(table, "a") != []
