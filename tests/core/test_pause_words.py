"""What members tell each other of a pause: which command is the newest, and who led last.

Times are milliseconds; H = 250, A = S = 1000, T = 800, L = 1000, Q = 1000, R = 200, SK = 40.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from core.paused import EITHER_KIND, HOUR, changes_of, left, paused
from followtheleader.core.messages import (
    Heartbeat,
    Hello,
    Message,
    Nack,
    Notice,
    Pause,
    Prepare,
    Release,
)
from followtheleader.core.types import MS, Owner
from sim.table import Table, three

# -- who led last


def test_a_late_farewell_moves_nothing() -> None:
    """a handed over to b. Its word comes once more, with another name: the right stays with b."""
    table = paused(quorum=False)
    table.switch_over("c", "b")
    table.until_leads("b")
    table.run_for(500)
    table.crash("b")
    (farewell, *_) = table.said("a", Release)
    assert isinstance(farewell, Release)
    table.say("a", "c", replace(farewell, successor=3))
    table.run_for(20_000)
    assert table.leaders() == []


def test_the_heir_that_hears_its_name_late_leads_nevertheless() -> None:
    """Its lock on a has run out before the word comes."""
    table = paused(quorum=False)
    table.close_road("a>c", "b>c")
    table.switch_over("a", "c")
    farewell = table.last("a", "c", Release)
    table.crash("b")
    table.run_for(2000)
    assert table.leaders() == []
    table.crash("a")
    table.deliver(farewell)
    table.until_leads("c")


def test_who_handed_over_does_not_come_back_in_the_heir_s_place() -> None:
    """b dies in the moment in which it is named. An operator has to say what comes next."""
    table = paused(quorum=False)
    table.switch_over("a", "b")
    table.crash("b")
    table.run_for(20_000)
    assert table.leaders() == []
    table.resume("c")
    table.run_for(1000)
    assert len(table.leaders()) == 1


def known_by(table: Table, name: str) -> Pause:
    """What ``name`` would say of the pause: its newest word about it."""
    said = table.last(name, "a" if name != "a" else "b", Pause).message
    assert isinstance(said, Pause)
    return said


def test_the_highest_term_says_who_led_last() -> None:
    """a is gone. An older word changes nothing, a newer one lets c lead."""
    table = paused(quorum=False)
    word = known_by(table, "b")
    table.crash("a")
    table.run_for(3000)
    table.say("b", "c", replace(word, holder=3, term=word.term - 1))
    table.run_for(3000)
    assert table.said("c", Prepare) == []
    table.say("b", "c", replace(word, holder=3, term=word.term + 1))
    table.until_leads("c")


def test_one_that_hears_many_outdated_words_at_once_answers_one() -> None:
    """A thawed node reads all that came meanwhile; what it knows better it says once."""
    table = paused(quorum=False)
    word = known_by(table, "b")
    table.run_for(1000)
    before = len(table.said("c", Pause))
    outdated = replace(word, notice=replace(word.notice, number=word.notice.number - 1))
    for _ in range(20):
        table.say("b", "c", outdated)
    assert len(table.said("c", Pause)) == before + 1
    table.run_for(100)
    table.say("b", "c", outdated)
    assert len(table.said("c", Pause)) == before + 2


def test_a_claim_ends_when_somebody_else_is_known_to_have_led_later() -> None:
    table = paused(quorum=True)
    word = known_by(table, "b")
    table.stop("a")
    table.run_for(3000)
    table.close_road("a-b", "a-c")
    table.start("a", incarnation=2)
    claim = table.until_said("a", "b", Prepare)
    assert isinstance(claim.message, Prepare)
    table.say("b", "a", replace(word, holder=3, term=2**40))
    assert table.last("a", "b", Release).message == Release(claim.message.term)


def test_whom_one_follows_one_knows_oneself() -> None:
    """b is wrong about who led last. c follows a, and promises it when it comes back."""
    table = paused(quorum=False)
    word = known_by(table, "b")
    table.say("b", "c", replace(word, holder=2, term=word.term + 50))
    table.crash("a")
    table.crash("b")
    table.run_for(3000)
    table.start("a", incarnation=2)
    table.until_leads("a")


def test_who_follows_by_a_hint_knows_its_leader() -> None:
    """Quorum. c was restarted and does not vote yet when the group is paused at it. Then all
    others are gone; a comes back, learns of the pause by c, and leads."""
    table = three(quorum=True)
    table.crash("c")
    table.start("c", incarnation=2)
    table.run_for(400)
    table.pause("c", HOUR)
    table.run_for(50)
    table.crash("a")
    table.crash("b")
    table.run_for(5000)
    table.start("a", incarnation=2)
    table.until_leads("a")
    assert left(table, "a") is not None


def test_a_leader_tells_its_newest_term() -> None:
    table = three(quorum=False)
    table.say("b", "a", Nack(table.view("a").term, table.view("a").term + 50, contended=False))
    table.pause("a", HOUR)
    word = table.last("a", "b", Pause).message
    assert isinstance(word, Pause)
    assert (word.holder, word.term) == (1, table.view("a").term)


# -- numbers


@EITHER_KIND
def test_an_old_pause_that_comes_late_changes_nothing(quorum: bool) -> None:
    """And whoever says it is told that it is over."""
    table = paused(quorum=quorum)
    late = table.last("b", "c", Pause)
    table.resume("a")
    table.run_for(1500)
    assert left(table, "c") is None
    (answer,) = table.repeat(late)
    assert isinstance(late.message, Pause)
    assert isinstance(answer, Pause)
    assert answer.notice.number == late.message.notice.number + 1
    assert answer.notice.remaining == 0
    assert left(table, "c") is None
    assert [change.left > 0 for change in changes_of(table, "c")] == [True, False]


def test_what_is_late_makes_no_pause_longer() -> None:
    table = paused(quorum=False, ms=5000)
    late = table.last("b", "c", Pause)
    table.run_for(3000)
    table.repeat(late)
    assert left(table, "c") == pytest.approx(left(table, "a"), abs=5)
    table.run_for(2500)
    table.repeat(late)
    assert left(table, "c") is None


def test_a_heartbeat_that_is_late_does_not_pause_again() -> None:
    table = paused(quorum=False)
    table.run_for(300)
    late = table.last("a", "c", Heartbeat)
    assert isinstance(late.message, Heartbeat)
    assert late.message.pause is not None
    table.resume("b")
    table.run_for(300)
    table.repeat(late)
    assert left(table, "c") is None


def test_a_command_is_said_again_in_case_that_it_was_lost() -> None:
    """Nobody leads whose heartbeats would carry it."""
    table = paused(quorum=False)
    table.crash("a")
    table.run_for(2000)
    table.close_road("b>c")
    table.resume("b")
    table.run_for(100)
    assert left(table, "c") is not None
    table.open_road("b>c", kinds=(Pause,))
    table.run_for(200)
    assert left(table, "c") is None


def test_of_two_commands_with_one_number_all_choose_the_same() -> None:
    """b pauses and c resumes at the same instant: c's id is the greater."""
    table = three(quorum=False)
    table.pause("b", HOUR)
    table.resume("c")
    table.run_for(1500)
    assert [left(table, name) for name in "abc"] == [None] * 3
    table.resume("b")
    table.pause("c", HOUR)
    table.run_for(1500)
    assert all(left(table, name) is not None for name in "abc")


def test_the_first_clock_that_ends_it_ends_it_for_all() -> None:
    """b's clock has run out. What it then says, c takes; it does not begin to wait again itself."""
    table = paused(quorum=False, ms=5000)
    known = table.last("b", "c", Pause).message
    assert isinstance(known, Pause)
    over = replace(known, notice=replace(known.notice, remaining=0))
    table.say("b", "c", over)
    assert left(table, "c") is None
    (answer,) = table.say("b", "c", known)
    assert isinstance(answer, Pause)
    assert answer.notice.remaining == 0
    assert left(table, "c") is None


def test_one_that_has_just_begun_says_so() -> None:
    """Its number would be too low to count; whoever takes commands asks it to wait."""
    table = paused(quorum=False)
    table.crash("c")
    table.start("c", incarnation=2)
    assert table.view("c").listening
    table.run_for(300)
    assert not table.view("c").listening, "it has heard the leader"
    table.resume("c")
    table.run_for(50)
    assert [left(table, name) for name in "abc"] == [None] * 3


def test_a_longer_pause_replaces_a_shorter_one_and_the_other_way_round() -> None:
    table = paused(quorum=False, ms=5000)
    table.pause("c", 60_000)
    table.run_for(100)
    assert all((left(table, name) or 0) > 59_000 for name in "abc")
    table.pause("a", 1000)
    table.run_for(1100)
    assert [left(table, name) for name in "abc"] == [None] * 3


def test_no_pause_is_longer_than_a_day() -> None:
    table = paused(quorum=False, ms=25 * HOUR)
    assert (left(table, "c") or 0) <= 24 * HOUR


def test_numbers_are_used_up_with_a_word() -> None:
    table = three(quorum=False)
    table.say("b", "a", Pause(Notice(2**32 - 1, 2, 0), 1, 1))
    table.pause("a", HOUR)
    assert left(table, "a") is None
    assert "pause-refused" in [getattr(order, "kind", "") for order in table.seats["a"].orders]


def test_greetings_carry_it_and_those_of_strangers_do_not_count() -> None:
    """Who has not answered a nonce could be anybody."""
    table = three(quorum=False)
    greeting = table.last("b", "a", Hello)
    assert isinstance(greeting.message, Hello)
    word = Pause(Notice(5, 2, 60_000 * MS), 2, 1)
    forged = replace(greeting.message, pause=word, echo=0)
    for stranger in (Owner(77, 1), greeting.header.sender._replace(incarnation=99)):
        header = replace(greeting.header, sender=stranger, counter=1)
        table.deliver(replace(greeting, header=header, message=forged))
        assert left(table, "a") is None
    messages: list[Message] = table.say("b", "a", forged)
    assert left(table, "a") is not None
    assert all(isinstance(message, Hello) for message in messages)


def test_voters_of_another_list_do_not_pause_this_group() -> None:
    table = Table("a b c", quorum=True)
    table.open_road("a-b", "a-c", "b-c")
    table.seats["c"].voters = ("c",)
    for name in "abc":
        table.start(name)
    table.until_leads("c")
    table.pause("c", HOUR)
    table.run_for(30_000)
    assert [left(table, name) is None for name in "abc"] == [True, True, False]
