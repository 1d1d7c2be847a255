"""Schedules that a random search misses: one wrong rule, and there are two leaders.

Each test plays the schedule against the real rules and demands that there never were two leaders.
Quorum groups, B = 0; unless said otherwise H = 250, T = 800, L = 1000, R = 200 (milliseconds). What
a test does not name is lost.
"""

from __future__ import annotations

from followtheleader.core.messages import Ack, Heartbeat, Prepare, Promise, Release
from followtheleader.core.node import Memory
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS
from sim.table import Table, three

CLAIMS = (Prepare, Promise)
BEATS = (Heartbeat, Ack)


def test_a_live_lock_is_never_replaced() -> None:
    """c (H = 750, high terms) holds b's promise back. Meanwhile a, which ranks higher, is promised
    and locked by b, and leads. Then the promise arrives and c sends b its heartbeat."""
    table = Table(
        "a b c",
        quorum=True,
        priorities={"a": 200, "b": 0},
        timings={"c": Timing(750 * MS, 3, 0)},
    )
    table.seats["c"].wall_ms = 90_000
    table.start("b")
    table.start("c")
    table.run_to(2040)
    table.start("a")
    held_claim = table.until_said("c", "b", Prepare)
    assert [type(m) for m in table.deliver(held_claim)] == [Promise]
    promise = table.last("b", "c", Promise)
    table.open_road("a-b")
    table.until_leads("a")
    table.run_for(220)  # b's promise to a has run out: only the lock is left
    table.close_road("a-b")
    assert table.ms - held_claim.at < 500, "the claim of c still waits"
    table.deliver(promise)
    beat = table.last("c", "b", Heartbeat)
    table.deliver(beat)
    for ack in table.flights[::-1]:
        if (ack.source, ack.target) == ("b", "c") and isinstance(ack.message, Ack):
            table.deliver(ack)
            break
    assert table.most_leaders == 1
    assert table.leaders() == ["a"]
    assert table.view("b").lock_owner == table.seats["a"].owner


def test_a_release_frees_only_terms_up_to_its_own() -> None:
    """a's first claim fails; its RELEASE to b is held back until a leads under its second."""
    table = Table("a b c", quorum=True, priorities={"b": 0})
    table.start("a")
    table.start("b")
    table.run_to(500)
    late = table.until_said("a", "b", Release)
    table.start("c")
    table.open_road("a-b")
    table.until_leads("a")
    table.run_for(550)
    claim = table.until_said("c", "b", Prepare)
    table.close_road("a-b")
    table.deliver(late)
    assert table.view("b").lock_owner == table.seats["a"].owner
    table.open_road("b-c")
    table.deliver(claim)
    table.run_for(400)
    assert table.most_leaders == 1
    assert table.leaders() == ["a"]


def test_an_owner_is_a_node_and_its_incarnation() -> None:
    """a led b and c; its last heartbeats to them are late, it crashes and forgets everything. They
    arrive, and lock b and c on the earlier life. The new one claims with d and e: b and c must not
    acknowledge it as if it were the leader that they believe in."""
    table = Table("a b c d e", quorum=True, priorities={"c": 0, "d": 0, "e": 0})
    for name in "abcde":
        table.start(name)
    table.step_down("b", sit_out=2900 * MS)
    table.seats["a"].wall_ms = 90_000
    table.open_road("a-b", "a-c")
    table.until_leads("a")
    table.run_for(300)
    table.cut_road("a-b", "a-c")
    held = table.until_said("a", "b", Heartbeat), table.last("a", "c", Heartbeat)
    table.crash("a")
    table.seats["a"].wall_ms = 2_000
    table.start("a", incarnation=2, memory=Memory())
    table.run_for(640)
    for flight in held:
        table.deliver(flight)
    locked_until = table.view("b").lock_until
    assert locked_until is not None
    table.open_road("a-d", "a-e", kinds=CLAIMS)
    table.open_road("a-b", "a-c", kinds=BEATS)
    table.run_to((locked_until - table.now) / MS + table.ms - 50)
    assert table.said("d", Promise), "d promises the new life of a"
    table.open_road("b-c", "b-d")
    table.until_leads("b")
    assert table.most_leaders == 1


def test_what_an_earlier_life_was_told_supports_nobody() -> None:
    """b acknowledged a heartbeat of a's earlier life, which had the same number under the same
    term, for a has lost its disk since. Heard late, that carries no lease on; the right word does.
    """
    table = three(quorum=True, priorities={"b": 0, "c": 0})
    table.close_road("b>a", "c>a")
    table.run_for(300)
    newest = table.last("a", "b", Heartbeat).message
    assert isinstance(newest, Heartbeat)
    deadline = table.view("a").deadline
    table.say("b", "a", Ack(newest.term, newest.seq, incarnation=0))
    assert table.view("a").deadline == deadline
    table.say("b", "a", Ack(newest.term, newest.seq, incarnation=1))
    assert (table.view("a").deadline or 0) > (deadline or 0)


def test_a_restarted_voter_is_silent_for_a_lock() -> None:
    """b made a lead, crashes, and is back at once with nothing in its head: if it promised c now,
    c would lead beside a."""
    table = Table("a b c", quorum=True, priorities={"b": 0})
    for name in "abc":
        table.start(name)
    table.step_down("c", sit_out=1200 * MS)
    table.open_road("a-b")
    table.until_leads("a")
    table.run_for(10)
    table.close_road("a-b")
    table.crash("b")
    table.start("b", incarnation=2)
    table.open_road("b-c")
    table.run_for(700)
    assert table.said("c", Prepare), "c asks for b's vote"
    assert table.leaders() == ["a"]
    table.until_leads("c")
    assert table.most_leaders == 1


def test_a_clean_stop_leaves_the_end_of_its_lock() -> None:
    """b stops properly while it is locked on a, and starts again at once: it knows until when it
    has to be silent, and that is less than a quarantine."""
    table = Table("a b c", quorum=True, priorities={"b": 0})
    for name in "abc":
        table.start(name)
    table.step_down("c", sit_out=1200 * MS)
    table.open_road("a-b")
    table.until_leads("a")
    table.run_for(10)
    table.close_road("a-b")
    table.stop("b")
    stopped = table.seats["b"].stopped
    assert stopped is not None
    assert 0 < stopped.lock_until - table.now <= 1000 * MS
    remembered = table.seats["b"].memory
    table.run_for(300)
    memory = Memory(remembered.floor, remembered.max_lock, stopped.lock_until)
    table.start("b", incarnation=2, memory=memory)
    table.open_road("b-c")
    while table.now < stopped.lock_until:
        assert table.leaders() in (["a"], [])
        table.run_for(10)
    assert not table.view("b").quarantined
    table.until_leads("c")
    assert table.now < stopped.lock_until + 1000 * MS


def test_a_voters_name_counts_once() -> None:
    """Two nodes go by the name b (a copied disk), and a does not know yet that both live: b has
    acknowledged and is heard no more, its twin is met and acknowledges. With c, whose promise came
    and whose acknowledgement is lost, they are three of five nodes, and two of five voters."""
    table = Table(
        "a b c twin",
        quorum=True,
        voters="a b c d e",
        aliases={"twin": "b"},
        priorities={"b": 0, "c": 0, "twin": 0},
    )
    table.cut_road("a-twin", "b-twin", "c-twin")
    table.open_road("a-b")
    table.open_road("a-c", kinds=CLAIMS)
    for name in ("a", "b", "c", "twin"):
        table.start(name)
    table.until_said("b", "a", Ack)
    table.run_for(2)
    table.cut_road("a-b")
    table.open_road("a-twin")
    table.carrier("twin", up=True, moved=True)
    table.until_said("twin", "a", Ack)
    table.run_for(300)
    assert table.most_leaders == 0
    table.open_road("a-c")
    table.until_leads("a")


def test_a_stray_node_never_votes() -> None:
    """d is not in the list of voters: its promise and its acknowledgement count for nothing."""
    table = Table("a d", quorum=True, voters="a b c", priorities={"d": 0})
    table.open_road("a-d")
    table.start("a")
    table.start("d")
    table.run_to(6000)
    assert table.said("a", Prepare)
    assert table.most_leaders == 0


def test_a_lease_counts_from_the_sending() -> None:
    """b's acknowledgement takes 500 ms. The lease ends 800 ms after the heartbeat was sent, not
    after the acknowledgement came."""
    table = Table("a b c", quorum=True, priorities={"b": 0, "c": 0})
    table.open_road("a-b")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.run_for(600)
    table.close_road("b>a")
    beat = table.until_said("a", "b", Heartbeat)
    sent = table.now
    ack = table.until_said("b", "a", Ack)
    assert (ack.message, beat.source) == (Ack(table.view("a").term, _seq(beat.message), 1), "a")
    table.run_for(500)
    table.deliver(ack)
    assert table.view("a").deadline == sent + 800 * MS


def test_two_candidates_share_no_voter() -> None:
    """b promises c while a's claim, which it promised too, is still young. Promises are only hints:
    b locks the first heartbeat that comes, and refuses the other."""
    table = Table("a b c", quorum=True, priorities={"b": 0, "c": 200})
    for name in "abc":
        table.start(name)
    first = table.until_said("a", "b", Prepare)
    table.deliver(first)
    table.deliver(table.until_said("c", "b", Prepare))
    for name in "ac":
        table.deliver(table.last("b", name, Promise))
    for name in "ac":
        table.deliver(table.last(name, "b", Heartbeat))
        for flight in [f for f in table.flights if f.source == "b" and isinstance(f.message, Ack)]:
            table.deliver(flight)
    table.run_for(100)
    assert len(table.leaders()) <= 1
    assert table.most_leaders == 1


def _seq(message: object) -> int:
    return message.seq if isinstance(message, Heartbeat) else 0
