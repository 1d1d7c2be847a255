"""Not everybody hears everybody, and it stays so: roles do not change again and again.

Times are milliseconds.
"""

from __future__ import annotations

import pytest

from followtheleader.core.events import AddressFound
from followtheleader.core.messages import Ask, Handover
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Role
from sim.table import Table

SLOW, FAST = Timing(750 * MS, 3, 0), Timing(100 * MS, 1, 0)
HASTY = Timing(500 * MS, 1, 0)


@pytest.mark.parametrize(
    ("leader", "follower"),
    [(SLOW, FAST), (FAST, SLOW), (FAST, HASTY)],
    ids=["slower", "faster", "faster, and asked for seldom"],
)
def test_who_follows_by_hearsay_believes_as_long_as_the_holder(
    leader: Timing, follower: Timing
) -> None:
    """a leads, b hears it, c hears b only. a's pace is not c's; c changes its role once."""
    table = Table("a b c", timings={"a": leader, "b": leader, "c": follower})
    table.open_road("a-b", "b-c")
    table.cut_road("a-c")
    table.start("a")
    table.until_leads("a")
    table.start("b")
    table.run_for(2000)
    table.start("c")
    table.run_for(6000)
    assert table.view("c").role is Role.FOLLOWER
    before = len(table.seats["c"].changes)
    table.run_for(30_000)
    assert table.leaders() == ["a"]
    assert len(table.seats["c"].changes) == before
    asked = len(table.said("c", Ask)) / (table.ms / 1000)
    assert asked <= 20, "and it does not ask more often than it must"


@pytest.mark.parametrize("pace", [Timing(250 * MS, 3, 0), FAST], ids=["default", "faster"])
def test_one_that_cannot_lead_asks_for_it_less_and_less(pace: Timing) -> None:
    """Quorum. b, c and d hear a only, so that only a can lead; c is better, and gets the leadership
    each time it asks. It waits twice as long after each time; in between a leads undisturbed,
    whatever c's pace is."""
    table = Table(
        "a b c d", quorum=True, priorities={"c": 200, "b": 0, "d": 0}, timings={"c": pace}
    )
    table.open_road("a-b", "a-c", "a-d")
    table.cut_road("b-c", "b-d", "c-d")
    for name in "abcd":
        table.start(name, preempt_delay=300 * MS if name == "c" else None)
    table.until_leads("a")
    table.run_for(120_000)
    assert table.leaders() == ["a"]
    assert 4 <= len(table.said("c", Handover)) <= 7
    before = len(table.said("c", Handover))
    table.run_for(60_000)
    assert len(table.said("c", Handover)) - before <= 1
    # The links are mended: it leads, and its patience is what it was once it has led for a while.
    table.open_road("b-c", "b-d", "c-d")
    for name in "bd":
        table.seats["c"].hear(AddressFound(table.seats[name].address))
    table.run_for(70_000)
    assert table.leaders() == ["c"]
    table.run_for(70_000)
    table.switch_over("c", "a")
    table.until_leads("a")
    moved_at = table.ms
    table.until_leads("c")
    assert table.ms - moved_at < 1000
    # It led for a second only: that is no proof.
    table.run_for(1000)
    table.switch_over("c", "a")
    table.until_leads("a")
    moved_at = table.ms
    table.until_leads("c")
    assert table.ms - moved_at > 2000
