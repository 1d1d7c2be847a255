"""Whatever the members let pass by is said, with the reason: the shell counts it."""

from __future__ import annotations

from dataclasses import replace

from followtheleader.core.actions import Dropped, Unheard
from followtheleader.core.events import KeysChanged, Received
from followtheleader.core.messages import Ack, Ask, Heartbeat, Hello, Message, Release
from followtheleader.core.types import MAX_TERM, Owner
from sim.table import Flight, Table, three

MAX_COUNTER = 2**64 - 1
SOURCE = ("10.0.0.1", 9001)


def heard(table: Table, flight: Flight, message: Message | None = None, **header: object) -> object:
    """Let its target hear ``flight`` (with another message or header); what it says of that."""
    election = table.seats[flight.target].election
    assert election is not None
    changed = replace(flight.header, **header)  # type: ignore[arg-type]
    event = Received(changed, message or flight.message, SOURCE)
    orders = election.step(event, table.now)
    dropped = [order for order in orders if isinstance(order, Dropped)]
    assert len(dropped) <= 1
    if dropped:
        assert (dropped[0].sender, dropped[0].source) == (changed.sender, SOURCE)
    return dropped[0].reason if dropped else None


def test_each_reason() -> None:
    table = three(quorum=False)
    table.run_for(300)
    beat = table.last("a", "b", Heartbeat)
    sender = beat.header.sender
    counter = beat.header.counter + 1000
    assert heard(table, beat, counter=counter) is None
    assert heard(table, beat, counter=counter) is Unheard.REPLAYED
    assert heard(table, beat, counter=counter - 64) is Unheard.REPLAYED
    assert heard(table, beat, counter=counter - 63) is None, "late, and within the window"
    earlier = Owner(sender.id, sender.incarnation - 1)
    assert heard(table, beat, sender=earlier) is Unheard.STALE
    later = Owner(sender.id, sender.incarnation + 1)
    assert heard(table, beat, Ask(5), sender=later) is Unheard.UNVERIFIED
    assert heard(table, beat, sender=Owner(77, 1)) is Unheard.UNVERIFIED


def test_a_last_will_is_heard_once() -> None:
    table = three(quorum=False)
    table.run_for(300)
    beat = table.last("a", "b", Heartbeat)
    will = Release(1, 0)
    assert heard(table, beat, will, counter=MAX_TERM) is None
    assert heard(table, beat, will, counter=MAX_TERM) is Unheard.REPEATED


def test_what_anybody_said_is_forgotten_when_only_signed_words_count() -> None:
    """Somebody has used b's counters up, in its name; then a requires signatures."""
    table = three(quorum=True, priorities={"b": 0, "c": 0})
    table.run_for(300)
    ack = table.last("b", "a", Ack)
    table.deliver(replace(ack, header=replace(ack.header, counter=MAX_COUNTER)))
    newer = replace(ack, header=replace(ack.header, counter=ack.header.counter + 1))
    assert drops(table, newer) == [Unheard.REPLAYED], "b is deaf to a"
    table.seats["a"].hear(KeysChanged(strict=True))
    assert drops(table, newer) == []
    assert drops(table, newer) == [Unheard.REPLAYED]
    table.run_for(5000)
    assert table.leaders() == ["a"]


def test_whoever_answers_a_nonce_is_heard_again() -> None:
    """Somebody has used up the counters of a to the others, and of the others to a: nobody hears
    what the other says, not even its greeting, until one of them answers."""
    table = three(quorum=True, priorities={"b": 0, "c": 0})
    table.run_for(300)
    for name in "bc":
        for flight in (table.last(name, "a", Ack), table.last("a", name, Heartbeat)):
            table.deliver(replace(flight, header=replace(flight.header, counter=MAX_COUNTER)))
    table.run_for(5000)
    assert table.leaders() == [], "they are deaf to each other"
    table.run_for(25_000)
    assert table.leaders() == ["a"]


def test_a_greeting_that_is_heard_again_is_no_sign_of_life() -> None:
    """b is dead; somebody repeats what it said at its start, which answers no nonce of now."""
    table = three(quorum=True)
    greeting = table.last("b", "a", Hello)
    table.crash("b")
    table.run_for(2000)
    at = next(m.heard_at for m in table.view("a").members if m.name == "b")
    assert drops(table, greeting) == [Unheard.REPLAYED]
    assert next(m.heard_at for m in table.view("a").members if m.name == "b") == at


def drops(table: Table, flight: Flight) -> list[Unheard]:
    """Why its target drops it, if it does."""
    orders = table.seats[flight.target].orders
    before = len(orders)
    table.deliver(flight)
    return [order.reason for order in orders[before:] if isinstance(order, Dropped)]


def test_other_keys_alone_forget_nothing() -> None:
    table = three(quorum=True)
    table.run_for(300)
    ack = table.last("b", "a", Ack)
    table.seats["a"].hear(KeysChanged(strict=False))
    assert heard(table, ack) is Unheard.REPLAYED
