"""One story for each rule that could be taken out without another test noticing.

The bench of mutants (``python -m prove.mutants``) takes rules out one by one; each test here kills
one mutant, and shows beside it what the rule must not forbid. Those that cost safety are here, the
others in `test_mutants_killed_peace`. Times are milliseconds; unless a test
says otherwise H = 250, A = 1000, T = 800, L = 1000, R = 200.
"""

from __future__ import annotations

from dataclasses import replace

from followtheleader.core.events import Settled
from followtheleader.core.messages import (
    Ack,
    Busy,
    Challenge,
    Heartbeat,
    Message,
    Nack,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.node import Memory
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Owner, Rank, Role
from sim.table import Flight, Table, three

ALL = ("a-b", "a-c", "b-c")
NEVER_LEAD = {"b": 0, "c": 0}
SLOW_JOB = Timing(250 * MS, 3, 2000 * MS)
"""B = 2000, so L = 3500."""
CLAIMS = (Prepare, Promise)


def kinds(messages: list[Message]) -> list[type]:
    """Return what kinds of message these are."""
    return [type(message) for message in messages]


def beat(term: int, *, support: int = 0, echo: int = 0) -> Heartbeat:
    """Return the first heartbeat of an established leader."""
    return Heartbeat(term, 1, term, support, True, 250 * MS, 800 * MS, 0, echo)


# -- locks


def test_a_release_frees_the_locks_of_its_own_life_only() -> None:
    """A will of a's earlier life, which had led under a term far above, comes when b is locked on
    the present one. It frees nothing; a's own word does."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.open_road(*ALL)
    table.start("a", incarnation=2)
    table.start("b")
    table.start("c")
    table.until_leads("a")
    table.run_for(300)
    own = table.last("a", "b", Heartbeat)
    owner = table.seats["a"].owner
    earlier = replace(own.header, sender=Owner(owner.id, 1), counter=1)
    table.deliver(Flight("a", "b", earlier, Release(owner.id + 1000), table.ms))
    assert table.view("b").lock_owner == owner
    table.say("a", "b", Release(table.view("a").term))
    assert table.view("b").lock_owner is None


def test_no_lock_below_a_term_that_was_acknowledged() -> None:
    """b acknowledged a under term 51. The lock runs out, and c says that it leads under 51, and
    under 7: a token that went back. Under 52 it may."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.open_road("a-b")
    table.start("a", memory=Memory(floor=50))
    table.start("b")
    table.start("c")
    table.until_leads("a")
    table.run_for(300)
    assert table.view("b").max_term == 51
    table.crash("a")
    table.run_for(1100)
    assert table.view("b").lock_owner is None
    for term in (7, 51):
        assert table.say("c", "b", beat(term)) == [Nack(term, 51, contended=False)]
    assert table.say("c", "b", beat(52)) == [Ack(52, 1, 1)]


def test_a_life_that_has_not_answered_is_not_heard() -> None:
    """a's present life leads and b follows. A heartbeat of its earlier life arrives, under a term
    far above: b acknowledges nothing, and its lock stays as it was."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.open_road(*ALL)
    table.start("a", incarnation=2)
    table.start("b")
    table.start("c")
    table.until_leads("a")
    table.run_for(300)
    table.close_road(*ALL)
    before = table.view("b")
    own = table.last("a", "b", Heartbeat)
    earlier = replace(own.header, sender=own.header.sender._replace(incarnation=1), counter=10**6)
    answers = table.deliver(Flight("a", "b", earlier, beat(before.term + 10), table.ms))
    assert Ack not in kinds(answers)
    assert table.view("b").max_term == before.max_term
    assert table.view("b").lock_until == before.lock_until


def test_a_datagram_counts_once() -> None:
    """The network doubles a PREPARE. The same question as a new datagram is answered again."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    claim = table.until_said("a", "b", Prepare)
    assert kinds(table.deliver(claim)) == [Promise]
    assert table.deliver(claim) == []
    assert kinds(table.repeat(claim)) == [Promise]


def test_nobody_else_says_that_our_job_has_ended() -> None:
    """a has lapsed and its job takes its time. b asks for its vote, and its PREPARE tells that a
    has resigned: a knows better, and does not promise. When the job has ended it does."""
    table = three(quorum=True, priorities={"c": 0})
    table.seats["a"].keeps_job = True
    table.close_road(*ALL)
    owner, term = table.seats["a"].owner, table.view("a").term
    table.run_for(1500)
    assert table.roles("a")[-1] is Role.FOLLOWER
    assert table.say("b", "a", Prepare(term + 5, (owner, term + 4))) == []
    assert table.view("a").lock_owner == owner
    table.settle("a")
    assert kinds(table.say("b", "a", Prepare(term + 6, (owner, term)))) == [Promise]


def test_who_locks_another_gives_its_claim_up() -> None:
    """a has claimed, and c's promise is on its way. b, which leads, is heard first: a locks it.
    With the promise a would have a majority, and its own vote would replace the lock on b."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    claim = table.until_said("a", "c", Prepare)
    table.deliver(claim)
    promise = table.last("c", "a", Promise)
    assert table.say("b", "a", beat(90))[-1] == Ack(90, 1, 1)
    assert table.deliver(promise) == []
    assert table.view("a").lock_owner == table.seats["b"].owner
    table.run_for(300)
    assert table.said("a", Heartbeat) == []


def test_a_life_is_refuted_only_by_a_later_one_of_its_own() -> None:
    """b is locked on a. c says that a is dead, a itself says so of the life that it lives, and of
    its next one: all of that is nonsense, and b stays. A later life of a is another matter."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.crash("c")
    table.start("c", incarnation=5)
    table.run_for(300)
    table.close_road(*ALL)
    a, c = table.seats["a"].owner, table.seats["c"].owner
    table.say("c", "b", Refute(a, 1))
    table.say("c", "b", Refute(c, 1))
    table.say("a", "b", Refute(a, 1))
    table.say("a", "b", Refute(a._replace(incarnation=2), 1))
    assert table.view("b").lock_owner == a
    table.crash("a")
    table.start("a", incarnation=2)
    table.run_for(10)
    assert table.view("b").lock_owner == a
    table.say("a", "b", Refute(a, 1))
    assert table.view("b").lock_owner is None


# -- what a restart must not lose


def test_nothing_is_promised_in_quarantine() -> None:
    """b is back with a lock forgotten. It is asked at once, and at the end of its silence."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    table.run_to(300)
    assert table.view("b").quarantined
    assert table.say("c", "b", Prepare(5)) == []
    table.run_to(1001)
    assert not table.view("b").quarantined
    assert table.say("c", "b", Prepare(6)) == [Promise(6)]


def test_nobody_claims_in_quarantine() -> None:
    """a's lock would be 3500: a claim before that could be its own second vote."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD, timings={"a": SLOW_JOB})
    for name in "abc":
        table.start(name)
    claim = table.until_said("a", "b", Prepare)
    assert 3500 <= claim.at < 3600


def test_a_claim_that_cannot_be_remembered_is_not_spoken() -> None:
    """a's disk fails. Not one PREPARE leaves: its term could be forgotten, and spoken twice."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    table.seats["a"].disk_fails = True
    table.run_to(5000)
    assert table.said("a", Prepare) == []
    table.seats["a"].disk_fails = False
    table.until_said("a", "b", Prepare)


def test_who_cannot_remember_does_not_vote() -> None:
    """b has no place to write to, and knows it: neither promise nor acknowledgement."""
    for writable in (False, True):
        table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
        table.start("a")
        table.start("b", memory=Memory(writable=writable))
        table.seats["b"].disk_fails = not writable
        table.start("c")
        table.run_to(1100)
        # What it tries at the first time fails, and so it knows until it tries again.
        table.say("c", "b", beat(5))
        assert bool(table.said("b", Ack)) is writable
        table.say("c", "b", replace(beat(5), seq=2))
        assert bool(table.said("b", Ack)) is writable


def test_what_was_not_written_is_tried_again_before_it_is_spoken() -> None:
    """b's disk fails, so b acknowledges nothing. Ten seconds later it may try again, and hears the
    same term: the disk fails as before, and b must not take the term for written."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.start("b")
    table.start("c")
    table.run_to(1100)
    table.seats["b"].disk_fails = True
    for seq in (1, 2, 3):
        assert table.say("c", "b", replace(beat(5), seq=seq)) == []
        table.run_for(10_100)
    table.seats["b"].disk_fails = False
    assert table.say("c", "b", replace(beat(5), seq=4)) == [Ack(5, 4, 1)]
    assert table.seats["b"].memory.floor == 5


def test_without_a_floor_terms_begin_above_the_wall_clock() -> None:
    """a's disk is new and remembers no term; its clock is what keeps it from reusing one."""
    for memory, term in ((Memory(), 90_000), (Memory(floor=7), 8)):
        table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
        table.seats["a"].wall_ms = 90_000
        table.start("a", memory=memory)
        table.start("b")
        assert table.until_said("a", "b", Prepare).message == Prepare(term)


# -- who is counted


def twins() -> Table:
    """a, b, c, and another node that goes by the name b, which nobody has met; five voters, so
    three are needed. That b and its twin both live is not known before b is heard again."""
    names = "a b twin c"
    table = Table(
        names,
        quorum=True,
        voters="a b c d e",
        aliases={"twin": "b"},
        priorities={"b": 0, "twin": 0, "c": 0},
    )
    table.cut_road("a-twin", "b-twin", "c-twin")
    for name in names.split():
        table.start(name)
    table.open_road("a-b")
    return table


def meet_twin(table: Table) -> None:
    """b is heard no more, and its twin is met."""
    table.cut_road("a-b")
    table.open_road("a-twin")
    table.carrier("twin", up=True, moved=True)
    table.run_for(10)


def test_a_voters_name_has_a_token_once() -> None:
    """a leads with b and c, and has to raise its term. b and its twin have the new one on disk:
    with a they are two of five voters. When c has it too, it is published."""
    table = twins()
    table.open_road("a-c")
    table.until_leads("a")
    table.run_for(300)
    table.close_road("a-b", "a-c")
    term = table.view("a").term
    table.say("c", "a", Nack(term, term + 50, contended=False))
    raised = table.view("a").term
    assert raised > term
    table.deliver(table.last("a", "b", Heartbeat))
    table.deliver(table.last("b", "a", Ack))
    meet_twin(table)
    table.until_said("twin", "a", Ack)
    table.run_for(2)
    assert table.view("a").token == term
    table.deliver(table.last("a", "c", Heartbeat))
    table.deliver(table.last("c", "a", Ack))
    assert table.view("a").token == raised


def test_a_stray_node_never_leads() -> None:
    """d is not in the list: it does not claim, though b would promise it."""
    table = Table("d b", quorum=True, voters="a b c", priorities={"b": 0})
    table.open_road("d-b")
    table.start("d")
    table.start("b")
    table.run_to(6000)
    assert table.said("d", Prepare) == []
    assert table.most_leaders == 0


def test_half_of_the_voters_is_no_majority() -> None:
    """a and b of four: the other two could do the same."""
    table = Table("a b", quorum=True, voters="a b c d", priorities={"b": 0})
    table.open_road("a-b")
    table.start("a")
    table.start("b")
    table.run_to(6000)
    assert table.said("b", Promise)
    assert table.most_leaders == 0


def test_a_lease_is_as_old_as_the_majority_s_support() -> None:
    """a leads with b and c, and then hears no one: its own support does not carry it on."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.close_road(*ALL)
    deadline = table.view("a").deadline
    table.run_for(400)
    assert table.view("a").deadline == deadline
    table.run_for(500)
    assert table.leaders() == []


# -- the lease and its end


def test_a_lease_that_has_run_out_is_not_renewed() -> None:
    """a's process stands still for longer than its lease. Whatever it does first when it goes on,
    it is no leader any more: nothing that is heard or sent then makes it one again."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    table.seats["a"].late_by = 60_000 * MS
    table.run_for(850)
    assert table.roles("a") == [Role.LEADER]
    table.seats["a"].late_by = 0
    table.run_for(5)
    assert table.roles("a") == [Role.LEADER, Role.FOLLOWER]


def test_support_that_comes_too_late_carries_nobody_on() -> None:
    """a leads, and its process stands still. Acknowledgements of a later heartbeat lie in its
    socket; they would carry the lease on, had they been read before it ended. Read after that,
    they find a follower: the guardian has ended the job meanwhile."""
    for waited, leads in ((790, True), (810, False)):
        table = three(quorum=True, priorities=NEVER_LEAD)
        table.until_said("a", "b", Heartbeat)
        table.run_for(2)  # acknowledged, but what b and c say from now on lies on the table
        deadline = table.view("a").deadline
        assert deadline is not None
        table.close_road("b>a", "c>a")
        table.until_said("b", "a", Ack)
        table.run_for(1)
        table.seats["a"].late_by = 60_000 * MS
        table.run_for((deadline - table.now) / MS - 800 + waited)
        table.deliver(table.last("b", "a", Ack))
        assert table.leads("a") is leads
        assert (table.roles("a")[-1] is Role.LEADER) is leads


def test_late_support_makes_no_leader_of_one_in_doubt() -> None:
    """The first acknowledgement lies in a's socket until the lease that it would give is over. Who
    is late for the first time gives the claim up itself; a has been late before, and goes on: yet
    at 800 ms after the sending it must not begin to lead."""
    for waited, leads in ((799, True), (800, False), (2000, False)):
        table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
        for name in "abc":
            table.start(name)
        table.seats["a"].late_by = 400 * MS
        table.run_to(900)
        table.seats["a"].late_by = 0
        claim = table.until_said("a", "b", Prepare)
        table.seats["a"].late_by = 60_000 * MS
        table.deliver(claim)
        table.deliver(table.last("b", "a", Promise))
        table.deliver(table.last("a", "b", Heartbeat))
        ack = table.last("b", "a", Ack)
        table.run_for(waited)
        table.deliver(ack)
        assert (Role.LEADER in table.roles("a")) is leads, f"after {waited} ms"
        assert bool(table.seats["a"].tokens) is leads


def test_a_claim_without_a_majority_ends() -> None:
    """Nobody answers a: it is a candidate as long as that lasts, and never a leader."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    table.start("a")
    table.start("b")
    table.run_to(5000)
    assert len(table.said("a", Prepare)) > 2
    assert table.said("a", Heartbeat) == []
    assert table.roles("a") == []


def test_the_end_of_an_earlier_job_settles_nothing_newer() -> None:
    """a steps down for the second time, and its job takes its time. That the job of its first
    tenure has ended is told late: a says nothing before its second has."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    seat = table.seats["a"]
    table.step_down("a")
    first = seat.changes[-1].change
    table.until_leads("a")
    table.run_for(300)
    seat.keeps_job = True
    said = len(table.said("a", Release))
    table.step_down("a")
    seat.hear(Settled(first))
    table.run_for(500)
    assert len(table.said("a", Release)) == said
    table.settle("a")
    assert len(table.said("a", Release)) > said


def test_a_will_goes_with_its_tenure() -> None:
    """a resigns. Its guardian has no will of it any more: said at a crash much later, it would
    tell that a has given up what it has given up long ago, and name an heir."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    assert table.seats["a"].will is not None
    assert table.seats["a"].will.recipients
    table.step_down("a", sit_out=60_000 * MS)
    table.run_for(100)
    assert table.seats["a"].will.recipients == ()


def test_a_will_stays_until_the_job_has_ended() -> None:
    """a lapses and its job takes its time. If the agent dies now, the guardian ends the job, and
    only the will tells the others so."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    seat = table.seats["a"]
    seat.keeps_job = True
    table.close_road(*ALL)
    table.run_for(2000)
    assert table.roles("a")[-1] is Role.FOLLOWER
    assert seat.will is not None
    assert len(seat.will.recipients) == 2
    table.settle("a")
    assert not seat.will.recipients


def test_a_leader_of_a_quorum_group_yields_to_nobody() -> None:
    """b says that it leads too, with more support and a proof of life, and challenges a. In a
    quorum group one of them errs, and the lease says who: to yield would be to say RELEASE while
    a's job runs."""
    table = three(quorum=True)
    nonce = 4711
    term = table.view("a").term
    assert table.say("b", "a", beat(term + 9, support=9)) == []
    assert table.say("b", "a", Challenge(nonce, beat(term + 10, support=9))) == []
    assert table.said("a", Challenge) == []
    assert table.said("a", Release) == []
    assert table.leaders() == ["a"]
    table.run_for(1000)
    assert table.roles("a") == [Role.LEADER]


def test_hearsay_is_no_lock_in_a_quorum_group() -> None:
    """b reports again and again that c leads, with a better rank and heartbeats that advance. a
    leads on; and when it is a candidate it goes on claiming, for it has heard no leader."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    for seq in (10, 11, 12):
        newest = table.last("a", "b", Heartbeat).message
        assert isinstance(newest, Heartbeat)
        table.say("b", "a", ghost_of(table, "c", echo=newest.seq, seq=seq))
    assert table.leaders() == ["a"]
    assert table.said("a", Release) == []
    table.close_road(*ALL)
    table.step_down("a")
    claim = table.until_said("a", "b", Prepare).message
    assert isinstance(claim, Prepare)
    released = len(table.said("a", Release))
    table.say("b", "a", ghost_of(table, "c", echo=claim.term, seq=13))
    assert table.view("a").lock_owner is None
    assert len(table.said("a", Release)) == released


def ghost_of(table: Table, name: str, *, echo: int, seq: int) -> Busy:
    """Return BUSY: somebody holds a lock on ``name``, of the best rank there is."""
    owner = table.seats[name].owner
    return Busy(echo, owner, None, 900, seq, 900 * MS, Rank(9, -1, 200, owner.id))
