"""One node of the exhaustive search: a real `Election`, taken apart into a value.

A node between two events is a `Cell`: its election, what its disk remembers, what its guardian
knows. What an event makes of a cell depends on nothing else, so each pair is computed once, by the
very code of ``followtheleader.core``, and remembered: the same few thousand pairs occur in millions
of states of the group.

Taken out is only what brings members together: whoever speaks is verified at once, its counters are
not looked at (so any message may come twice), and when it was heard last is not noted. The skew of
a claim is always 0: a search that may wake a node late at will needs no other. Of the messages
those travel that safety rests on; the rest hastens what would come anyway.
"""

from __future__ import annotations

import pickle
import random
from dataclasses import dataclass, replace
from typing import NamedTuple

from followtheleader.core.actions import (
    Action,
    ChangeRole,
    DepositWill,
    ExtendLease,
    Persist,
    PublishToken,
    Send,
)
from followtheleader.core.election import Election
from followtheleader.core.events import Received, Settled, StepDownRequested, Woken
from followtheleader.core.messages import (
    Ack,
    Header,
    Heartbeat,
    Message,
    Nack,
    Prepare,
    Promise,
    Release,
)
from followtheleader.core.node import Memory, Node
from followtheleader.core.peers import Peer
from followtheleader.core.replay import ReplayWindow
from followtheleader.core.timing import Timing
from followtheleader.core.types import (
    NO_NONCE,
    VERSIONS,
    Instant,
    NodeId,
    Owner,
    Role,
    Span,
    Term,
)
from prove.values import FAR, forget_what_is_only_told, never_claim_again, value_of

TRAVELS = (Prepare, Promise, Nack, Heartbeat, Ack, Release)
NEVER = -1
BEGINNING: Instant = 1000
"""No clock begins at 0, which means never in many places."""
SOMEWHERE = ("x", 1)


@dataclass(frozen=True, slots=True)
class Quick(Timing):
    """Times of a few units: without the floor that listening has in real ones."""

    @property
    def listening(self) -> Span:
        """S."""
        return self.patience


class Even(random.Random):
    """Draws the smallest number, always."""

    def randrange(self, start: int, stop: int | None = None, step: int = 1) -> int:
        """Return 0, or where the range begins."""
        return 0 if stop is None else start

    def getrandbits(self, k: int) -> int:
        """Return 1: a nonce that is none would be no nonce."""
        return 1

    def __reduce__(self) -> tuple[type[Even], tuple[()]]:
        return Even, ()


class AnyOrder(ReplayWindow):
    """Lets everything pass: no promise rests on the counters."""

    __slots__ = ()

    def accept(self, counter: int) -> bool:
        """Return that it may come in."""
        return True


class Known(Peer):
    """A member of whom it is not noted when it was heard."""

    __slots__ = ()

    def heard(self, source: tuple[str, int], priority: int, now: Instant) -> bool:
        """Return that nothing is new."""
        return False


class Seat(NamedTuple):
    """One node's part in a scope.

    ``rate``: by how many units its clock advances in a tick. ``claims``, ``crashes``,
    ``step_downs``: how often it may do so at most. ``voter``: its name among the voters, if that is
    not ``name``. ``floor``: the term that its disk remembers. ``waits``: it does not claim before
    this tick. ``forgets``: its disk is lost in a crash,
    and then nothing is promised of tokens.
    """

    name: str
    timing: Timing
    rate: int
    claims: int = 0
    crashes: int = 0
    step_downs: int = 0
    floor: Term = 0
    voter: str = ""
    waits: int = 0
    forgets: bool = False

    @property
    def known_as(self) -> str:
        """The name that it tells others."""
        return self.voter or self.name


class Cell(NamedTuple):
    """A node between two events, but for its election.

    ``job_end``: until when its job may run by the guardian's clock; 0: none runs. ``owed``: the
    change whose end the guardian will tell; `NEVER`: none. ``will``: the words (to whom, number)
    that the guardian says at its death. The last three: how often it may still do so.
    """

    memory: Memory
    incarnation: int
    job_end: Instant
    owed: int
    will: tuple[tuple[int, int], ...]
    claims: int
    crashes: int
    step_downs: int


class Word(NamedTuple):
    """A message on its way, as a value."""

    sender: Owner
    priority: int
    message: Message


class Outcome(NamedTuple):
    """What an event has made of a cell: its number, the words said (to which seat, number), the
    terms published as tokens. ``torn``: what was said before anything was on disk."""

    label: str
    cell: int
    said: tuple[tuple[int, int], ...]
    tokens: tuple[Term, ...] = ()
    torn: tuple[tuple[int, int], ...] = ()


class Cells:
    """All cells and words of a scope, by number, and what becomes of them."""

    def __init__(
        self, seats: tuple[Seat, ...], voters: tuple[str, ...], links: frozenset[tuple[int, int]]
    ) -> None:
        self._seats = seats
        self._voters = voters
        self._links = links | {(to, who) for who, to in links}
        self._cells: list[Cell] = []
        self._pickles: list[bytes] = []
        self._numbers: dict[object, int] = {}
        self._images: dict[tuple[Cell, bytes], int] = {}
        self._words: list[Word] = []
        self._word_numbers: dict[Word, int] = {}
        self._living: dict[int, Election] = {}
        self.due: list[Instant] = []
        """For each cell: when it wants to be woken."""
        self.leads_until: list[Instant] = []
        """For each cell: the end of its lease; 0: it does not lead."""

    def __len__(self) -> int:
        return len(self._cells)

    def cell(self, number: int) -> Cell:
        """Return a cell by its number."""
        return self._cells[number]

    def describe(self, number: int) -> str:
        """Say a word for people."""
        word = self._words[number]
        said = word.message
        term = "" if not isinstance(said, TRAVELS) else f"({said.term}"
        seq = f".{said.seq})" if isinstance(said, Heartbeat | Ack) else ")"
        who = f"{self._seats[word.sender.id - 1].name}{word.sender.incarnation}"
        return f"{type(said).__name__}{term}{seq} of {who}"

    # -- lives

    def first(self, seat: int) -> int:
        """Return a node that has just listened to the end, and may claim at once."""
        me = self._seats[seat]
        rested = Memory(floor=me.floor or None, clean_until=0)
        election = self._begin(seat, 1, rested, BEGINNING)
        election._c.agenda.elect_after(0)
        election._c.agenda.sit_out(me.waits * me.rate)
        memory = Memory(floor=me.floor or None)
        return self._keep(
            election, Cell(memory, 1, 0, NEVER, (), me.claims, me.crashes, me.step_downs)
        )

    def crash(self, seat: int, number: int, now: Instant) -> Outcome:
        """Its process dies, and its guardian ends the job and says the will; it begins anew.

        Its disk is all that the next life knows.
        """
        old = self._cells[number]
        memory = Memory(floor=None) if self._seats[seat].forgets else old.memory
        election = self._begin(seat, old.incarnation + 1, memory, now)
        election._c.agenda.listen()
        again = Cell(
            memory,
            *(old.incarnation + 1, 0, NEVER, ()),
            *(old.claims, old.crashes - 1, old.step_downs),
        )
        return Outcome("crashes", self._keep(election, again), old.will)

    def _begin(self, seat: int, incarnation: int, memory: Memory, now: Instant) -> Election:
        me = self._seats[seat]
        owner = Owner(seat + 1, incarnation)
        node = Node(owner, me.known_as, 1, me.timing, self._voters)
        election = Election(node, memory, Even(), now)
        for other in range(len(self._seats)):
            if other != seat:
                self._introduce(election, Owner(other + 1, 1))
        return election

    def _introduce(self, election: Election, owner: Owner) -> None:
        name = self._seats[owner.id - 1].known_as
        election._c.membership.peers[owner.id] = Known(
            owner=owner,
            name=name,
            priority=1,
            witness=False,
            versions=VERSIONS,
            version=VERSIONS[1],
            quorum=True,
            same_voters=True,
            same_timing=True,
            addresses=[SOMEWHERE],
            heard_at=0,
            verified_at=0,
            window=AnyOrder(),
        )

    # -- events

    def wake(self, number: int, now: Instant) -> Outcome | None:
        """Its timer fires. None: it would claim, and may not any more."""
        election = self._revive(number)
        actions = election.step(Woken(0), now)
        outcome = self._perform("is woken", election, self._cells[number], actions)
        return outcome if self._cells[outcome.cell].claims >= 0 else None

    def settle(self, number: int, now: Instant) -> Outcome:
        """The guardian says that its job and hooks have ended."""
        cell = self._cells[number]
        election = self._revive(number)
        actions = election.step(Settled(cell.owed), now)
        return self._perform(
            "hears that its job has ended",
            election,
            cell._replace(owed=NEVER, job_end=0),
            actions,
        )

    def step_down(self, number: int, now: Instant) -> Outcome:
        """An operator asks it to hand over."""
        cell = self._cells[number]
        election = self._revive(number)
        actions = election.step(StepDownRequested(0), now)
        asked = cell._replace(step_downs=cell.step_downs - 1)
        return self._perform("is asked to step down", election, asked, actions)

    def hear(self, number: int, now: Instant, what: int) -> Outcome | None:
        """A word arrives. None: it is of an earlier life, and not looked at."""
        word = self._words[what]
        election = self._revive(number)
        known = election._c.membership.peers[word.sender.id].owner
        if known.incarnation < word.sender.incarnation:
            self._introduce(election, word.sender)
        elif known != word.sender and not isinstance(word.message, Release):
            return None
        header = Header(word.sender, 0, election.node.owner.id, word.priority)
        actions = election.step(Received(header, word.message, SOMEWHERE), now)
        label = f"hears {self.describe(what)}"
        return self._perform(label, election, self._cells[number], actions)

    def _perform(
        self, label: str, election: Election, cell: Cell, actions: list[Action]
    ) -> Outcome:
        said: dict[tuple[int, int], None] = {}
        tokens: list[Term] = []
        claimed: set[Term] = set()
        torn: tuple[tuple[int, int], ...] | None = None
        for action in actions:
            match action:
                case Send() if isinstance(action.message, TRAVELS):
                    if isinstance(action.message, Prepare):
                        claimed.add(action.message.term)
                    said.update(dict.fromkeys(self._say(election, action.receiver, action.message)))
                case PublishToken():
                    tokens.append(action.token)
                case DepositWill():
                    heirs = (to for to, _, _ in action.recipients)
                    words = (self._say(election, to, action.release) for to in heirs)
                    cell = cell._replace(will=tuple(word for each in words for word in each))
                case _:
                    if isinstance(action, Persist) and torn is None:
                        torn = tuple(said)
                    cell = _noted(cell, action, election.node.timing.stop_timeout)
        cell = cell._replace(claims=cell.claims - len(claimed))
        number = self._keep(election, cell)
        return Outcome(label, number, tuple(said), tuple(tokens), torn or ())

    def _say(
        self, election: Election, receiver: NodeId, message: Message
    ) -> tuple[tuple[int, int], ...]:
        """Return the word as it goes to ``receiver``, if there is a link."""
        owner = election.node.owner
        if (owner.id - 1, receiver - 1) not in self._links:
            return ()
        return ((receiver - 1, self._number_of(Word(owner, 1, _bare(message)))),)

    def _number_of(self, word: Word) -> int:
        number = self._word_numbers.get(word)
        if number is None:
            number = self._word_numbers[word] = len(self._words)
            self._words.append(word)
        return number

    # -- what cannot matter any more

    def may_matter(self, number: int, what: int) -> bool:
        """May this word, under way to this cell, still change anything, now or later?

        A term is claimed once, so what answers another than the present one answers nothing. What
        the acceptor would do is not asked: a mutant may do otherwise.
        """
        proposer = self._election_of(number)._proposer
        claim, lease = proposer.claim, proposer.lease
        message = self._words[what].message
        match message:
            case Promise():
                return claim is not None and lease is None and claim.term == message.term
            case Ack():
                return lease is not None and lease.term == message.term
            case Nack():
                leads = proposer.leading and lease is not None and lease.term == message.term
                return leads or (claim is not None and claim.term == message.term)
            case _:
                return True

    def supersedes(self, newer: int, older: int) -> bool:
        """Is ``older`` not looked at again once its sender has said ``newer`` to the same node?

        Of the words of one term the newest of each kind stays under way; the claim, until it has
        led to a heartbeat or was given up.
        """
        new, old = self._words[newer], self._words[older]
        if new.sender != old.sender:
            return False
        match old.message, new.message:
            case (Prepare() as one, Heartbeat() as other) | (Prepare() as one, Release() as other):
                return one.term == other.term
            case Heartbeat() as one, Heartbeat() as other:
                return one.term == other.term and one.seq < other.seq
            case Ack() as one, Ack() as other:
                same = (one.term, one.incarnation) == (other.term, other.incarnation)
                return same and one.seq < other.seq
            case Release() as one, Release() as other:
                return one.term < other.term
            case _:
                return False

    # -- numbers

    def _revive(self, number: int) -> Election:
        election: Election = pickle.loads(self._pickles[number])
        return election

    def _election_of(self, number: int) -> Election:
        """Return the election of a cell, to look at."""
        known = self._living.get(number)
        if known is None:
            known = self._living[number] = self._revive(number)
        return known

    def _keep(self, election: Election, cell: Cell) -> int:
        forget_what_is_only_told(election)
        if cell.claims <= 0:
            never_claim_again(election)
        election._due = election._soonest()
        image = pickle.dumps(election, pickle.HIGHEST_PROTOCOL)
        number = self._images.get((cell, image))
        if number is None:
            # Equal elections may have different pickles, as they share more or less.
            key = (cell, value_of(election))
            number = self._numbers.setdefault(key, len(self._cells))
            self._images[cell, image] = number
        if number == len(self._cells):
            proposer, deadline = election._proposer, election.next_deadline()
            self._cells.append(cell)
            self._pickles.append(image)
            self.due.append(FAR if deadline is None else deadline)
            self.leads_until.append(proposer.held.deadline if proposer.leading else 0)
        return number


def _noted(cell: Cell, action: Action, stop_timeout: Span) -> Cell:
    """Return what disk and guardian know after ``action``."""
    match action:
        case Persist():
            return cell._replace(memory=Memory(action.floor, action.max_lock))
        case ChangeRole() if action.role is Role.LEADER:
            return cell._replace(job_end=action.deadline + stop_timeout)
        case ChangeRole() if action.role is Role.FOLLOWER:
            return cell._replace(owed=action.change)
        case ExtendLease() if cell.job_end:
            return cell._replace(job_end=action.deadline + stop_timeout)
        case _:
            return cell


def _bare(message: Message) -> Message:
    """Return it without the hints that only hasten things."""
    match message:
        case Release():
            return Release(message.term)
        case Heartbeat():
            return replace(message, support=0, echo=NO_NONCE)
        case _:
            return message
