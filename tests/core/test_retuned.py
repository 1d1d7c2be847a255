"""What an operator changes while an election runs: priority, preemption, patience, addresses.

Times are milliseconds; H = 250, A = S = 1000, T = 800, L = 1000, R = 200, SK = 40.
"""

from __future__ import annotations

import pytest

from followtheleader.core.events import AddressDropped, AddressFound
from followtheleader.core.messages import Handover, Hello, Release
from followtheleader.core.types import MS, Reason, Role
from sim.table import Table, three

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


@EITHER_KIND
def test_a_priority_changes_and_every_role_stays(quorum: bool) -> None:
    """All others know it at once: the next leader is chosen by it."""
    table = three(quorum=quorum)
    before = {name: list(table.roles(name)) for name in "abc"}
    table.retune("c", 200)
    table.retune("a", 7)
    table.run_for(50)
    for name in "ab":
        election = table.seats[name].election
        assert election is not None
        assert [m.priority for m in election.view(table.now).members if m.id == 3] == [200]
    table.run_for(10_000)
    assert table.leaders() == ["a"]
    assert {name: list(table.roles(name)) for name in "abc"} == before
    assert table.said("a", Release) == []
    table.step_down("a")
    table.until_leads("c")


@EITHER_KIND
def test_a_leader_that_may_not_lead_any_more_hands_over(quorum: bool) -> None:
    table = three(quorum=quorum)
    table.seats["a"].keeps_job = True
    table.retune("a", 0)
    table.run_for(2000)
    assert table.leaders() == ["a"], "first its job ends"
    table.settle("a")
    table.run_for(3000)
    (heir,) = table.leaders()
    assert heir != "a"
    lost = [change for change in table.seats["a"].changes if change.old_role is Role.LEADER]
    assert [change.reason for change in lost] == [Reason.STEPPED_DOWN]
    for name in "bc":
        table.crash(name)
    table.run_for(10_000)
    assert table.leaders() == []


def test_a_node_that_may_lead_from_now_on_leads_if_nobody_does() -> None:
    table = Table("a b", priorities={"a": 0, "b": 0})
    table.open_road("a-b")
    table.start("a")
    table.start("b")
    table.run_to(8000)
    assert table.leaders() == []
    table.retune("b", 100)
    table.until_leads("b")
    table.run_for(3000)
    assert table.roles("a")[-1] is Role.FOLLOWER


@EITHER_KIND
def test_preemption_is_switched_on_and_counts_from_then(quorum: bool) -> None:
    table = three(quorum=quorum, priorities={"c": 200})
    table.switch_over("a", "b")
    table.until_leads("b")
    table.run_for(8000)
    table.retune("c", 200, preempt_delay=3000 * MS)
    switched_at = table.ms
    table.run_for(2900)
    assert table.said("c", Handover) == []
    table.until_leads("c")
    assert 3000 <= table.ms - switched_at < 5000
    assert table.seats["b"].changes[-1].reason is Reason.PREEMPTED


@EITHER_KIND
@pytest.mark.parametrize("who", ["follower", "leader"])
def test_the_delay_begins_when_the_leader_is_the_worse_place(quorum: bool, who: str) -> None:
    """Equal for a long time; then c is raised, or a lowered."""
    table = three(quorum=quorum)
    table.retune("c", 100, preempt_delay=3000 * MS)
    table.run_for(20_000)
    if who == "follower":
        table.retune("c", 200, preempt_delay=3000 * MS)
    else:
        table.retune("a", 50)
    changed_at = table.ms
    # The leader's priority is looked at once in S.
    table.run_for(2900 if who == "follower" else 1900)
    assert table.said("c", Handover) == []
    table.until_leads("c")
    assert table.ms - changed_at < 5500


def test_preemption_is_switched_off() -> None:
    table = three(quorum=False, priorities={"c": 200})
    table.switch_over("a", "b")
    table.until_leads("b")
    table.retune("c", 200, preempt_delay=3000 * MS)
    table.run_for(2000)
    table.retune("c", 200)
    table.run_for(20_000)
    assert table.leaders() == ["b"]
    assert table.said("c", Handover) == []


@pytest.mark.parametrize(("patience", "leads_by"), [(0, 5500), (9000, 9500)])
def test_patience_is_changed_while_it_lasts(patience: int, leads_by: int) -> None:
    """5 s after its start with 60 s of patience the operator has another look at it."""
    table = Table("a b")
    table.start("a", remembers=True, start_patience=60_000 * MS)
    table.run_to(5000)
    table.retune("a", 100, start_patience=patience * MS)
    table.run_to(leads_by - 600)
    assert (table.leaders() == ["a"]) == (patience == 0 and leads_by - 600 > 5000)
    table.run_to(leads_by)
    assert table.leaders() == ["a"]


def test_an_address_that_is_configured_no_longer_is_left_alone() -> None:
    table = Table("a b")
    table.start("a")
    other = table.seats["b"].address
    table.seats["a"].hear(AddressFound(other, configured=True))
    table.run_to(60_000)
    asked = len(table.said("a", Hello))
    table.run_to(120_000)
    assert len(table.said("a", Hello)) - asked >= 5, "it is tried for ever"
    table.seats["a"].hear(AddressDropped(other))
    asked = len(table.said("a", Hello))
    table.run_to(240_000)
    assert len(table.said("a", Hello)) == asked
