"""When a node waits: without a carrier, asked to sit out, in quarantine, late, without a disk.

Each test plays the schedule in which the wait decides, and sees that it ends. Times are
milliseconds; H = 250, A = S = 1000, T = 800, L = 1000, R = 200, SK = 40.
"""

from __future__ import annotations

import pytest

from followtheleader.core.actions import ChangeRole, Persist
from followtheleader.core.events import Stored
from followtheleader.core.messages import Ack, Ask, Heartbeat, Hello, Prepare, Promise, Release
from followtheleader.core.node import Memory
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Reason, Role
from sim.table import Table, three

NEVER_LEAD = {"b": 0, "c": 0}
SKEW = 40
EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
ROADS_OF_A = ("a-b", "a-c")


def claims(table: Table, name: str) -> int:
    """Count the PREPAREs that ``name`` ever sent."""
    return len(table.said(name, Prepare))


# -- without a carrier


@EITHER_KIND
def test_a_leader_without_carrier_hands_over_and_rests(quorum: bool) -> None:
    """a's cable is pulled, or so it is told; its job takes its time to end. a is a follower at
    once, renews its lease until the job has ended, and then says so. However long it lasts, and
    though nobody leads in the end, it does not claim."""
    table = three(quorum=quorum, priorities={"c": 0})
    seat = table.seats["a"]
    seat.keeps_job = True
    table.carrier("a", up=False)
    assert seat.changes[-1].role is Role.FOLLOWER
    assert seat.changes[-1].reason is Reason.FAULT
    table.run_for(3000)
    assert table.said("a", Release) == []
    assert table.leaders() == ["a"], "the lease is renewed while the job ends"
    before = claims(table, "a")
    table.settle("a")
    assert table.said("a", Release)
    table.until_leads("b")
    table.crash("b")
    table.run_for(20_000)
    assert claims(table, "a") == before
    assert table.roles("a").count(Role.LEADER) == 1


@EITHER_KIND
def test_a_carrier_that_is_back_means_listening_anew(quorum: bool) -> None:
    """a's cable is plugged in again, and nobody leads: a first listens for S, as after a start,
    and then claims."""
    table = three(quorum=quorum, priorities=NEVER_LEAD)
    table.carrier("a", up=False)
    table.run_for(5000)
    assert table.leaders() == []
    before = claims(table, "a")
    table.carrier("a", up=True)
    table.run_for(999)
    assert claims(table, "a") == before
    table.run_for(SKEW + 2)
    assert claims(table, "a") > before
    table.until_leads("a")


@EITHER_KIND
def test_a_carrier_that_never_went_means_nothing(quorum: bool) -> None:
    """Whoever looks after the interfaces says again and again that all is well: that is no reason
    to listen for ever."""
    table = Table("a b", quorum=quorum, priorities=NEVER_LEAD)
    table.open_road("a-b")
    table.start("a")
    table.start("b")
    for _ in range(15):
        table.run_for(100)
        table.carrier("a", up=True)
    assert table.leaders() == ["a"]


def test_a_carrier_that_is_back_means_greeting_at_once() -> None:
    """a has tried b's address for a while, in growing pauses; now it may be reached."""
    table = Table("a b")
    table.cut_road("a-b")
    table.start("a")
    table.carrier("a", up=False)
    table.run_for(8000)
    before = len(table.said("a", Hello))
    table.carrier("a", up=True)
    assert len(table.said("a", Hello)) == before + 1


@EITHER_KIND
def test_who_has_other_addresses_greets_and_goes_on(quorum: bool) -> None:
    """The others speak to where they heard us last. Without a carrier there is nobody to greet."""
    table = three(quorum=quorum)
    table.until_leads("a")
    table.run_for(1000)
    for name, times in (("b", 1), ("a", 1), ("b", 0)):
        if not times:
            table.carrier(name, up=False)
        before = len(table.said(name, Hello))
        table.carrier(name, up=times > 0, moved=True)
        assert len(table.said(name, Hello)) == before + 2 * times
    assert table.leaders() == ["a"]


@EITHER_KIND
def test_a_carrier_that_is_back_finds_the_leader(quorum: bool) -> None:
    """b leads meanwhile. a hears it while it listens, and follows; b is left in peace."""
    table = three(quorum=quorum, priorities={"c": 0})
    table.carrier("a", up=False)
    table.cut_road(*ROADS_OF_A)
    table.until_leads("b")
    table.run_for(3000)
    table.open_road(*ROADS_OF_A)
    table.carrier("a", up=True)
    table.run_for(3000)
    assert table.leaders() == ["b"]
    assert table.roles("b").count(Role.LEADER) == 1
    assert table.roles("a")[-1] is Role.FOLLOWER


@EITHER_KIND
def test_a_follower_without_carrier_does_not_claim(quorum: bool) -> None:
    """b's cable is pulled, so its leader's lock runs out; that says nothing about the leader. Nor
    does a carrier that was told of twice change anything."""
    table = three(quorum=quorum, priorities={"c": 0})
    table.carrier("b", up=False)
    table.cut_road("a-b", "b-c")
    table.run_for(500)
    table.carrier("b", up=False)
    table.run_for(15_000)
    assert claims(table, "b") == 0
    assert table.leaders() == ["a"]
    table.crash("a")
    table.carrier("b", up=True)
    table.run_for(999)
    assert claims(table, "b") == 0
    table.open_road("b-c")
    table.until_leads("b")


@EITHER_KIND
def test_a_candidate_without_carrier_gives_its_claim_up(quorum: bool) -> None:
    """The cable is pulled while PREPARE is out: the promises that may come are worth nothing."""
    table = Table("a b c", quorum=quorum, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    claim = table.until_said("a", "b", Prepare)
    table.carrier("a", up=False)
    assert table.said("a", Release)
    table.deliver(claim)
    table.run_for(10_000)
    assert table.roles("a") == []
    assert claims(table, "a") == 2, "one claim, to two members"


# -- asked to sit out


@EITHER_KIND
def test_who_sits_out_does_so_to_the_end(quorum: bool) -> None:
    """a hands over for five seconds, b leads and dies, b's lock runs out, and nobody else may lead:
    a waits until its time is over, and then leads."""
    table = three(quorum=quorum, priorities={"c": 0})
    table.step_down("a", sit_out=5000 * MS)
    until = table.ms + 5000
    table.until_leads("b")
    table.run_for(300)
    table.crash("b")
    before = claims(table, "a")
    table.run_to(until - 1)
    assert table.view("a").lock_owner is None
    assert claims(table, "a") == before
    table.run_to(until + SKEW + 1)
    assert claims(table, "a") > before
    table.until_leads("a")


@EITHER_KIND
def test_sitting_out_begins_when_the_job_has_ended(quorum: bool) -> None:
    """a's job takes four of the five seconds to end; only then can somebody else lead, and needs
    the whole time."""
    table = three(quorum=quorum, priorities=NEVER_LEAD)
    table.seats["a"].keeps_job = True
    table.step_down("a", sit_out=5000 * MS)
    table.run_for(4000)
    table.settle("a")
    until = table.ms + 5000
    before = claims(table, "a")
    table.run_to(until - 1)
    assert claims(table, "a") == before
    table.run_to(until + SKEW + 1)
    assert claims(table, "a") > before


@EITHER_KIND
def test_a_follower_that_sits_out_leaves_it_to_others(quorum: bool) -> None:
    """Its leader dies: b, that was asked to sit out, leaves the claim to c. Another request for a
    shorter time does not shorten the first."""
    table = three(quorum=quorum)
    table.step_down("b", sit_out=9000 * MS)
    table.step_down("b", sit_out=100 * MS)
    until = table.ms + 9000
    table.run_for(2000)
    table.crash("a")
    table.until_leads("c")
    table.crash("c")
    table.run_to(until - 1)
    assert claims(table, "b") == 0
    table.run_to(until + SKEW + 1)
    assert claims(table, "b") > 0


# -- in quarantine


def restarted_voter(*, seed: int = 1) -> Table:
    """a leads with c; b, whose disk knows a lock of 3500 ms, is in the quarantine of its new life
    and on open roads again."""
    slow_job = Timing(250 * MS, 3, 2000 * MS)
    timings = {"a": slow_job, "b": slow_job, "c": slow_job}
    table = Table("a b c", quorum=True, priorities={"c": 0}, timings=timings, seed=seed)
    table.open_road("a-b", "a-c", "b-c")
    for name in "abc":
        table.start(name)
    table.step_down("b", sit_out=5000 * MS)
    table.until_leads("a")
    table.run_for(600)
    table.crash("b")
    table.run_for(37 * seed)
    table.start("b", incarnation=2)
    table.seats["b"].changes.clear()
    return table


@pytest.mark.parametrize("seed", range(1, 9))
def test_a_quarantined_voter_follows_without_a_lock(seed: int) -> None:
    """b may not vote yet, but it can hear who leads, and says so to the world. It grants nothing;
    when the quarantine ends it leaves the leader in peace, and supports it from then on."""
    table = restarted_voter(seed=seed)
    before = len(table.said("b", Ack)), len(table.said("b", Promise))
    quarantine_ends = table.ms + 3500
    while table.ms < quarantine_ends - 1:
        table.run_for(1)
        assert table.view("b").lock_owner is None
    assert table.view("b").quarantined
    (change,) = table.seats["b"].changes
    assert (change.role, change.reason) == (Role.FOLLOWER, Reason.FOLLOWING)
    assert change.leader is not None
    assert change.leader.owner == table.seats["a"].owner
    assert (len(table.said("b", Ack)), len(table.said("b", Promise))) == before
    table.run_for(2000)
    assert claims(table, "b") == 0
    assert len(table.seats["b"].changes) == 1
    assert table.view("b").lock_owner == table.seats["a"].owner
    assert len(table.said("b", Ack)) > before[0]


def test_a_candidates_heartbeat_is_no_hint() -> None:
    """Who merely asks for support does not lead yet."""
    table = restarted_voter()
    table.cut_road("a-b")
    table.run_for(20)  # b and c greet each other
    beat = Heartbeat(90, 1, 90, 0, False, 250 * MS, 800 * MS, 0)
    assert table.say("c", "b", beat) == []
    assert table.seats["b"].changes == []
    assert table.view("b").leader is None


def test_a_hint_does_not_outlive_its_leader() -> None:
    """a dies while b still is in quarantine and follows it without a lock. c may not lead: b claims
    when it has been silent for a lock's time, and leads."""
    table = restarted_voter()
    table.run_for(3000)
    assert table.roles("b") == [Role.FOLLOWER]
    table.crash("a")
    died = table.ms
    table.until_leads("b")
    assert table.roles("b") == [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER]
    assert 3000 < table.ms - died < 4500


def test_what_was_booted_together_does_not_claim_together() -> None:
    """The power comes back for a and b in the same instant: their quarantines end together, their
    elections do not begin together, or both would promise themselves for ever."""
    for seed in range(1, 9):
        table = Table("a b", quorum=True, seed=seed, timings={})
        table.start("a")
        table.start("b")
        began = table.ms
        table.run_for(1000 + SKEW + 1)
        first = {
            name: min(
                f.at for f in table.flights if f.source == name and isinstance(f.message, Prepare)
            )
            for name in "ab"
        }
        assert all(1000 <= at - began <= 1000 + SKEW for at in first.values())
        assert first["a"] != first["b"], f"seed {seed}"


def test_long_quarantines_that_end_together_do_not_either() -> None:
    """The same where the quarantine is longer than S and its skew: B = 2000."""
    slow_job = Timing(250 * MS, 3, 2000 * MS)
    for seed in range(1, 9):
        table = Table("a b", quorum=True, seed=seed, timings={"a": slow_job, "b": slow_job})
        table.start("a")
        table.start("b")
        a, b = (table.until_said(*way, Prepare).at for way in (("a", "b"), ("b", "a")))
        assert min(a, b) >= 3500
        assert a != b, f"seed {seed}"


# -- late, and without a disk


@pytest.mark.parametrize("late_ms", [251, 300, 500])
def test_who_is_always_late_still_leads_alone(late_ms: int) -> None:
    """Every timer of a fires more than H late, for ever. That makes it doubt itself once, not each
    time: alone in an open group it leads within a few A."""
    table = Table("a")
    table.seats["a"].late_by = late_ms * MS
    table.start("a")
    table.run_to(5000)
    assert Role.LEADER in table.roles("a")


def test_doubt_in_oneself_is_extended_once() -> None:
    """a's timers are punctual but for the one of its election: it came 600 ms late. a forgives the
    others as much, and claims then."""
    table = Table("a b", priorities={"b": 0})
    table.start("a")
    table.start("b")
    table.run_to(950)
    seat = table.seats["a"]
    seat.late_by = 600 * MS
    table.run_to(1600)
    assert claims(table, "a") == 0
    table.run_to(1700)
    seat.late_by = 0
    table.run_to(2150)
    assert claims(table, "a") == 0
    table.run_to(2400)
    assert claims(table, "a") > 0


@EITHER_KIND
def test_the_wait_of_a_claim_begins_when_it_is_spoken(quorum: bool) -> None:
    """The disk kept a's PREPARE for 500 ms. Nobody could answer it in that time: an open group's
    candidate leads not before W (100) after it, a quorum group's gives up not before R (200)."""
    table = Table("a b c", quorum=quorum, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    wait = 200 if quorum else 100
    table.until_said("a", "b", Prepare)
    table.seats["a"].hear(Stored(500 * MS))
    table.run_for(500 + wait - 1)
    assert table.said("a", Release) == []
    assert table.leaders() == []
    table.run_for(2)
    if quorum:
        assert table.said("a", Release)
    else:
        assert table.leaders() == ["a"]


@pytest.mark.parametrize("voters", ["", "a"], ids=["open", "quorum"])
def test_a_lease_begins_when_the_claim_is_on_disk(voters: str) -> None:
    """Nobody else is there, so a's own promise is enough. Its disk takes longer than a lease: one
    that counted from before would be over when a leads, again and again."""
    table = Table("a", quorum=bool(voters))
    table.start("a")
    seat = table.seats["a"]
    while not any(isinstance(order, Persist) for order in seat.orders):
        assert table.ms < 5000
        table.do_next()
    seat.orders.clear()
    table.now += 900 * MS  # and in this time the disk wrote
    seat.hear(Stored(900 * MS))
    table.run_for(1)
    (change,) = [o for o in seat.orders if isinstance(o, ChangeRole)]
    assert change.role is Role.LEADER
    assert change.deadline - table.now > 790 * MS
    table.run_for(5000)
    assert table.roles("a").count(Role.LEADER) == 1


def test_who_hears_something_first_is_late_all_the_same() -> None:
    """b was frozen for 3 s, and its leader's heartbeats were lost. The first thing that it does is
    to read what has come meanwhile; then it forgives a as much as it was late itself."""
    table = three(quorum=False, priorities=NEVER_LEAD | {"b": 100})
    table.close_road("a-b")
    before = claims(table, "b")
    table.seats["b"].late_by = 10_000 * MS
    table.run_for(3000)
    table.say("c", "b", Ask(1))
    table.seats["b"].late_by = 0
    table.run_for(240)
    assert claims(table, "b") == before
    table.run_for(1500)
    assert claims(table, "b") > before


def test_a_failing_disk_is_not_tried_at_every_heartbeat() -> None:
    """b, of an open group, follows although its disk fails, and acknowledges every heartbeat. It
    tries its disk every ten seconds, and writes when the disk is well again."""
    table = three(quorum=False, priorities=NEVER_LEAD)
    table.crash("b")
    seat = table.seats["b"]
    seat.disk_fails = True
    table.start("b", incarnation=2, memory=Memory())
    seat.orders.clear()
    acknowledged = len(table.said("b", Ack))
    table.run_for(45_000)
    tries = sum(isinstance(order, Persist) for order in seat.orders)
    assert 4 <= tries <= 5
    assert len(table.said("b", Ack)) - acknowledged > 150
    assert table.leaders() == ["a"]
    seat.disk_fails = False
    table.run_for(11_000)
    assert seat.memory.floor == table.view("a").term
    tries = sum(isinstance(order, Persist) for order in seat.orders)
    table.run_for(30_000)
    assert sum(isinstance(order, Persist) for order in seat.orders) == tries


def test_who_was_away_for_long_is_greeted_when_the_carrier_is_back() -> None:
    """Nobody heartbeats a member that was silent for ten minutes: it has to ask by itself."""
    table = three(quorum=False, priorities={"c": 0})
    table.carrier("a", up=False)
    table.cut_road("a-b", "a-c")
    table.until_leads("b")
    table.run_for(660_000)
    table.open_road("a-b", "a-c")
    table.carrier("a", up=True)
    table.most_leaders = 0
    table.run_for(15_000)
    assert (table.leaders(), table.most_leaders) == (["b"], 1)


def hinted() -> Table:
    """A witness-like b that was restarted and follows a by hint, in quarantine."""
    timing = Timing(250 * MS, 3, 2000 * MS)
    table = Table(
        "a b c", quorum=True, priorities={"c": 0, "b": 0}, timings=dict.fromkeys("abc", timing)
    )
    table.open_road("a-b", "a-c", "b-c")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.run_for(600)
    table.crash("b")
    table.run_for(50)
    table.start("b", incarnation=2)
    table.run_for(1000)
    assert table.view("b").quarantined
    assert table.view("b").role is Role.FOLLOWER
    return table


def test_a_hint_ends_for_those_who_may_not_lead_as_well() -> None:
    table = hinted()
    table.crash("a")
    table.run_for(30_000)
    assert (table.view("b").role, table.view("b").leader) == (Role.CANDIDATE, None)


def test_a_hinted_leader_that_resigns_is_gone_at_once() -> None:
    table = hinted()
    table.stop("a")
    table.run_for(200)
    assert (table.view("b").role, table.view("b").leader) == (Role.CANDIDATE, None)


@EITHER_KIND
def test_leading_needs_no_second_flush(quorum: bool) -> None:
    """What the claim has written says all: the term, and the lock that a leader grants itself."""
    table = three(quorum=quorum)
    orders = [order for order in table.seats["a"].orders if isinstance(order, Persist)]
    assert [(order.floor, order.max_lock) for order in orders] == [(1, 1000 * MS)]
