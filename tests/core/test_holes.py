"""One regression for each hole that was ever found in the rules: each story once went wrong.

Times are milliseconds; unless a test says otherwise H = 250, T = 800, L = 1000, R = 200.
"""

from __future__ import annotations

from dataclasses import replace

from followtheleader.core.messages import (
    Ack,
    Busy,
    Challenge,
    Heartbeat,
    Nack,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.node import Memory
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Rank, Role
from sim.habits import Habits
from sim.host import Spec
from sim.table import Table, three
from sim.world import World

ALL = ("a-b", "a-c", "b-c")
NEVER_LEAD = {"b": 0, "c": 0}


def test_1_a_claim_begins_with_new_counters() -> None:
    """A leader gives up and wins again. With the counters of its first tenure it waited for
    acknowledgements of heartbeats that it never sent."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    first = table.view("a").term
    table.step_down("a")
    assert table.leaders() == []
    table.until_leads("a")
    beats = [b for b in table.said("a", Heartbeat) if isinstance(b, Heartbeat) and b.term > first]
    assert beats[0].seq == 1
    assert not beats[0].established


def test_1_acknowledgements_of_an_earlier_tenure_count_for_nothing() -> None:
    """b's acknowledgement of the first tenure's third heartbeat is late; the second tenure has a
    third heartbeat too."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.open_road("a-b", "a-c")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.run_for(300)
    table.close_road("b>a")
    late = table.until_said("b", "a", Ack)
    assert isinstance(late.message, Ack)
    table.step_down("a")
    table.until_leads("a")
    table.cut_road("a-c")
    seq = 0
    while seq < late.message.seq:
        again = table.until_said("a", "b", Heartbeat).message
        assert isinstance(again, Heartbeat)
        seq = again.seq
    before = table.view("a").deadline
    table.deliver(late)
    assert table.view("a").deadline == before


def test_2_a_resignation_outlives_what_was_said_before_it() -> None:
    """a's heartbeat arrives after its RELEASE of the same term: nobody is locked by it again."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.close_road(*ALL)
    late = table.until_said("a", "b", Heartbeat)
    table.step_down("a", sit_out=10_000 * MS)
    table.deliver(table.last("a", "b", Release))
    assert table.view("b").lock_owner is None
    assert table.deliver(late) == []
    assert table.view("b").lock_owner is None


def test_2_a_term_is_claimed_once() -> None:
    """Nobody answers, so the claim fails and is repeated: under a new term, also after a crash,
    or a late RELEASE of the first attempt frees the locks of the second."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.start("b")
    table.start("a")
    terms: list[int] = []
    for incarnation in (2, 3, 4):
        for _ in range(3):
            claim = table.until_said("a", "b", Prepare).message
            table.until_said("a", "b", Release)
            assert isinstance(claim, Prepare)
            terms.append(claim.term)
        table.crash("a")
        table.start("a", incarnation=incarnation)
    assert terms == sorted(set(terms))


def test_3_nobody_yields_to_the_dead() -> None:
    """a led with c behind it and outranks b, which leads alone behind a cut. a's heartbeat is 850
    ms late and a is dead by then: b asks for a proof of life, and goes on leading."""
    table = Table("a b c", priorities={"c": 0})
    table.open_road("a-c")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.until_leads("b")
    table.run_for(600)
    late = table.last("a", "b", Heartbeat)
    table.crash("a")
    table.run_for(850)
    answers = table.deliver(late)
    assert [type(answer) for answer in answers] == [Challenge]
    table.run_for(300)
    assert table.leaders() == ["b"]
    assert table.roles("b") == [Role.LEADER]


def test_4_two_leaders_do_not_answer_each_other_for_ever() -> None:
    """Each heartbeat without proof was answered by a challenge, and each challenge by a heartbeat:
    now at most one challenge in 50 ms goes to a peer, however often it speaks."""
    table = Table("a b")
    table.start("a")
    table.start("b")
    table.until_leads("a")
    table.until_leads("b")
    beat = table.until_said("a", "b", Heartbeat)
    for _ in range(100):
        table.repeat(beat)
    assert len(table.said("b", Challenge)) == 1
    table.run_for(60)
    for _ in range(100):
        table.repeat(beat)
    assert len(table.said("b", Challenge)) == 2


def test_5_a_follower_of_a_ghost_unseats_nobody() -> None:
    """a is dead, but c is still locked on it and tells b so, with a's better rank. The lock that c
    names does not advance, so b goes on; when c's lock has run out, c follows b."""
    table = Table("a b c", priorities={"c": 0})
    table.open_road("a-c")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.until_leads("b")
    table.run_for(500)
    table.crash("a")
    table.open_road("b-c")
    table.run_for(600)
    assert table.said("c", Busy), "c tells b about the ghost"
    assert table.leaders() == ["b"]
    table.run_for(900)
    leader = table.view("c").leader
    assert leader is not None
    assert leader.name == "b"
    assert table.roles("b") == [Role.LEADER]


def test_5_a_new_life_refutes_the_old_one() -> None:
    """a crashes and comes back at once. c is still locked on its earlier life and says so: a, whose
    job cannot run any more, refutes it, and c is free."""
    slow_job = Timing(250 * MS, 3, 2000 * MS)
    table = three(quorum=False, priorities=NEVER_LEAD, timings={"a": slow_job})
    table.crash("a")
    table.close_road(*ALL)
    table.start("a", incarnation=2)
    claim = table.until_said("a", "c", Prepare)
    assert [type(m) for m in table.deliver(claim)] == [Busy]
    said = table.deliver(table.last("c", "a", Busy))
    assert Refute in [type(m) for m in said]
    table.deliver(table.last("a", "c", Refute))
    assert table.view("c").lock_owner is None


def test_5_no_life_is_refuted_while_its_job_may_run() -> None:
    """The same, but the guardian has not finished with the earlier life's job yet."""
    slow_job = Timing(250 * MS, 3, 2000 * MS)
    table = three(quorum=False, priorities=NEVER_LEAD, timings={"a": slow_job})
    table.crash("a")
    table.start("a", incarnation=2, job_running=True)
    table.run_for(2000)
    life = table.seats["a"].owner._replace(incarnation=1)
    c = table.last("c", "a", Ack)
    ghost = Busy(0, life, None, 1, 1, 500 * MS, Rank(1, -1, 100, life.id))
    assert table.repeat(replace(c, message=ghost)) == []
    table.settle("a")
    assert Refute in [type(m) for m in table.repeat(replace(c, message=ghost))]
    assert len(table.said("a", Prepare)) == 2, "only the claim of the first life"


def test_6_a_leader_raises_its_term_above_a_followers() -> None:
    """c claimed in vain behind a cut and knows a higher term than the leader's. It says so, and the
    leader goes on under a higher one: the same leader, and c supports it."""
    table = Table("a b c", quorum=True, priorities={"b": 0})
    table.open_road("a-b")
    for name in "abc":
        table.start(name, memory=Memory(floor=50 if name == "c" else 1))
    table.until_leads("a")
    table.run_for(1500)
    table.open_road("a-c", kinds=(Heartbeat, Ack, Nack))
    table.until_said("c", "a", Ack)
    table.run_for(300)
    assert table.leaders() == ["a"]
    assert table.view("a").term > 50
    assert table.roles("a") == [Role.LEADER]


def test_7_tokens_grow_though_everybody_forgot() -> None:
    """All lose power, and their clocks begin in 1970. What was led under is on disk."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.step_down("a")
    table.until_leads("a")
    before = max(table.seats["a"].tokens)
    for name in "abc":
        table.crash(name)
    for name in "abc":
        table.start(name, incarnation=2)
    table.until_leads("a")
    assert table.seats["a"].tokens[-1] > before


def test_8_the_successors_claim_carries_the_resignation() -> None:
    """a resigns in favour of b. Its RELEASE to c is slow, and b's PREPARE overtakes it: c promises
    at once, because the PREPARE says that a has resigned."""
    table = three(quorum=True, priorities={"b": 150, "c": 0})
    table.close_road("a-c", "a-b")
    table.step_down("a", sit_out=5000 * MS)
    table.deliver(table.last("a", "b", Release))
    claim = table.until_said("b", "c", Prepare)
    table.run_for(10)
    assert table.leaders() == ["b"]
    assert table.ms - claim.at < 12


def test_9_nobody_waits_for_the_departed() -> None:
    """The old leader has just resigned; of course it was heard a moment ago. b does not wait W for
    its promise."""
    table = three(quorum=False, priorities={"b": 150, "c": 0})
    table.close_road("a-c", "a-b")
    table.stop("a")
    table.deliver(table.last("a", "b", Release))
    table.deliver(table.last("a", "c", Release))
    claim = table.until_said("b", "c", Prepare)
    table.until_leads("b")
    assert table.ms - claim.at < 5


def test_10_a_raised_term_is_published_when_a_majority_has_it() -> None:
    """c makes a raise its term; until b (the majority) has acknowledged the new one, nobody may be
    handed it as a token: if both forgot, it would be spoken again."""
    table = Table("a b c", quorum=True, priorities={"b": 0})
    table.open_road("a-b")
    for name in "abc":
        table.start(name, memory=Memory(floor=50 if name == "c" else 1))
    table.until_leads("a")
    token = table.view("a").token
    table.run_for(1000)
    table.close_road("a-b")
    beat = table.until_said("a", "c", Heartbeat)
    table.deliver(beat)
    table.deliver(table.last("c", "a", Nack))
    assert table.view("a").term > token
    assert table.view("a").token == token == table.seats["a"].tokens[-1]
    table.deliver(table.last("a", "b", Heartbeat))
    table.deliver(table.last("b", "a", Ack))
    assert table.seats["a"].tokens[-1] == table.view("a").term > token


def test_11_a_voter_remembers_the_longest_lock_it_granted() -> None:
    """Leader a has B = 2 s, voter b has B = 0. b acknowledges a, restarts, and would vote for c
    after its own L of 1 s, while a's job still may run for 1.8 s."""
    slow_job = Timing(250 * MS, 3, 2000 * MS)
    table = Table("a b c", quorum=True, timings={"a": slow_job}, priorities={"b": 0})
    table.open_road("a-b")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.run_for(600)
    table.close_road("a-b")
    deadline = table.view("a").deadline
    assert deadline is not None
    table.crash("b")
    table.start("b", incarnation=2)
    table.open_road("b-c")
    job_ends = deadline + 2000 * MS
    while table.now < job_ends:
        table.run_for(10)
        assert not table.leads("c"), f"c leads {(job_ends - table.now) / MS} ms too early"
    table.until_leads("c")


def test_12_a_lock_covers_lease_and_job_at_the_worst_clock_rates() -> None:
    """The leader's clock is 10 % slow, the voters' are 10 % fast, its job ignores its end and is
    killed at deadline + B. The next job starts later: the invariants of the simulator look."""
    timing = Timing(250 * MS, 3, 2000 * MS)
    habits = Habits(stubborn_job=1.0, slow_hook=0, slow_disk=0, late_timer=0, slow_answer=0)
    specs = [Spec("a", 200, timing), Spec("b", 0, timing), Spec("c", 100, timing)]
    world = World(1, specs, voters=("a", "b", "c"), habits=habits, replay="this test")
    for host, rate in zip(world.hosts, (900, 1100, 1100), strict=True):
        host.boot(world.now, rate=rate)
    a, b, c = world.hosts
    a.start()
    b.start()
    world.after(2 * 10**9, c.start)
    assert world.run_while(lambda: world.leaders() != [a], 10**10)
    for other in (1, 2):
        world.network.cut(0, other)
        world.network.cut(other, 0)
    assert world.run_while(lambda: world.leaders() != [c], world.now + 10**10)


def test_13_a_lapse_frees_nothing_before_the_job_has_ended() -> None:
    """a lapses while its job takes its time. b asks for its vote: a neither promises nor says that
    it has resigned, nor does it claim; when the job has ended it does."""
    table = three(quorum=True, priorities={"c": 0})
    table.seats["a"].keeps_job = True
    table.close_road(*ALL)
    table.run_for(1500)
    assert table.roles("a") == [Role.LEADER, Role.FOLLOWER]
    table.open_road("a-b")
    table.run_for(2500)
    assert table.said("b", Prepare), "b asks"
    assert not table.said("a", Promise)
    assert not table.said("a", Release)
    assert table.leaders() == []
    claims = len(table.said("a", Prepare))
    table.settle("a")
    assert table.said("a", Release)
    table.run_for(1000)
    assert table.said("a", Promise) or len(table.said("a", Prepare)) > claims
    assert table.leaders() != []


def test_13_a_failed_claim_of_a_new_life_frees_nothing_either() -> None:
    """The agent of a crashes and comes back while its guardian still ends the job."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.crash("a")
    table.start("a", incarnation=2, job_running=True)
    table.run_for(5000)
    assert not table.said("a", Release)
    assert table.leaders() == []
    table.settle("a")
    table.until_leads("a")


def test_14_a_term_is_on_disk_before_it_is_acknowledged() -> None:
    """b's disk fails: it must not acknowledge what it would forget, so a does not lead. When b has
    acknowledged a term, a later life of b refuses it to others."""
    table = Table("a b c", quorum=True, priorities={"b": 0, "c": 0})
    table.open_road("a-b")
    table.seats["b"].disk_fails = True
    table.start("a", memory=Memory(floor=7))
    table.start("b")
    table.run_to(5000)
    assert not table.said("b", Ack)
    assert table.leaders() == []
    table.seats["b"].disk_fails = False
    table.until_leads("a")
    assert table.seats["b"].memory.floor == table.view("a").term


def test_15_a_clock_in_the_past_locks_nobody_out() -> None:
    """a's clock lost its battery: its new incarnation is older than the one b knows. b tells it
    the newer one, and a begins anew above that."""
    table = Table("a b", priorities={"b": 0})
    table.open_road("a-b")
    table.start("a", incarnation=90_000)
    table.start("b")
    table.until_leads("a")
    table.run_for(300)
    table.crash("a")
    table.start("a", incarnation=2_000)
    table.run_for(300)
    assert table.seats["a"].restart_above == 90_000
    table.start("a", incarnation=90_001)
    table.until_leads("a")
    table.run_for(300)
    leader = table.view("b").leader
    assert leader is not None
    assert leader.owner.incarnation == 90_001


def test_16_partial_connectivity_and_loss_do_not_flap() -> None:
    """Four nodes, 5 % loss, and the two ends of the group cannot hear each other: one leader, and
    in a minute no change."""
    for seed in range(1, 6):
        habits = Habits(True, 0, 0, 0, 0, 0)
        world = World(seed, [Spec(n) for n in "abcd"], habits=habits, even_clocks=True)
        for host in world.hosts:
            host.start()
        world.network.weather.loss = 0.05
        world.network.cut(0, 3)
        world.network.cut(3, 0)
        world.run_until(5 * 10**9)
        before = world.counts["role changes"]
        world.run_until(65 * 10**9)
        assert len(world.leaders()) == 1
        assert world.counts["role changes"] == before, f"seed {seed}"


def test_16_one_lost_prepare_makes_no_second_leader() -> None:
    """a cannot hear the leader b, only c, which follows b. Its PREPARE to c is lost; the second one
    within the same claim arrives, c says BUSY, and a follows b by hearsay instead of leading."""
    table = Table("a b c", priorities={"c": 0})
    table.open_road("b-c")
    table.start("b")
    table.start("c")
    table.until_leads("b")
    table.start("a")
    table.cut_road("a-b")
    first = table.until_said("a", "c", Prepare)
    second = table.until_said("a", "c", Prepare)
    assert second.message == first.message
    assert second.at - first.at == 50
    assert [type(m) for m in table.deliver(second)] == [Busy]
    table.deliver(table.last("c", "a", Busy))
    table.run_for(100)
    leader = table.view("a").leader
    assert leader is not None
    assert leader.owner == table.seats["b"].owner
    assert table.leaders() == ["b"]


def test_17_a_will_names_who_claims_at_once() -> None:
    """The leader's agent crashes. Its will names b: b claims in the same millisecond, and c leaves
    it R to succeed."""
    for quorum in (False, True):
        table = three(quorum=quorum, priorities={"b": 150})
        table.close_road(*ALL)
        will = table.die_with_will("a")
        assert will.successor == table.seats["b"].id
        died = table.ms
        table.deliver(table.last("a", "b", Release))
        table.deliver(table.last("a", "c", Release))
        assert table.until_said("b", "c", Prepare).at - died < 1
        assert table.until_said("c", "b", Prepare).at - died >= 200


def test_18_a_resend_extends_nothing_that_was_not_sent_anew() -> None:
    """The heartbeat of 0 ms is lost and sent once more at 125 ms. It keeps its number and its first
    send time: the lease ends 800 ms after the first, and who sees it twice extends nothing."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.close_road(*ALL)
    first = table.until_said("a", "b", Heartbeat)
    sent = table.now
    again = table.until_said("a", "b", Heartbeat)
    assert again.message == first.message
    assert again.at - first.at == 125
    table.deliver(again)
    until = table.view("b").lock_until
    table.run_for(50)
    table.deliver(first)
    assert table.view("b").lock_until == until
    ack = table.last("b", "a", Ack)
    table.until_said("a", "b", Heartbeat)
    table.deliver(ack)
    assert table.view("a").deadline == sent + 800 * MS


def test_18_the_job_that_the_lease_covers_is_not_the_receivers_to_judge() -> None:
    """A voter counts its lock by the leader's T and B, not by its own."""
    slow_job = Timing(250 * MS, 3, 2000 * MS)
    table = three(quorum=True, priorities=NEVER_LEAD, timings={"a": slow_job})
    table.close_road(*ALL)
    beat = table.until_said("a", "b", Heartbeat)
    table.deliver(beat)
    assert table.view("b").lock_until == table.now + 3500 * MS


def test_19_a_voter_meets_a_leader_of_whom_it_only_hears() -> None:
    """c has never reached the leader a, and tries its address no more. All others talk to c, so
    nobody greets it, and nobody tells it of a but by BUSY: c follows soon after the cut is mended,
    also in a quorum group, where another's word is no lock."""
    habits = Habits(True, 0, 0, 0, 0, 0)
    specs = [Spec("a", priority=200), Spec("b"), Spec("c")]
    world = World(1, specs, voters=("a", "b", "c"), habits=habits, even_clocks=True)
    world.network.cut(0, 2)
    world.network.cut(2, 0)
    for host in world.hosts[:2]:
        host.start()
    world.run_until(10 * 10**9)
    world.hosts[2].start()
    world.run_until(150 * 10**9)
    assert [host.name for host in world.leaders()] == ["a"]
    world.network.mend(0, 2)
    world.network.mend(2, 0)
    world.run_until(165 * 10**9)
    assert world.disagreement() == ""
