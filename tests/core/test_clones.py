"""One identity, two machines that live at once: a clone of a host, and the host.

Members hear the later life. The earlier one is told so, and does not lead beside the others. Times
are milliseconds.
"""

from __future__ import annotations

import pytest

from followtheleader.core.actions import Note
from followtheleader.core.types import Reason, Role
from sim.table import Table

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


def cloned(*, quorum: bool, after: int, first: str = "b") -> Table:
    """a and b; ``first`` leads. Then b is cloned to c, ``after`` b's start; b and c never hear
    each other, for they drop what comes in their own name."""
    voters = "a b" if quorum else ""
    table = Table("a b c", quorum=quorum, voters=voters, aliases={"c": "b"})
    table.seats["c"].id = table.seats["b"].id
    table.open_road("a-b", "a-c")
    table.cut_road("b-c")
    table.start(first)
    table.run_for(20)
    table.start("a" if first == "b" else "b")
    table.until_leads(first)
    table.run_for(after)
    table.start("c", incarnation=2)
    return table


def notes(table: Table, name: str) -> list[str]:
    return [
        order.text
        for order in table.seats[name].orders
        if isinstance(order, Note) and order.kind == "identity-taken"
    ]


@EITHER_KIND
def test_a_cloned_leader_steps_down_and_one_leads(quorum: bool) -> None:
    table = cloned(quorum=quorum, after=61_000)
    table.run_for(1000)
    assert table.seats["b"].changes[-1].role is not Role.LEADER
    assert Reason.IDENTITY_TAKEN in [change.reason for change in table.seats["b"].changes]
    table.run_for(8000)
    if quorum:
        assert table.leaders() == [], "b is one voter of two, and counts for nobody"
        return
    (leader,) = table.leaders()
    assert leader in ("a", "c")
    changes = len(table.seats["b"].changes)
    table.run_for(60_000)
    assert table.leaders() == [leader], "for as long as both live"
    assert table.roles("b")[changes:].count(Role.LEADER) == 0
    assert 1 <= len(notes(table, "b")) <= 2, "said once a minute"


def test_it_is_heard_again_when_the_other_is_gone() -> None:
    table = cloned(quorum=False, after=61_000)
    table.run_for(5000)
    table.crash("c")
    table.run_for(1100)
    table.run_for(20_000)
    assert table.view("b").leader is not None
    assert len(table.leaders()) == 1
    table.crash("a")
    table.run_for(60_000)
    assert table.leaders() == ["b"]


@pytest.mark.parametrize("after", [2000, 61_000], ids=["just begun", "long there"])
def test_a_cloned_follower_claims_once_and_is_told(after: int) -> None:
    """Its leader speaks to the clone; when its lock has run out it claims, and nobody promises."""
    table = cloned(quorum=False, after=after, first="a")
    table.run_for(10_000)
    assert table.leaders() == ["a"]
    assert table.roles("b").count(Role.LEADER) <= 1
    assert notes(table, "b")
