"""Stories like those of `test_mutants_killed`, for mutants that cost only liveness or peace.

Times are milliseconds; H = 250, A = 1000, T = 800, L = 1000, R = 200.
"""

from __future__ import annotations

from followtheleader.core.events import AddressFound
from followtheleader.core.messages import (
    Ack,
    Ask,
    Busy,
    Heartbeat,
    Message,
    Nack,
    Prepare,
    Promise,
)
from followtheleader.core.node import Memory
from followtheleader.core.types import MS
from sim.table import Table

NEVER_LEAD = {"b": 0, "c": 0}


def kinds(messages: list[Message]) -> list[type]:
    """Return what kinds of message these are."""
    return [type(message) for message in messages]


def beat(term: int) -> Heartbeat:
    """Return the first heartbeat of an established leader."""
    return Heartbeat(term, 1, term, 0, True, 250 * MS, 800 * MS, 0)


def test_of_two_claims_the_better_is_promised() -> None:
    """b promised a, of priority 200. c, of 100, asks under a higher term: not while the promise
    lives. The other way round a, the better, is promised although c was before."""
    for first, second, answer in (("a", "c", Nack), ("c", "a", Promise)):
        table = Table("a b c", quorum=True, priorities={"a": 200, "b": 0, "c": 100})
        for name in "abc":
            table.start(name)
        table.run_to(1001)
        assert kinds(table.say(first, "b", Prepare(5))) == [Promise]
        assert kinds(table.say(second, "b", Prepare(6))) == [answer]
        table.run_for(201)
        assert kinds(table.say(second, "b", Prepare(7))) == [Promise]


def test_a_claim_raises_no_term() -> None:
    """c asks under a term far above, and never leads. b promises, but its term is what leaders have
    had: or whoever claims in vain for long would make each leader raise its own."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    table.run_to(1001)
    assert table.say("c", "b", Prepare(90)) == [Promise(90)]
    assert table.view("b").max_term == 0
    table.run_for(201)
    assert table.say("a", "b", Prepare(7)) == [Promise(7)]
    assert table.say("a", "b", beat(7)) == [Ack(7, 1, 1)]
    assert table.view("b").max_term == 7


def follower_by_hearsay() -> Table:
    """a cannot hear the leader b, and follows it by c's word; d knows them all."""
    table = Table("a b c d", priorities={"c": 0, "d": 0})
    table.open_road("b-c", "b-d")
    for name in "bcd":
        table.start(name)
    table.until_leads("b")
    table.start("a")
    table.cut_road("a-b")
    table.deliver(table.until_said("a", "c", Prepare))
    table.deliver(table.last("c", "a", Busy))
    leader = table.view("a").leader
    assert leader is not None
    assert (leader.owner, leader.direct) == (table.seats["b"].owner, False)
    return table


def test_hearsay_is_not_passed_on() -> None:
    """d asks a who leads. c, which hears b, may say so; a may not, or two that believe each other
    would keep a dead leader for ever."""
    table = follower_by_hearsay()
    assert table.say("d", "a", Ask(4711)) == []
    assert kinds(table.say("d", "c", Ask(4711))) == [Busy]


def test_hearsay_gives_way_to_what_is_heard() -> None:
    """d leads as well and a hears it: that is worth more than c's word for b."""
    table = follower_by_hearsay()
    assert table.say("d", "a", beat(900)) == [Ack(900, 1, 1)]
    assert table.view("a").lock_owner == table.seats["d"].owner


def test_the_winner_of_two_leaders_goes_on_above_the_loser_s_term() -> None:
    """b led under a far higher term than a when they meet again. a, of the better rank, wins: its
    tokens must not be lower than what b's job has shown."""
    table = Table("a b", priorities={"a": 200})
    table.cut_road("a-b")
    table.start("a", memory=Memory(floor=1))
    table.start("b", memory=Memory(floor=500))
    table.until_leads("a")
    table.until_leads("b")
    highest = table.view("b").term
    assert table.view("a").term < highest
    table.open_road("a-b")
    for one, other in ("ab", "ba"):
        table.seats[one].hear(AddressFound(table.seats[other].address))
    table.run_for(2000)
    assert table.leaders() == ["a"]
    assert table.view("a").token > highest
