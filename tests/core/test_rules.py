"""One story for each rule of acceptors, leaders and members that no other test would miss.

Most of these rules are a single condition. Each test plays the schedule in which that condition
decides, and what it must not forbid as well. Times are milliseconds; unless a test says otherwise
H = 250, A = 1000, T = 800, L = 1000, R = 200.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from followtheleader.core.acceptor import Acceptor, Answer, Lock, Pledge
from followtheleader.core.actions import Persist, Restart, Send
from followtheleader.core.events import AddressFound
from followtheleader.core.messages import (
    Ack,
    Busy,
    Heartbeat,
    Hello,
    Message,
    Nack,
    Prepare,
    Promise,
    Release,
)
from followtheleader.core.node import Memory
from followtheleader.core.timing import Timing
from followtheleader.core.types import MAX_TERM, MS, NO_NONCE, Owner, Rank, Reason, Role, Term
from sim.table import Table, three

ALL = ("a-b", "a-c", "b-c")
NEVER_LEAD = {"b": 0, "c": 0}
SLOW_JOB = Timing(250 * MS, 3, 2000 * MS)
"""B = 2000, so L = 3500."""
EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


def kinds(messages: list[Message]) -> list[type]:
    """Return what kinds of message these are."""
    return [type(message) for message in messages]


# -- the acceptor


@EITHER_KIND
def test_who_is_told_busy_is_promised_nothing(quorum: bool) -> None:
    """d, of high priority, asks c for its vote while c is locked on a, and is told so. A moment
    later a resigns. b asks: c is bound to nobody, so b has its promise at once."""
    table = Table("a b c d", quorum=quorum, priorities={"d": 200})
    table.open_road("a-c", "a-b")
    table.start("a")
    for name in "bcd":
        table.start(name)
        table.step_down(name, sit_out=60_000 * MS)
    table.until_leads("a")
    table.run_for(300)
    table.close_road("a-c", "a-b")
    term = table.view("a").term
    assert kinds(table.say("d", "c", Prepare(term + 1))) == [Busy]
    table.step_down("a")
    table.deliver(table.last("a", "c", Release))
    assert table.say("b", "c", Prepare(term + 2)) == [Promise(term + 2)]


@EITHER_KIND
def test_a_claim_that_was_given_up_is_not_promised(quorum: bool) -> None:
    """a's claim fails, and its RELEASE overtakes the PREPARE that it takes back. b promises
    nothing, and is free to promise c, whom it would hold back otherwise."""
    table = Table("a b c", quorum=quorum, priorities={"a": 200, "b": 0, "c": 100})
    table.start("b")
    table.start("c")
    table.step_down("c", sit_out=60_000 * MS)
    table.start("a")
    claim = table.until_said("a", "b", Prepare)
    assert isinstance(claim.message, Prepare)
    table.stop("a")
    assert table.deliver(table.last("a", "b", Release)) == []
    assert table.deliver(claim) == []
    other = Prepare(claim.message.term + 1)
    assert table.say("c", "b", other) == [Promise(other.term)]


@EITHER_KIND
def test_a_heartbeat_that_was_given_up_locks_nobody(quorum: bool) -> None:
    """The acceptor by itself: after the word "no longer", neither a heartbeat nor a claim of that
    term or a lower one counts, those of a higher one and of the next life do."""
    me, a = Owner(1, 1), Owner(2, 1)

    def beat(owner: Owner, term: Term) -> Answer:
        acceptor = Acceptor(me, quorum=quorum, max_term=0)
        acceptor.release(a, 7)
        lock = Lock(owner, term, 1, 1000, Rank(0, -term, 100, owner.id), 1000)
        return acceptor.on_heartbeat(lock, established=True, now=0)

    def claim(owner: Owner, term: Term) -> Answer:
        acceptor = Acceptor(me, quorum=quorum, max_term=0)
        acceptor.release(a, 7)
        return acceptor.on_prepare(Pledge(owner, term, 200, 100), 0)

    for ask in (beat, claim):
        assert ask(a, 6) is Answer.DROP
        assert ask(a, 7) is Answer.DROP
        assert ask(a, 8) is Answer.YES
        assert ask(a._replace(incarnation=2), 7) is Answer.YES


def test_nobody_yields_to_a_leader_that_has_given_up() -> None:
    """a and b lead behind a cut. a, of the higher rank, resigns, and its last heartbeat, with the
    proof that b asked for, comes after its RELEASE: b goes on leading."""
    table = Table("a b", priorities={"a": 200})
    table.start("a")
    table.start("b")
    table.until_leads("a")
    table.until_leads("b")
    beat = table.until_said("a", "b", Heartbeat)
    challenge = table.deliver(beat)[0]
    table.deliver(table.last("b", "a", type(challenge)))
    proof = table.last("a", "b", Heartbeat)
    assert isinstance(proof.message, Heartbeat)
    assert proof.message.echo != NO_NONCE
    table.step_down("a", sit_out=60_000 * MS)
    table.deliver(table.last("a", "b", Release))
    table.deliver(proof)
    assert table.leaders() == ["b"]
    assert table.roles("b") == [Role.LEADER]


def test_a_first_heartbeat_needs_the_promise() -> None:
    """b promised a, and then c, who ranks higher. a has b's promise and sends its first heartbeat:
    b keeps its word to c. A heartbeat of a leader that is established is another matter."""
    table = Table("a b c", quorum=True, priorities={"b": 0, "c": 200})
    for name in "abc":
        table.start(name)
    table.deliver(table.until_said("a", "b", Prepare))
    term = table.view("a").max_term
    assert kinds(table.say("c", "b", Prepare(term + 50))) == [Promise]
    table.deliver(table.last("b", "a", Promise))
    beat = table.last("a", "b", Heartbeat)
    assert isinstance(beat.message, Heartbeat)
    assert not beat.message.established
    answers = table.deliver(beat)
    assert kinds(answers) == [Nack]
    assert isinstance(answers[0], Nack)
    assert answers[0].contended
    assert table.view("b").lock_owner is None
    leads = replace(beat.message, established=True)
    assert kinds(table.say("a", "b", leads)) == [Ack]
    assert table.view("b").lock_owner == table.seats["a"].owner


# -- hearsay that is old


def ghost_of(table: Table, name: str, *, echo: int, seq: int) -> Busy:
    """Return BUSY: somebody holds a lock on ``name``, of the best rank there is."""
    owner = table.seats[name].owner
    rank = Rank(9, -1, 200, owner.id)
    return Busy(echo, owner, table.seats[name].address, 1, seq, 900 * MS, rank)


def test_a_candidate_believes_the_answer_to_its_own_claim_only() -> None:
    """c answers an earlier claim of a: BUSY, but that was then. a goes on with its claim, and
    leads. The answer to this claim makes it a follower."""
    for stale in (True, False):
        table = Table("a b c", priorities=NEVER_LEAD)
        for name in "abc":
            table.start(name)
        claim = table.until_said("a", "c", Prepare).message
        assert isinstance(claim, Prepare)
        table.say("c", "a", ghost_of(table, "b", echo=claim.term - stale, seq=5))
        if stale:
            assert table.said("a", Release) == []
            table.run_for(150)
            assert table.leaders() == ["a"]
        else:
            leader = table.view("a").leader
            assert leader is not None
            assert leader.name == "b"


def test_a_leader_believes_answers_to_what_it_said_of_late() -> None:
    """c reports twice that b leads, with a better rank, and that b's heartbeats advance. But it
    answers heartbeats that a did not send in this tenure, or longer than A ago (delayed by seconds,
    the words of one who now follows a): a goes on leading. Two reports that answer real ones unseat
    it."""
    table = Table("a b c", priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    table.run_for(1600)
    old = next(f for f in table.flights if f.is_a(Heartbeat, "a", "c") and table.ms - f.at > 1000)
    assert isinstance(old.message, Heartbeat)
    for seq, echo in ((10, 4711), (11, 4711), (12, 4711), (13, old.message.seq)):
        table.say("c", "a", ghost_of(table, "b", echo=echo, seq=seq))
    assert table.leaders() == ["a"]
    newest = table.last("a", "c", Heartbeat).message
    assert isinstance(newest, Heartbeat)
    table.say("c", "a", ghost_of(table, "b", echo=newest.seq, seq=14))
    assert table.leaders() == ["a"], "one report proves nothing"
    table.say("c", "a", ghost_of(table, "b", echo=newest.seq, seq=15))
    assert table.roles("a") == [Role.LEADER, Role.FOLLOWER]


# -- leading


def test_support_that_comes_too_late_makes_no_leader() -> None:
    """a's process stands still after its first heartbeat. b's acknowledgement lies in the socket
    and is read before the clock is looked at, as it has to be: at 799 ms after the sending it makes
    a the leader, at 800 ms it must not, because then b may be about to believe in somebody else."""
    for waited, leads in ((799, True), (800, False), (2000, False)):
        table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
        for name in "abc":
            table.start(name)
        claim = table.until_said("a", "b", Prepare)
        table.seats["a"].late_by = 60_000 * MS
        table.deliver(claim)
        table.deliver(table.last("b", "a", Promise))
        table.deliver(table.last("a", "b", Heartbeat))
        ack = table.last("b", "a", Ack)
        assert table.ms == claim.at, "all of this took no time"
        table.run_for(waited)
        table.deliver(ack)
        assert (Role.LEADER in table.roles("a")) is leads, f"after {waited} ms"
        assert table.leads("a") is leads
        assert bool(table.seats["a"].tokens) is leads


def test_a_leader_that_cannot_remember_stops_at_once() -> None:
    """c has seen a higher term, so a raises its own; but its disk fails. The new term is never
    spoken, a acts no more in that very instant, and frees nobody before its job has ended."""
    table = three(quorum=True, priorities=NEVER_LEAD)
    seat = table.seats["a"]
    seat.keeps_job = True
    seat.disk_fails = True
    term = table.view("a").term
    spoken = len(table.flights)
    table.say("c", "a", Nack(term, term + 50, contended=False))
    assert table.leaders() == []
    assert not table.view("a").valid_leader
    assert seat.changes[-1].role is Role.FOLLOWER
    assert seat.changes[-1].reason is Reason.UNWRITABLE
    assert [f for f in table.flights[spoken:] if f.source == "a"] == []
    table.run_for(3000)
    assert table.said("a", Release) == []
    assert highest_term(table, "a") == term
    assert table.view("a").lock_owner == seat.owner, "its own vote is not free either"
    table.settle("a")
    assert kinds(table.said("a", Release)) == [Release, Release], "to b and to c"


def highest_term(table: Table, name: str) -> Term:
    """Return the highest term that ``name`` ever spoke."""
    terms = [getattr(f.message, "term", 0) for f in table.flights if f.source == name]
    return max(terms, default=0)


def test_terms_end_before_their_last_number() -> None:
    """A damaged member names terms next to the largest that there is, over and over. The leader
    follows as far as there are numbers, in both kinds of group, and never says one that nobody
    would accept."""
    for quorum in (False, True):
        table = three(quorum=quorum, priorities=NEVER_LEAD)
        for below in (4, 3, 2, 1, 0):
            term = table.view("a").term
            table.say("c", "a", Nack(term, MAX_TERM - below, contended=False))
            table.run_for(300)
        assert MAX_TERM - 5 < highest_term(table, "a") < MAX_TERM
        assert table.seats["a"].memory.floor is not None
        assert table.seats["a"].memory.floor < MAX_TERM


def test_a_defeated_leaders_term_may_be_the_last() -> None:
    """Two leaders meet in an open group, and the one of the lower rank has the last term there is:
    the winner cannot go above it, and does not try."""
    table = Table("a b", priorities={"a": 200})
    table.start("a")
    table.start("b")
    table.until_leads("a")
    table.until_leads("b")
    beat = table.until_said("b", "a", Heartbeat)
    assert isinstance(beat.message, Heartbeat)
    table.deliver(beat)
    last = replace(beat.message, term=MAX_TERM - 1, tenure=MAX_TERM - 1)
    challenge = [f.message for f in table.flights if f.source == "a"][-1]
    nonce = getattr(challenge, "nonce", NO_NONCE)
    assert nonce != NO_NONCE
    table.say("b", "a", replace(last, echo=nonce))
    table.run_for(600)
    assert table.leads("a")
    assert highest_term(table, "a") < MAX_TERM


def test_a_candidate_does_not_believe_in_impossible_terms() -> None:
    """The same member answers a's claim: a goes on claiming under terms of its own."""
    table = Table("a b c", quorum=True, priorities=NEVER_LEAD)
    for name in "abc":
        table.start(name)
    claim = table.until_said("a", "c", Prepare).message
    assert isinstance(claim, Prepare)
    table.say("c", "a", Nack(claim.term, MAX_TERM - 1, contended=False))
    table.until_said("a", "c", Release)
    again = table.until_said("a", "c", Prepare).message
    assert isinstance(again, Prepare)
    assert again.term == claim.term + 1


def test_a_leader_remembers_the_lock_on_itself() -> None:
    """a's own vote counts, so a is a voter that grants itself 3500 ms. That is on its disk before
    its first heartbeat: its next life, configured for quick jobs, is silent for as long, or it
    would help to elect b while its earlier job still may run."""
    table = Table("a b c", quorum=True, timings={"a": SLOW_JOB}, priorities=NEVER_LEAD)
    table.open_road("a-b")
    for name in "abc":
        table.start(name)
    table.until_leads("a")
    orders = table.seats["a"].orders
    first = next(
        i for i, o in enumerate(orders) if isinstance(o, Send) and isinstance(o.message, Heartbeat)
    )
    written = [o.max_lock for o in orders[:first] if isinstance(o, Persist)]
    assert written[-1:] == [3500 * MS]
    table.crash("a")
    table.seats["a"].timing = Timing(250 * MS, 3, 0)
    table.start("a", incarnation=2)
    table.run_for(3499)
    assert table.view("a").quarantined
    table.run_for(2)
    assert not table.view("a").quarantined


def test_who_is_asked_to_leave_waits_for_the_end_of_its_job() -> None:
    """a has yielded to b, and its job is still ending: a program that heard `Stopped` would leave,
    and take the handler along that ends it."""
    table = Table("a b")
    table.cut_road("a-b")
    for name in "ab":
        table.start(name)
    table.until_leads("a")
    table.until_leads("b")
    seats = table.seats
    seats["a"].keeps_job = seats["b"].keeps_job = True
    table.open_road("a-b")
    for one, other in ("ab", "ba"):
        seats[one].hear(AddressFound(seats[other].address))
    table.run_for(3000)
    (winner,) = table.leaders()
    loser = "b" if winner == "a" else "a"
    table.stop(loser)
    table.run_for(3000)
    assert seats[loser].stopped is None
    table.settle(loser)
    assert seats[loser].stopped is not None


# -- who is who


def test_an_earlier_life_is_heard_when_the_later_one_is_silent() -> None:
    """a's clock was set back: its new life has a lower number than the one that b knows. While b
    heard the later one within A, this may be an old datagram's sender, or a clone: refused. After
    that it is a itself, and is taken in."""
    table = Table("a b", priorities={"a": 0, "b": 0})
    table.start("a", incarnation=5000)
    table.start("b")
    table.run_to(300)
    (member,) = table.view("b").members
    assert member.owner.incarnation == 5000
    assert member.heard_at is not None
    table.crash("a")
    table.start("a", incarnation=3000)
    before = len(table.said("a", Hello))
    while table.now - member.heard_at <= 1000 * MS:
        assert table.view("b").members[0].owner.incarnation == 5000
        table.run_for(10)
    answers = table.said("a", Hello)[before:]
    assert any(isinstance(m, Hello) and m.echo for m in answers), "it did answer b's nonce"
    table.run_for(22_000)  # until they greet each other again
    assert table.view("b").members[0].owner.incarnation == 3000


@pytest.mark.parametrize(
    ("a_votes", "b_votes"),
    [("a b c", "a b x"), ("a b c", ""), ("", "a b c")],
    ids=["another list", "open meets quorum", "quorum meets open"],
)
def test_members_of_another_group_are_nobody(a_votes: str, b_votes: str) -> None:
    """b has other `voters` than a: two lists have disjoint majorities. a neither promises nor
    acknowledges what b says, and does not count what b answers."""
    table = Table("a b", priorities={"b": 0})
    table.seats["a"].voters = tuple(a_votes.split())
    table.seats["b"].voters = tuple(b_votes.split())
    table.start("a")
    table.start("b")
    table.run_to(300 if not a_votes else 1200)
    assert [m.name for m in table.view("a").members] == ["b"]
    assert table.say("b", "a", Prepare(90)) == []
    assert table.say("b", "a", Heartbeat(91, 1, 91, 0, True, 250 * MS, 800 * MS, 0)) == []
    assert table.view("a").lock_owner is None
    assert table.view("a").max_term < 90
    claimed = table.until_said("a", "b", Prepare)
    assert isinstance(claimed.message, Prepare)
    table.say("b", "a", Promise(claimed.message.term))
    table.run_for(0)
    if a_votes:
        table.run_for(150)
        assert table.said("a", Heartbeat) == [], "a promise short of a majority"
        assert table.leaders() == []
    else:
        assert table.leaders() == ["a"], "nor does anybody wait for b's promise"


def test_what_is_said_of_later_lives_must_be_an_answer() -> None:
    """Anybody can say that a later life of a was seen. a begins anew only if that comes as the
    answer to its own question, and never above a number that no clock will show."""
    for echoed, seen, restarts in (
        (False, 90_000, False),
        (True, 2**54, False),
        (True, 2**61, False),
        (True, 2**54 - 1, True),
    ):
        table = Table("a b", priorities={"b": 0})
        table.start("a")
        table.start("b")
        table.run_to(200)
        asked = next(
            f.message for f in table.flights if f.source == "a" and isinstance(f.message, Hello)
        )
        told = table.last("b", "a", Hello).message
        assert isinstance(told, Hello)
        assert asked.nonce != NO_NONCE
        for echo in (asked.nonce,) if echoed else (NO_NONCE, asked.nonce ^ 1):
            table.say("b", "a", replace(told, nonce=NO_NONCE, echo=echo, seen=seen))
        ordered = [o.incarnation for o in table.seats["a"].orders if isinstance(o, Restart)]
        assert ordered == ([seen] if restarts else [])


def test_a_clean_stop_in_quarantine_keeps_the_quarantine() -> None:
    """b made a lead and crashes. Its next life is stopped properly while it is still silent, and
    has granted nothing itself: yet its stamp tells the third one to be silent to the same instant,
    or b would make c lead beside a."""
    table = Table("a b c", quorum=True, priorities={"b": 0})
    for name in "abc":
        table.start(name)
    table.step_down("c", sit_out=1100 * MS)
    table.open_road("a-b")
    table.until_leads("a")
    table.run_for(10)
    table.close_road("a-b")
    table.crash("b")
    table.start("b", incarnation=2)
    silent_until = table.now + 1000 * MS
    table.run_for(50)
    table.stop("b")
    stopped = table.seats["b"].stopped
    assert stopped is not None
    assert stopped.lock_until == silent_until
    remembered = table.seats["b"].memory
    table.start(
        "b",
        incarnation=3,
        memory=Memory(remembered.floor, remembered.max_lock, stopped.lock_until),
    )
    table.open_road("b-c")
    while table.now < silent_until:
        assert not table.leads("c")
        assert table.said("b", Promise) == table.said("b", Promise)[:1], "of its first life"
        table.run_for(10)
    assert table.said("c", Prepare), "c did ask"
    table.until_leads("c")
    assert table.most_leaders == 1
