"""A host: clock, disk, guardian, and at most one agent.

Each of them lasts for as long as it would: the disk for ever, clock and guardian for one boot, the
agent for one life of its process.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

from followtheleader.core.actions import DepositWill, Stopped
from followtheleader.core.events import (
    LinkChanged,
    Received,
    Retuned,
    SearchBegun,
    Settled,
    Started,
)
from followtheleader.core.messages import Header, Hello, Message
from followtheleader.core.node import Memory, Node
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Address, Instant, NodeId, Owner, Span, Term
from followtheleader.wire import Codec, Fault, Rejected
from sim.agent import Agent
from sim.clock import HostClock
from sim.driver import LAST_COUNTER
from sim.guardian import Guardian
from sim.network import Datagram
from sim.newer import NEWER, STRANGE_EACH, NewerCodec

if TYPE_CHECKING:
    from sim.world import World

SERVICE = "sim"


@dataclass(slots=True)
class Disk:
    """What survives. ``writable`` False: every write fails, reading still works."""

    floor: Term | None = None
    max_lock: Span = 0
    incarnation: int = 0
    clean_until: Instant | None = None
    writable: bool = True


@dataclass(frozen=True, slots=True)
class Spec:
    """What one host is configured to be."""

    name: str
    priority: int = 100
    timing: Timing = field(default_factory=lambda: Timing(250 * MS, 3, 0))
    witness: bool = False
    preempt_delay: Span | None = None
    start_patience: Span = 0

    def outranks(self, other: Spec) -> bool:
        """Does it take the leadership over from ``other`` sooner or later?"""
        preempts = self.preempt_delay is not None and not self.witness
        return preempts and self.priority > other.priority


class Host:
    """One machine of the group; ``agent`` is None while it does not run."""

    def __init__(
        self, world: World, index: int, spec: Spec, address: Address, node: NodeId
    ) -> None:
        self.world = world
        self.index = index
        self.spec = spec
        self.name = spec.name
        self.address = address
        self.node_id = node
        self.quorum = bool(world.voters)
        self.voters = world.voters
        """What its configuration says: the list of the next life."""
        self.disk = Disk()
        # The wills of a dead build are sent as it wrote them, whichever build runs by then.
        self._writer = NewerCodec(SERVICE, node)
        self._reader: Codec = self._writer
        self._said = 0
        self.installed: type[Codec] | None = None
        """The build of the next life; None: as it comes."""
        self.frozen = False
        self.up = False
        self.carrier = True
        self.lost_disk = False
        """The disk forgets something that was said (open groups may go on without it)."""
        self.agent: Agent | None = None
        self.boot(world.now)

    # -- power

    def boot(self, now: int, *, wall_error_ms: int = 0, rate: int | None = None) -> None:
        """Begin a new boot: BOOTTIME starts near zero, nothing runs yet."""
        rng = self.world.rng
        if rate is None:
            rate = self.world.draw_rate()
        self.clock = HostClock(now, rng.randrange(1, 60_000) * MS, rate, wall_error_ms)
        self.disk.clean_until = None  # an instant of another boot's clock
        self.guardian = Guardian(self)
        self.up = True
        self.frozen = False
        self.world.invariants.rebooted(self)

    def crash(self) -> None:
        """Lose power: agent, guardian and job are gone at once."""
        self.world.trace(self, "host-dies")
        self.up = self.frozen = False
        self._drop_agent()
        self.guardian = Guardian(self)

    def freeze(self) -> None:
        """Suspend everything on this host; BOOTTIME goes on."""
        self.world.trace(self, "frozen")
        self.frozen = True

    def thaw(self) -> None:
        """Go on. The guardian is first: it kills what is overdue before anything else."""
        if not self.frozen:
            return
        self.world.trace(self, "thawed")
        self.frozen = False
        self.guardian.resumed()
        if self.agent is not None:
            self.agent.go_on()

    # -- the agent

    def start(self, *, above: int = 0) -> None:
        """Start the agent with what the disk remembers."""
        if self.agent is not None or not self.up:
            return
        world, disk = self.world, self.disk
        incarnation = max(disk.incarnation, above, self.clock.wall_ms(world.now) - 1) + 1
        disk.incarnation = incarnation
        memory = Memory(disk.floor, disk.max_lock, disk.clean_until, disk.writable)
        disk.clean_until = None
        owner = Owner(self.node_id, incarnation)
        spec = self.spec
        build = self.installed or world.draw_build()
        self._reader = build(SERVICE, self.node_id)
        node = Node(
            owner,
            spec.name,
            spec.priority,
            spec.timing,
            self.voters,
            spec.witness,
            spec.preempt_delay,
            spec.start_patience,
            build.versions,
        )
        world.trace(self, "starts", f"incarnation={incarnation} {memory}")
        self.agent = Agent(self, node, memory, self.guardian.hello(owner))
        world.invariants.agent_started(self, memory)
        agent = self.agent
        agent.find(world.draw_addresses(self.index))
        if not self.carrier:
            agent.hand_in(LinkChanged(False))
        # Who has lived before remembers the others.
        # A draw of its own: a seed's other dice stay what they were.
        dice = random.Random(f"search/{world.seed}/{self.index}/{owner.incarnation}")
        searches = bool(world.latest_search) and dice.random() < 0.5
        agent.hand_in(Started(self.disk.floor is not None, searches))
        if searches:
            world.after(dice.randrange(world.latest_search), partial(self._search, agent))

    def _search(self, agent: Agent) -> None:
        """The mDNS of this life of the agent has come to ask its question."""
        if self.agent is agent:
            agent.hand_in(SearchBegun())

    def retune(self, spec: Spec) -> None:
        """Reload: priority, preemption and patience are from now on as ``spec`` says."""
        self.spec = spec
        if self.agent is not None:
            retuned = Retuned(spec.priority, spec.preempt_delay, spec.start_patience)
            self.agent.hand_in(retuned)

    def set_carrier(self, *, up: bool) -> None:
        """Pull the cable, or plug it in; who pulls it also cuts the network."""
        if up == self.carrier:
            return
        self.carrier = up
        self.world.trace(self, "carrier", "up" if up else "lost")
        if self.agent is not None:
            self.agent.hand_in(LinkChanged(up))

    def kill_agent(self) -> None:
        """SIGKILL to the agent alone; the guardian sees it at once."""
        if self.agent is None:
            return
        self.world.trace(self, "killed")
        guardian, owner = self.guardian, self.agent.owner
        self._drop_agent()
        self.world.after(
            self.draw_answer(),
            lambda: guardian.agent_died(owner) if self.guardian is guardian else None,
        )

    def _drop_agent(self) -> None:
        if self.agent is not None:
            self.agent.alive = False
            self.agent = None
        self.world.invariants.agent_gone(self)

    def stopped(self, stopped: Stopped) -> None:
        """The agent has left properly."""
        self.guardian.bye()
        if self.disk.writable:
            self.disk.clean_until = stopped.lock_until
        self._drop_agent()
        self.world.left(self)

    def restart(self, incarnation: int) -> None:
        """The election asked for a new beginning above ``incarnation``."""
        if self.agent is None:
            return
        owner = self.agent.owner
        self._drop_agent()
        self.guardian.agent_died(owner)
        self.world.after(MS, lambda: self.start(above=incarnation))

    # -- between agent and guardian

    def settled(self, change: int) -> None:
        """The guardian's word to the agent."""
        if self.agent is not None:
            self.agent.hand_in(Settled(change))

    def lease_expired(self) -> None:
        """The guardian ended the job by itself: an agent that still leads has to step down."""
        if self.agent is not None:
            self.agent.expired()

    def send_will(self, owner: Owner, will: DepositWill) -> None:
        """Send the dead agent's RELEASE; no counter of that incarnation comes after it."""
        world = self.world
        world.counts["wills"] += 1
        world.trace(self, "will", will.release)
        for receiver, address, version in will.recipients:
            header = Header(owner, LAST_COUNTER, receiver, self.spec.priority, version)
            self.emit(header, will.release, address)

    def emit(self, header: Header, message: Message, address: Address) -> None:
        """Put a datagram on the network."""
        datagram: Datagram = (header, message)
        if self.world.wire:
            datagram = self._writer.encode(header, message)
        self.world.network.send(self.index, address, type(message), datagram)
        if self.world.wire and not isinstance(message, Hello):
            self._said += self._reader.versions == NEWER
            if self._said >= STRANGE_EACH:
                self._said = 0
                strange = self._writer.strange(header, message)
                self.world.network.send(self.index, address, type(message), strange)

    def receive(self, source: Address, datagram: Datagram) -> None:
        """A datagram arrives at the socket, if there is one."""
        agent = self.agent
        if agent is None:
            return
        if isinstance(datagram, bytes):
            decoded = self._reader.decode(datagram)
            if isinstance(decoded, Rejected):
                self.world.counts[f"rejected: {decoded.reason}"] += 1
                return
            datagram = decoded
        header, message = datagram
        if not agent.reads(header, message):
            self.world.counts[f"rejected: {Fault.VERSION}"] += 1
        elif header.receiver in (0, self.node_id):
            agent.receive(Received(header, message, source))

    # -- this host's clock and habits

    def local(self) -> Instant:
        """Return BOOTTIME now."""
        return self.clock.local(self.world.now)

    def votes(self) -> bool:
        """Is this host among the voters, by the list that its agent was started with?"""
        return self.agent is not None and self.name in self.agent.election.node.voters

    def is_paused(self) -> bool:
        """Does its agent know of a pause that is on?"""
        return (
            self.agent is not None and self.agent.election.leads_in_pause(self.local()) is not None
        )

    def draw_job_end(self) -> Span:
        """Return how long the job takes to end, in true time; it may ignore the request."""
        return self.world.habits.job_end(self.world.rng, self.spec.timing.stop_timeout)

    def draw_hook(self) -> Span:
        """Return how long on_follower takes."""
        return self.world.habits.hook(self.world.rng)

    def draw_answer(self) -> Span:
        """Return how long a word between agent and guardian takes."""
        return self.world.habits.answer(self.world.rng)
