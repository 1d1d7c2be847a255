"""Maintenance: while the group is paused, nobody takes over; who led last may come back.

Times are milliseconds; H = 250, A = S = 1000, T = 800, L = 1000, Q = 1000, R = 200, SK = 40.
"""

from __future__ import annotations

import pytest

from core.paused import EITHER_KIND, HOUR, changes_of, left, paused
from followtheleader.core.messages import (
    Handover,
    Notice,
    Pause,
    Prepare,
    Promise,
    Release,
)
from followtheleader.core.types import MS, Reason, Role
from sim.table import Table, three

# -- the roles stay


@EITHER_KIND
@pytest.mark.parametrize("at", ["a", "b"], ids=["at the leader", "at a follower"])
def test_a_pause_is_known_to_all_at_once_and_changes_no_role(quorum: bool, at: str) -> None:
    table = paused(quorum=quorum, at=at)
    assert [round(left(table, name) or 0, -3) for name in "abc"] == [HOUR] * 3
    assert [len(changes_of(table, name)) for name in "abc"] == [1, 1, 1]
    before = [table.roles(name) for name in "abc"]
    table.run_for(10_000)
    assert table.leaders() == ["a"]
    assert [table.roles(name) for name in "abc"] == before


@EITHER_KIND
@pytest.mark.parametrize("end", ["killed", "will", "stopped"])
def test_nobody_takes_over_from_a_leader_that_is_gone(quorum: bool, end: str) -> None:
    table = paused(quorum=quorum)
    if end == "killed":
        table.crash("a")
    elif end == "will":
        assert table.die_with_will("a").successor == 0
    else:
        table.stop("a")
    table.run_for(30_000)
    assert table.leaders() == []
    assert table.said("b", Prepare) == table.said("c", Prepare) == []
    table.resume("c")
    table.run_for(1500)
    assert len(table.leaders()) == 1
    assert left(table, "b") is None


@EITHER_KIND
def test_it_ends_by_itself(quorum: bool) -> None:
    table = paused(quorum=quorum, ms=5000)
    table.crash("a")
    table.run_for(4900)
    assert table.leaders() == []
    table.run_for(1500)
    assert len(table.leaders()) == 1
    assert [c.by_time for c in changes_of(table, "b")] == [False, True]


@EITHER_KIND
@pytest.mark.parametrize("end", ["killed", "stopped"])
def test_the_leader_comes_back_and_leads_again(quorum: bool, end: str) -> None:
    """Its agent, or its host, is restarted. b and c are better, and promise it nevertheless."""
    table = paused(quorum=quorum)
    for name in "bc":
        table.retune(name, 200)
    if end == "killed":
        table.crash("a")
    else:
        table.stop("a")
    table.run_for(15_000)
    assert table.leaders() == []
    table.start("a", incarnation=2)
    table.until_leads("a")
    table.run_for(2000)
    assert table.leaders() == ["a"]
    assert round(left(table, "a") or 0, -5) == HOUR, "it has learned of the pause"
    assert table.said("b", Prepare) == table.said("c", Prepare) == []
    assert [table.view(name).lock_owner for name in "bc"] == [table.seats["a"].owner] * 2


def test_a_leader_without_a_majority_ends_and_comes_back_when_it_has_one() -> None:
    """A pause does not make a lease last."""
    table = paused(quorum=True)
    for road in ("a-b", "a-c"):
        table.cut_road(road)
    table.run_for(900)
    assert table.leaders() == []
    table.run_for(10_000)
    assert table.leaders() == []
    table.open_road("a-b", "a-c")
    table.until_leads("a")
    assert table.said("b", Prepare) == table.said("c", Prepare) == []


@EITHER_KIND
def test_a_leader_that_fails_its_job_leads_again_after_its_pause(quorum: bool) -> None:
    """on_leader failed: it steps down, sits out, and begins again; nobody else does."""
    table = paused(quorum=quorum)
    table.step_down("a", sit_out=5000 * MS)
    table.run_for(4500)
    assert table.leaders() == []
    table.until_leads("a")
    assert [m.successor for m in table.said("a", Release) if isinstance(m, Release)][-1] == 0


@EITHER_KIND
def test_nobody_preempts(quorum: bool) -> None:
    table = three(quorum=quorum)
    table.retune("c", 200, preempt_delay=3000 * MS)
    table.run_for(500)
    table.pause("b", 10_000)
    table.run_for(9000)
    assert table.leaders() == ["a"]
    assert table.said("c", Handover) == []
    table.say("c", "a", Handover(3, preempts=True))
    table.run_for(500)
    assert table.roles("a") == [Role.LEADER]
    table.until_leads("c")


@EITHER_KIND
def test_an_operator_may_move_the_leadership(quorum: bool) -> None:
    """And with it the right to come back: b is restarted and leads again, a does not."""
    table = paused(quorum=quorum)
    table.switch_over("c", "b")
    table.until_leads("b")
    table.run_for(1000)
    assert table.leaders() == ["b"]
    assert table.seats["a"].changes[1].reason is Reason.HANDED_OVER
    table.crash("b")
    table.run_for(15_000)
    assert table.leaders() == []
    table.start("b", incarnation=2)
    table.until_leads("b")


@EITHER_KIND
def test_a_leader_that_may_not_lead_any_more_hands_over(quorum: bool) -> None:
    """Its priority is 0 from now on; an operator has said so."""
    table = paused(quorum=quorum)
    table.retune("a", 0)
    table.run_for(2500)
    (heir,) = table.leaders()
    assert heir != "a"


def test_one_that_may_claim_waits_for_nobody_better() -> None:
    """c is better, but may not claim: a, restarted, claims having listened, and not W later."""
    table = paused(quorum=False)
    table.retune("c", 250)
    table.stop("a")
    table.run_for(2000)
    table.start("a", incarnation=2)
    started_at = table.ms
    table.until_said("a", "b", Prepare)
    assert table.ms - started_at <= 1000 + 40


def test_one_that_is_alone_comes_back_as_well() -> None:
    table = Table("a")
    table.start("a")
    table.until_leads("a")
    table.pause("a", HOUR)
    table.step_down("a", sit_out=1000 * MS)
    table.run_for(900)
    assert table.leaders() == []
    table.until_leads("a")


# -- who does not know of it


@EITHER_KIND
def test_one_that_starts_learns_of_it(quorum: bool) -> None:
    """c is restarted while nobody leads: it hears of the pause before it would claim."""
    table = paused(quorum=quorum)
    table.crash("c")
    table.crash("a")
    table.run_for(15_000)
    table.start("c", incarnation=2)
    table.run_for(20_000)
    assert table.leaders() == []
    assert table.said("c", Prepare) == []
    assert left(table, "c") == pytest.approx(left(table, "b"), abs=10)


def test_one_that_was_away_and_claims_is_told_and_gives_up() -> None:
    """Quorum. c missed the pause, and a is gone: b promises nothing, and c claims no more."""
    table = three(quorum=True)
    table.cut_road("a-c", "b-c")
    table.run_for(1500)
    table.pause("b", HOUR)
    table.run_for(500)
    table.crash("a")
    table.run_for(3000)
    claims = len(table.said("c", Prepare))
    assert claims > 0
    promises = len(table.said("b", Promise))
    table.open_road("b-c")
    table.run_for(500)
    assert left(table, "c") is not None
    claims = len(table.said("c", Prepare))
    table.run_for(20_000)
    assert len(table.said("b", Promise)) == promises
    assert len(table.said("c", Prepare)) == claims
    assert table.leaders() == []


def test_who_claims_gives_up_when_it_hears_of_it() -> None:
    """Its claim is under way when the word comes."""
    table = three(quorum=True)
    table.close_road("b-c")
    table.crash("a")
    claim = table.until_said("c", "b", Prepare)
    assert isinstance(claim.message, Prepare)
    table.say("b", "c", Pause(Notice(7, 2, 60_000 * MS), 1, 1))
    assert table.last("c", "b", Release).message == Release(claim.message.term)
    table.open_road("b-c")
    table.run_for(5000)
    assert table.leaders() == []


def test_a_leader_that_missed_it_is_told_by_whoever_follows() -> None:
    """All four words to a are lost; its next heartbeat is answered."""
    table = three(quorum=False)
    table.close_road("b>a", "c>a")
    table.pause("b", HOUR)
    table.run_for(800)
    assert left(table, "a") is None
    table.open_road("b>a", kinds=(Pause,))
    table.run_for(300)
    assert left(table, "a") is not None


def test_the_leader_s_heartbeats_carry_it() -> None:
    """b's words to c are lost; c hears of it from a."""
    table = three(quorum=False)
    table.close_road("b>c")
    table.pause("b", HOUR)
    table.run_for(300)
    assert left(table, "c") == pytest.approx(left(table, "b"), abs=5)


# -- a split


@EITHER_KIND
def test_it_begins_in_one_part_and_holds_in_the_other_after_healing(quorum: bool) -> None:
    """c is cut off, the others pause. Healed, c knows; then a dies and nobody takes over."""
    table = three(quorum=quorum)
    table.cut_road("a-c", "b-c")
    table.run_for(2500)
    table.pause("a", HOUR)
    table.run_for(2500)
    assert left(table, "c") is None
    table.open_road("a-c", "b-c")
    table.run_for(30_000)  # the keepalive of those who were silent
    (leader,) = table.leaders()
    assert left(table, "c") == pytest.approx(left(table, "a"), abs=5)
    table.crash(leader)
    table.run_for(20_000)
    assert table.leaders() == []


@EITHER_KIND
def test_each_part_of_a_paused_group_keeps_its_role_and_healing_changes_none(quorum: bool) -> None:
    """Paused first, then split: nobody is elected where there is no leader."""
    table = paused(quorum=quorum)
    table.cut_road("a-c", "b-c")
    table.run_for(10_000)
    assert table.leaders() == ["a"]
    assert table.said("c", Prepare) == []
    table.open_road("a-c", "b-c")
    table.run_for(30_000)
    assert table.leaders() == ["a"]
    assert table.view("c").lock_owner == table.seats["a"].owner
    assert table.roles("a") == [Role.LEADER]


@EITHER_KIND
def test_a_resume_in_one_part_wins_after_healing(quorum: bool) -> None:
    table = paused(quorum=quorum)
    table.cut_road("a-c", "b-c")
    table.run_for(2000)
    table.resume("c")
    table.run_for(1000)
    assert left(table, "a") is not None
    table.open_road("a-c", "b-c")
    table.run_for(30_000)
    assert [left(table, name) for name in "abc"] == [None] * 3
