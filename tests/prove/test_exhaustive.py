"""The exhaustive search reaches the end of its worlds, and sees what it is there for."""

from __future__ import annotations

import pytest

from prove.cells import Quick, Seat
from prove.exhaustive import line_of, search, search_without
from prove.mutants import MUTANTS
from prove.scopes import NAMED, SMALL
from prove.search import Scope, Search

WITH_SCOPE = [mutant for mutant in MUTANTS if mutant.scope]
ALONE = frozenset[tuple[int, int]]()


@pytest.mark.parametrize("name", ["halves", "strangers", "clocks"])
def test_a_small_world_is_searched_to_its_end(name: str) -> None:
    report = search(name)

    assert report.complete
    assert not report.violation
    assert report.states > 100


def test_what_takes_seconds_is_among_all() -> None:
    assert set(SMALL) < set(NAMED)


def test_mutants_name_scopes_that_are_there() -> None:
    assert len(WITH_SCOPE) >= 15
    assert {mutant.scope for mutant in WITH_SCOPE} <= set(NAMED)


def test_without_a_rule_the_search_finds_what_it_prevents() -> None:
    (mutant,) = (mutant for mutant in MUTANTS if mutant.name == "half-is-a-majority")

    _, report = search_without(mutant)

    assert report.violation
    assert line_of(report).endswith(report.violation)


def test_a_violation_comes_with_what_led_to_it() -> None:
    """Two groups that know nothing of each other: to the search they are one with two leaders."""
    quick = Quick(50, 0, 0)
    seats = (Seat("a", quick, 20, claims=1), Seat("b", quick, 20, claims=1))
    lone = Scope("lone", "", seats, ("a",), ALONE, 1)
    both = Scope("both", "", (seats[0], seats[0]._replace(name="b", voter="a")), ("a",), ALONE, 1)

    assert not Search(lone).run().violation
    report = Search(both, traced=True).run()

    assert report.violation
    assert not report.complete
    assert {step.split()[0] for step in report.trace} == {"a", "b"}


def test_a_search_that_ran_out_of_time_is_not_complete() -> None:
    report = search("own-vote", seconds=0)

    assert not report.complete
    assert "NOT COMPLETE" in line_of(report)


def test_a_word_may_be_heard_late_and_a_crash_forgets() -> None:
    """The bounds are bounds: with more of each there is more to see."""
    quick = Quick(50, 0, 0)
    links = frozenset({(0, 1)})

    def states(claims: int, crashes: int, ticks: int) -> int:
        seats = (Seat("a", quick, 20, claims=claims), Seat("b", quick, 20, crashes=crashes))
        report = Search(Scope("x", "", seats, ("a", "b"), links, ticks)).run()
        assert report.complete
        assert not report.violation
        return report.states

    least = states(1, 0, 2)
    assert states(0, 0, 2) < least < min(states(2, 0, 4), states(1, 1, 2), states(1, 0, 3))
