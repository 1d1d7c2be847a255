"""Leadership that moves without a fault: switchover and preemption; and patience at the start.

Times are milliseconds; H = 250, A = S = 1000, T = 800, L = 1000, R = 200, SK = 40.
"""

from __future__ import annotations

import pytest

from followtheleader.core import succession
from followtheleader.core.messages import Handover, Prepare, Release
from followtheleader.core.types import MS, Reason, Role
from sim.table import Table, three

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


def group(*, quorum: bool, priorities: dict[str, int], delays: dict[str, int]) -> Table:
    """a, b and c; who is named in ``delays`` preempts after so many milliseconds."""
    table = Table("a b c", quorum=quorum, priorities=priorities)
    table.open_road("a-b", "a-c", "b-c")
    for name in "abc":
        delay = delays.get(name)
        table.start(name, preempt_delay=None if delay is None else delay * MS)
    return table


# -- switchover


@EITHER_KIND
@pytest.mark.parametrize("asked", ["a", "c"], ids=["at the leader", "at a follower"])
def test_the_leadership_moves_to_whom_the_operator_names(quorum: bool, asked: str) -> None:
    """a leads; c would be chosen, but b is named. b leads at once, c has never claimed."""
    table = three(quorum=quorum, priorities={"c": 150})
    claims_before = len(table.said("c", Prepare))
    table.switch_over(asked, "b")
    table.until_leads("b")
    table.run_for(3000)
    assert table.leaders() == ["b"]
    assert table.seats["a"].changes[-1].reason is Reason.HANDED_OVER
    assert len(table.said("c", Prepare)) == claims_before
    assert all(isinstance(m, Release) and m.successor == 2 for m in table.said("a", Release))


@EITHER_KIND
def test_nobody_named_means_the_best(quorum: bool) -> None:
    table = three(quorum=quorum, priorities={"c": 150})
    table.switch_over("a")
    table.until_leads("c")


@EITHER_KIND
@pytest.mark.parametrize("unfit", ["a priority of 0", "not heard", "itself"])
def test_one_that_cannot_lead_is_refused(quorum: bool, unfit: str) -> None:
    """The leader stays: nobody is left without one because an operator mistyped."""
    table = three(quorum=quorum, priorities={"b": 0 if unfit == "a priority of 0" else 100})
    if unfit == "not heard":
        table.crash("b")
        table.run_for(1500)
    table.switch_over("a", "a" if unfit == "itself" else "b")
    table.run_for(3000)
    assert table.leaders() == ["a"]
    assert table.roles("a").count(Role.LEADER) == 1
    assert table.said("a", Release) == []


@EITHER_KIND
def test_the_job_ends_before_the_leadership_moves(quorum: bool) -> None:
    table = three(quorum=quorum)
    table.seats["a"].keeps_job = True
    table.switch_over("a", "b")
    table.run_for(2000)
    assert table.leaders() == ["a"], "the lease is renewed while the job ends"
    assert table.said("a", Release) == []
    table.settle("a")
    table.until_leads("b")


def test_an_heir_that_answers_in_a_moment_is_waited_for() -> None:
    """b has just been restarted: a has not heard an acknowledgement of it. It comes within A."""
    table = three(quorum=False, priorities={"c": 0})
    table.crash("b")
    table.run_for(1500)
    table.switch_over("a", "b")
    table.run_for(300)
    assert table.leaders() == ["a"]
    table.start("b", incarnation=2)
    table.until_leads("b")
    table.run_for(2000)
    assert table.leaders() == ["b"]


def test_a_voter_that_follows_by_a_hint_may_ask() -> None:
    """It was restarted a moment ago and does not vote yet; but it knows who leads."""
    table = three(quorum=True)
    table.crash("c")
    table.start("c", incarnation=2)
    table.run_for(400)
    assert table.view("c").lock_owner is None
    table.switch_over("c", "b")
    table.until_leads("b")


def test_who_follows_nobody_asks_nobody() -> None:
    table = three(quorum=True)
    table.crash("a")
    table.crash("c")
    table.run_for(5000)
    table.switch_over("b", "b")
    assert table.said("b", Handover) == []


@EITHER_KIND
def test_who_leads_again_says_no_more_farewell(quorum: bool) -> None:
    """a hands over to b and gets it back at once: the repetitions of its word would come while its
    next job runs."""
    table = three(quorum=quorum)
    table.switch_over("a", "b")
    table.until_leads("b")
    table.switch_over("b", "a")
    table.until_leads("a")
    said = len(table.said("a", Release))
    table.run_for(50)
    assert len(table.said("a", Release)) == said
    assert table.leaders() == ["a"]


def test_a_will_names_the_voters_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """More members than a will has room for, and the voters came last: they are whose locks it
    frees, and one of them is the heir."""
    monkeypatch.setattr(succession, "WILL_RECIPIENTS", 4)
    crowd = [f"n{number}" for number in range(6)]
    table = Table(f"a {' '.join(crowd)} b c", quorum=True, voters="a b c", priorities={"c": 200})
    for one in (*crowd, "b", "c"):
        table.open_road(f"a-{one}")
        table.start(one)
    table.step_down("b", sit_out=60_000 * MS)
    table.step_down("c", sit_out=60_000 * MS)
    table.start("a")
    table.until_leads("a")
    table.run_for(1500)
    will = table.seats["a"].will
    assert will is not None
    names = [one for id, _, _ in will.recipients for one, s in table.seats.items() if s.id == id]
    assert names[:2] == ["c", "b"]
    assert names[2:] == ["n0", "n1"]


# -- preemption


@EITHER_KIND
def test_a_better_node_takes_over_after_its_delay(quorum: bool) -> None:
    """a, b start and one of them leads; c is better and comes later. It follows for its delay, and
    then leads; exactly one change."""
    table = Table("a b c", quorum=quorum, priorities={"c": 200})
    table.open_road("a-b", "a-c", "b-c")
    table.start("a")
    table.start("b")
    table.run_to(4000)
    (first,) = table.leaders()
    table.start("c", preempt_delay=3000 * MS)
    table.run_to(4000 + 2900)
    assert table.leaders() == [first]
    assert table.said("c", Handover) == []
    table.run_to(4000 + 3000 + 2500)
    assert table.leaders() == ["c"]
    assert table.seats[first].changes[-1].reason is Reason.PREEMPTED
    assert table.roles(first).count(Role.LEADER) == 1
    table.run_for(20_000)
    assert table.leaders() == ["c"]
    assert table.roles("c").count(Role.LEADER) == 1


@EITHER_KIND
def test_a_break_begins_the_delay_anew(quorum: bool) -> None:
    """b leads and is followed by a; before a's delay is over b hands over to c: a waits again."""
    table = group(quorum=quorum, priorities={"a": 200, "b": 100, "c": 50}, delays={"a": 4000})
    table.until_leads("a")
    table.step_down("a", 60_000 * MS)
    table.until_leads("b")
    table.crash("a")
    table.start("a", incarnation=9, preempt_delay=4000 * MS)
    table.run_for(3000)
    table.switch_over("b", "c")
    table.until_leads("c")
    changed_at = table.ms
    table.run_for(3000)
    assert table.said("a", Handover) == []
    table.until_leads("a")
    assert table.ms - changed_at >= 4000


@EITHER_KIND
def test_who_sits_out_does_not_preempt(quorum: bool) -> None:
    """Its on_leader has failed: it is the better place only in its configuration."""
    table = group(quorum=quorum, priorities={"a": 200}, delays={"a": 1000})
    table.until_leads("a")
    table.step_down("a", 10_000 * MS)
    table.run_for(9000)
    assert table.said("a", Handover) == []
    table.until_leads("a")


@EITHER_KIND
def test_a_leader_gives_way_only_to_a_better_one(quorum: bool) -> None:
    """b is no better than a, whatever it says."""
    table = three(quorum=quorum)
    table.say("b", "a", Handover(2, preempts=True))
    table.say("c", "a", Handover(2, preempts=True))
    table.run_for(2000)
    assert table.leaders() == ["a"]
    assert table.roles("a").count(Role.LEADER) == 1


# -- patience at the start


@EITHER_KIND
def test_who_remembers_members_waits_for_them(quorum: bool) -> None:
    """After a power cut a is back first. It knows that there were others."""
    table = Table("a b c", quorum=quorum)
    table.open_road("a-b", "a-c", "b-c")
    table.start("a", remembers=True, start_patience=10_000 * MS)
    table.run_to(9900)
    assert table.said("a", Prepare) == []
    if quorum:
        return  # alone it claims in vain
    table.until_leads("a")
    assert table.ms < 11_000


def test_one_answer_ends_the_patience() -> None:
    """b is back after five seconds: who else is up is heard by now."""
    table = Table("a b c", priorities={"b": 0})
    table.open_road("a-b")
    table.start("a", remembers=True, start_patience=10_000 * MS)
    table.run_to(5000)
    table.start("b")
    table.until_leads("a")
    assert table.ms < 5500


def test_who_remembers_nobody_does_not_wait() -> None:
    table = Table("a b")
    table.start("a", remembers=False, start_patience=10_000 * MS)
    table.until_leads("a")
    assert table.ms < 1200
