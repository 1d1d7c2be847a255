"""A table for directed schedules: time and every datagram are moved by hand.

Greetings (HELLO) always arrive after 1 ms, so that members know each other. Any other message lies
on the table until a test delivers it, or travels by itself where a road is open. What is never
delivered is lost. All clocks are exact; times are in milliseconds of true time = BOOTTIME.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from followtheleader.core.election import Election
from followtheleader.core.events import (
    AddressFound,
    HandoverRequested,
    LinkChanged,
    PauseRequested,
    Received,
    Retuned,
    SearchBegun,
    Settled,
    Started,
    StepDownRequested,
    StopRequested,
    Woken,
)
from followtheleader.core.messages import Header, Hello, Message, Release
from followtheleader.core.node import Memory, Node
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Address, Instant, Owner, Role, Span
from followtheleader.core.view import View
from sim.driver import LAST_COUNTER
from sim.seat import Life, Seat

DEFAULT = Timing(250 * MS, 3, 0)
PATIENCE_MS = 20_000


class Missing(AssertionError):
    """What a schedule waits for, or takes up, has not come to pass."""


@dataclass(frozen=True, slots=True)
class Flight:
    """One datagram on the table: said by ``source`` at ``at`` (ms), to ``target``."""

    source: str
    target: str
    header: Header
    message: Message
    at: float

    def is_a(self, kind: type, source: str, target: str) -> bool:
        """Is it a ``kind`` of message on this way?"""
        return self.source == source and self.target == target and isinstance(self.message, kind)


class Table:
    """Nodes ``names`` of a quorum group or an open one.

    ``voters``: other voters than these names; ``aliases``: the names that nodes go by.
    """

    def __init__(
        self,
        names: str,
        *,
        quorum: bool = False,
        priorities: dict[str, int] | None = None,
        timings: dict[str, Timing] | None = None,
        aliases: dict[str, str] | None = None,
        voters: str = "",
        seed: int = 1,
    ) -> None:
        self.now: Instant = 1_000 * MS
        self._zero = self.now
        self._seed = seed
        self.voters = tuple((voters or names).split()) if quorum else ()
        self.flights: list[Flight] = []
        self.most_leaders = 0
        self._roads: dict[tuple[str, str], tuple[type, ...]] = {}
        self._cut: dict[tuple[str, str], None] = {}
        self._travelling: list[tuple[Instant, int, Flight]] = []
        self._made = 0
        self.seats: dict[str, Seat] = {}
        for i, name in enumerate(names.split()):
            self.seats[name] = Seat(
                name,
                (f"10.0.0.{i + 1}", 9001),
                (priorities or {}).get(name, 100),
                (timings or {}).get(name, DEFAULT),
                (aliases or {}).get(name, name),
                id=i + 1,
            )

    # -- lives

    def start(
        self,
        name: str,
        *,
        incarnation: int = 1,
        memory: Memory | None = None,
        job_running: bool = False,
        remembers: bool = False,
        preempt_delay: Span | None = None,
        start_patience: Span = 0,
        searches: bool = False,
    ) -> None:
        """Start a node; it knows all addresses. ``memory`` None: what its disk remembers.

        ``searches``: it knows none, and asks for them by `search`.
        """
        seat = self.seats[name]
        seat.stopped = None
        seat.memory = seat.memory if memory is None else memory
        voters = self.voters if seat.voters is None else seat.voters
        owner = Owner(seat.id, incarnation)
        node = Node(
            owner,
            seat.voter_name,
            seat.priority,
            seat.timing,
            voters,
            preempt_delay=preempt_delay,
            start_patience=start_patience,
            versions=seat.versions,
        )
        rng = random.Random(f"{self._seed}/{name}/{incarnation}")
        election = Election(node, seat.memory, rng, self.now, job_running)
        seat.last_life = life = Life(self, seat, node, election)
        if not searches:
            self.find(name)
        life.step(Started(remembers=remembers, searches=searches))

    def search(self, name: str) -> None:
        """Its mDNS asks who is there."""
        self.seats[name].hear(SearchBegun())

    def find(self, name: str) -> None:
        """It learns all addresses."""
        seat = self.seats[name]
        for other in self.seats.values():
            if other is not seat:
                seat.hear(AddressFound(other.address))

    def crash(self, name: str) -> None:
        """The node is gone; its disk stays."""
        self.seats[name].life.alive = False

    def stop(self, name: str) -> None:
        """Ask the node to leave."""
        self.seats[name].hear(StopRequested())

    def step_down(self, name: str, sit_out: Span = 0) -> None:
        """Ask the node to hand over."""
        self.seats[name].hear(StepDownRequested(sit_out))

    def retune(
        self,
        name: str,
        priority: int,
        *,
        preempt_delay: Span | None = None,
        start_patience: Span = 0,
    ) -> None:
        """The operator reloads its configuration."""
        self.seats[name].hear(Retuned(priority, preempt_delay, start_patience))

    def switch_over(self, name: str, to: str | None = None) -> None:
        """Ask ``name`` to have the leadership moved."""
        self.seats[name].hear(HandoverRequested(self.seats[to].id if to else 0))

    def pause(self, name: str, ms: float) -> None:
        """Ask ``name`` to pause the group for ``ms``."""
        self.seats[name].hear(PauseRequested(int(ms * MS)))

    def resume(self, name: str) -> None:
        """Ask ``name`` to end the pause."""
        self.seats[name].hear(PauseRequested(0))

    def carrier(self, name: str, *, up: bool, moved: bool = False) -> None:
        """Its interfaces have lost their carrier, or have it back; ``moved``: other addresses."""
        self.seats[name].hear(LinkChanged(up, moved))

    def settle(self, name: str) -> None:
        """The guardian says that the newest change's job and hooks have ended."""
        seat = self.seats[name]
        seat.hear(Settled(seat.changes[-1].change if seat.changes else 0))

    def die_with_will(self, name: str) -> Release:
        """The agent is gone; its guardian says the deposited will, which is returned."""
        seat = self.seats[name]
        self.crash(name)
        if seat.will is None:
            raise Missing(f"{name} has no will")
        for receiver, address, version in seat.will.recipients:
            header = Header(seat.owner, LAST_COUNTER, receiver, seat.priority, version)
            self.put(seat, address, header, seat.will.release)
        return seat.will.release

    # -- roads

    def open_road(self, *roads: str, kinds: tuple[type, ...] = ()) -> None:
        """Let messages travel: ``"a>b"`` one way, ``"a-b"`` both, ``kinds`` only (empty: all)."""
        for pair in _pairs(roads):
            self._roads[pair] = kinds
            self._cut.pop(pair, None)

    def close_road(self, *roads: str) -> None:
        """From now on what is said there lies on the table."""
        for pair in _pairs(roads):
            self._roads.pop(pair, None)

    def cut_road(self, *roads: str) -> None:
        """As `close_road`, and greetings are lost there too, until the road is opened again."""
        self.close_road(*roads)
        for pair in _pairs(roads):
            self._cut[pair] = None

    def deliver(self, flight: Flight) -> list[Message]:
        """Deliver it now, once more if it was before; return what was said in answer."""
        before = len(self.flights)
        seat = self.seats[flight.target]
        source = self.seats[flight.source].address
        life = seat.last_life
        if life is not None and not life.reads(flight.header, flight.message):
            return []  # the codec drops it
        seat.hear(Received(flight.header, flight.message, source))
        return [f.message for f in self.flights[before:] if f.source == flight.target]

    def say(self, source: str, target: str, message: Message) -> list[Message]:
        """Have ``source`` say what it would not say by itself; return what ``target`` answers."""
        version = self.seats[source].versions[1]
        header = self.seats[source].life.header(self.seats[target].id, version)
        return self.deliver(Flight(source, target, header, message, self.ms))

    def repeat(self, flight: Flight) -> list[Message]:
        """Have its sender say the same again, as a new datagram, and deliver that."""
        counter = self.seats[flight.source].life.next_counter()
        return self.deliver(replace(flight, header=replace(flight.header, counter=counter)))

    def last(self, source: str, target: str, kind: type) -> Flight:
        """Return the newest datagram of that kind that was said."""
        for flight in reversed(self.flights):
            if flight.is_a(kind, source, target):
                return flight
        raise Missing(f"{source} never said {kind.__name__} to {target}")

    # -- time

    @property
    def ms(self) -> float:
        """Milliseconds since the table was laid."""
        return (self.now - self._zero) / MS

    def run_to(self, ms: float) -> None:
        """Let time pass up to ``ms``."""
        self._run(self._zero + int(ms * MS))

    def run_for(self, ms: float) -> None:
        """Let ``ms`` pass."""
        self._run(self.now + int(ms * MS))

    def until_said(self, source: str, target: str, kind: type) -> Flight:
        """Let time pass until ``source`` says a ``kind`` to ``target`` anew; return it."""
        seen = len(self.flights)
        end = self.now + PATIENCE_MS * MS
        while self._advance(end):
            for flight in self.flights[seen:]:
                if flight.is_a(kind, source, target):
                    return flight
            seen = len(self.flights)
        raise Missing(f"{source} says no {kind.__name__} to {target} until {self.ms} ms")

    def until_leads(self, name: str) -> None:
        """Let time pass until ``name`` leads."""
        end = self.now + PATIENCE_MS * MS
        while not self.leads(name):
            if not self._advance(end):
                raise Missing(f"{name} does not lead until {self.ms} ms")

    def do_next(self) -> None:
        """Do the one thing that is due next, however far away."""
        self._advance(self.now + PATIENCE_MS * MS)

    def _run(self, end: Instant) -> None:
        while self._advance(end):
            pass

    def _advance(self, end: Instant) -> bool:
        """Do the next thing that is due up to ``end``; return False if there is none."""
        due = [(at, made, flight.target) for at, made, flight in self._travelling]
        for order, seat in enumerate(self.seats.values()):
            deadline = seat.election.next_deadline() if seat.election else None
            if deadline is not None:
                at = max(deadline + seat.late_by, self.now)
                due.append((at, self._made + 1 + order, seat.name))
        if not due or min(due)[0] > end:
            self.now = max(self.now, end)
            self.look()
            return False
        at, made, name = min(due)
        self.now = at
        for entry in self._travelling:
            if entry[1] == made:
                self._travelling.remove(entry)
                self.deliver(entry[2])
                return True
        self.seats[name].hear(Woken(self.seats[name].wall_ms))
        return True

    # -- what can be seen

    def view(self, name: str) -> View:
        """Return the node's view."""
        election = self.seats[name].election
        if election is None:
            raise LookupError(f"{name} does not run")
        return election.view(self.now)

    def leads(self, name: str) -> bool:
        """Does ``name`` lead under a valid lease?"""
        election = self.seats[name].election
        return election is not None and election.view(self.now).valid_leader

    def leaders(self) -> list[str]:
        """Return the names of all valid leaders."""
        return [name for name in self.seats if self.leads(name)]

    def said(self, source: str, kind: type) -> list[Message]:
        """Return everything of that kind that ``source`` ever said, in order."""
        return [
            f.message for f in self.flights if f.source == source and isinstance(f.message, kind)
        ]

    def roles(self, name: str) -> list[Role]:
        """Return the roles that ``name`` has had, in order."""
        return [change.role for change in self.seats[name].changes]

    # -- what lives at the table tell it

    def look(self) -> None:
        """Count the leaders."""
        self.most_leaders = max(self.most_leaders, len(self.leaders()))

    def put(self, source: Seat, to: Address, header: Header, message: Message) -> None:
        """Lay a datagram on the table, or let it travel where its road is open."""
        target = next(seat for seat in self.seats.values() if seat.address == to)
        flight = Flight(source.name, target.name, header, message, self.ms)
        self.flights.append(flight)
        way = (source.name, target.name)
        kinds = self._roads.get(way)
        travels = kinds is not None and (not kinds or isinstance(message, kinds))
        greets = isinstance(message, Hello) and way not in self._cut
        if travels or greets:
            self._made += 1
            self._travelling.append((self.now + MS, self._made, flight))


def three(
    *,
    quorum: bool,
    priorities: dict[str, int] | None = None,
    timings: dict[str, Timing] | None = None,
) -> Table:
    """Three nodes on open roads; a leads, because the others sit out at first."""
    table = Table("a b c", quorum=quorum, priorities=priorities, timings=timings)
    table.open_road("a-b", "a-c", "b-c")
    for name in "abc":
        table.start(name)
    table.step_down("b", sit_out=1500 * MS)
    table.step_down("c", sit_out=1500 * MS)
    table.until_leads("a")
    table.run_for(600)
    if table.leaders() != ["a"]:
        raise Missing(f"{table.leaders()} lead, not a")
    return table


def _pairs(roads: tuple[str, ...]) -> list[tuple[str, str]]:
    pairs = []
    for road in roads:
        a, sign, b = road.partition(">") if ">" in road else road.partition("-")
        pairs.append((a, b))
        if sign == "-":
            pairs.append((b, a))
    return pairs
