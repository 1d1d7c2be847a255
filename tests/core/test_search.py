"""A start: how long a node listens for those whom mDNS has yet to find.

Times are milliseconds; H = 250, A = S = 1000, SK = 40, W = 100.
"""

from __future__ import annotations

import pytest

from followtheleader.core.types import MS, Role
from sim.table import Table


def a_leader_and_a_start(*, quorum: bool = False) -> Table:
    """a leads alone at 2000, and b starts, who knows nobody and is known to nobody."""
    table = Table("a b", quorum=quorum)
    table.open_road("a-b")
    table.start("a", searches=True)
    table.search("a")
    table.run_to(2000)
    assert table.leaders() == ([] if quorum else ["a"])
    table.start("b", searches=True)
    return table


@pytest.mark.parametrize(("asks", "answers"), [(0, 900), (700, 1300), (1500, 2900), (4000, 7900)])
def test_who_asks_late_waits_as_long_for_the_answers(asks: int, answers: int) -> None:
    """On a starved machine b comes to ask ``asks`` ms after its start, S may have passed long ago;
    the answer comes when as much time has gone by again. b has never led."""
    table = a_leader_and_a_start()
    table.run_for(asks)
    table.search("b")
    table.run_for(answers - asks)
    table.find("b")
    table.run_for(1000)
    assert Role.LEADER not in table.roles("b")
    assert table.leaders() == ["a"]
    assert table.view("b").leader is not None


@pytest.mark.parametrize("asks", [0, 200, 500])
def test_on_a_quiet_machine_it_costs_nothing(asks: int) -> None:
    """Whoever has asked within half of S leads after S, as if there were nothing to ask."""
    table = Table("a")
    table.start("a", searches=True)
    table.run_for(asks)
    table.search("a")
    table.run_to(999)
    assert table.leaders() == []
    table.run_to(1041)
    assert table.leaders() == ["a"]


def test_asking_again_is_no_new_start() -> None:
    """Discovery begins anew with other interfaces: nobody listens for that."""
    table = Table("a")
    table.start("a", searches=True)
    table.search("a")
    table.run_to(900)
    table.search("a")
    table.run_to(1041)
    assert table.leaders() == ["a"]


def test_a_search_that_never_begins_is_not_waited_for() -> None:
    table = Table("a")
    table.start("a", searches=True)
    table.run_to(9999)
    assert table.leaders() == []
    table.run_to(10_041)
    assert table.leaders() == ["a"]


def test_a_carrier_that_comes_before_the_question_ends_no_wait() -> None:
    table = Table("a")
    table.start("a", searches=True)
    table.carrier("a", up=False)
    table.run_to(100)
    table.carrier("a", up=True)
    table.run_to(3000)
    assert table.leaders() == []
    table.search("a")
    table.run_to(5850)
    assert table.leaders() == []
    table.run_to(5941)
    assert table.leaders() == ["a"]


def test_a_leader_that_is_heard_ends_the_search() -> None:
    """a leads and finds b first; dies when b follows it. b need not have asked to take over."""
    table = a_leader_and_a_start()
    table.find("a")
    table.run_for(300)
    assert table.roles("b")[-1] is Role.FOLLOWER
    table.crash("a")
    table.run_for(1400)
    assert table.leaders() == ["b"]


def test_remembered_members_are_waited_for_as_before() -> None:
    """start_patience is longer than the search, and does not end with it."""
    table = Table("a")
    table.start("a", searches=True, remembers=True, start_patience=5000 * MS)
    table.run_to(1500)
    table.search("a")
    table.run_to(4999)
    assert table.leaders() == []
    table.run_to(5041)
    assert table.leaders() == ["a"]


def test_a_quorum_group_does_not_wait_for_the_search() -> None:
    """Nobody leads it alone, whatever it does not know."""
    table = a_leader_and_a_start(quorum=True)
    assert table.seats["b"].life.election.view(table.now).listening
    table.run_for(1001)
    assert not table.view("b").listening
