"""A host: clock, disk, guardian, and the agent that drives one `Election`.

The agent here has the duties of the real shell and no others: it hands in events in order, drains
what was buffered before it hands in `Woken`, performs actions in the order of the list, and assigns
the header's counter.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from followtheleader.core.actions import (
    Action,
    ChangeRole,
    DepositWill,
    ExtendLease,
    LeaderChanged,
    MembersChanged,
    Note,
    Persist,
    PublishToken,
    Restart,
    Send,
    Stopped,
)
from followtheleader.core.election import Election
from followtheleader.core.events import (
    AddressFound,
    Event,
    LinkChanged,
    Received,
    Settled,
    Started,
    StepDownRequested,
    StopRequested,
    StoreFailed,
    Woken,
)
from followtheleader.core.messages import Header, Message
from followtheleader.core.node import Memory, Node
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Address, Instant, NodeId, Owner, Span, Term
from followtheleader.wire import Codec, Rejected
from sim.clock import HostClock
from sim.guardian import Guardian
from sim.network import Datagram

if TYPE_CHECKING:
    from sim.world import World

LAST_COUNTER = 2**64 - 1
SERVICE = "sim"
BUSY_LOOP = 20


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
        self.disk = Disk()
        self.codec = Codec(SERVICE, node) if world.wire else None
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
        node = Node(owner, spec.name, spec.priority, spec.timing, world.voters, spec.witness)
        world.trace(self, "starts", f"incarnation={incarnation} {memory}")
        self.agent = Agent(self, node, memory, self.guardian.hello(owner))
        world.invariants.agent_started(self, memory)
        agent = self.agent
        agent.find(world.draw_addresses(self.index))
        if not self.carrier:
            agent.hand_in(LinkChanged(False))
        agent.hand_in(Started())

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
        for receiver, address in will.recipients:
            header = Header(owner, LAST_COUNTER, receiver, self.spec.priority)
            self.emit(header, will.release, address)

    def emit(self, header: Header, message: Message, address: Address) -> None:
        """Put a datagram on the network."""
        datagram: Datagram = (header, message)
        if self.codec is not None:
            datagram = self.codec.encode(header, message)
        self.world.network.send(self.index, address, type(message), datagram)

    def receive(self, source: Address, datagram: Datagram) -> None:
        """A datagram arrives at the socket, if there is one."""
        agent = self.agent
        if agent is None:
            return
        if isinstance(datagram, bytes):
            codec = self.codec
            decoded = codec.decode(datagram) if codec is not None else None
            if decoded is None or isinstance(decoded, Rejected):
                return
            datagram = decoded
        header, message = datagram
        if header.receiver in (0, self.node_id):
            agent.receive(Received(header, message, source))

    # -- this host's clock and habits

    def local(self) -> Instant:
        """Return BOOTTIME now."""
        return self.clock.local(self.world.now)

    def draw_job_end(self) -> Span:
        """Return how long the job takes to end, in true time; it may ignore the request."""
        return self.world.habits.job_end(self.world.rng, self.spec.timing.stop_timeout)

    def draw_hook(self) -> Span:
        """Return how long on_follower takes."""
        return self.world.habits.hook(self.world.rng)

    def draw_answer(self) -> Span:
        """Return how long a word between agent and guardian takes."""
        return self.world.habits.answer(self.world.rng)


class Agent:
    """One life of the agent: an inbox, one step loop, and the wake-up."""

    def __init__(self, host: Host, node: Node, memory: Memory, job_running: bool) -> None:
        self.host = host
        self.alive = True
        self.paused = False
        self.stopping = False
        self.crash_in: int | None = None
        self._world = host.world
        self._priority = node.priority
        self.owner = node.owner
        self._counter = 0
        self._wake_at: int | None = None
        self._inbox: deque[Event] = deque()
        self._datagrams = 0
        self._rest: list[Action] = []
        self._blocked = False
        self._idle_wakes = 0
        seed = f"{host.world.seed}/{host.index}/{node.owner.incarnation}"
        self.election = Election(node, memory, random.Random(seed), host.local(), job_running)

    # -- in

    def receive(self, event: Received) -> None:
        """Take a datagram; the socket's buffer is bounded."""
        if not self._can_run():
            if self._datagrams >= self._world.habits.socket_buffer:
                self._world.counts["overflow"] += 1
                return
            self._datagrams += 1
            self._inbox.append(event)
            return
        self._step(event)

    def hand_in(self, event: Event) -> None:
        """Take any other event."""
        if self._can_run():
            self._step(event)
        else:
            self._inbox.append(event)

    def expired(self) -> None:
        """The guardian has ended the job of a lease that it did not see renewed in time."""
        if self._can_run() and self.election.view(self.host.local()).valid_leader:
            self.hand_in(StepDownRequested(0))

    def pause(self) -> None:
        """SIGSTOP."""
        self._world.trace(self.host, "paused")
        self.paused = True

    def resume(self) -> None:
        """SIGCONT."""
        if self.paused:
            self._world.trace(self.host, "resumed")
            self.paused = False
            self.go_on()

    def go_on(self) -> None:
        """Finish what was begun, drain what is buffered, then look at the clock."""
        if not self._can_run(blocked=True):
            return
        rest, self._rest, self._blocked = self._rest, [], False
        self._perform(rest)
        while self._inbox and self._can_run():
            event = self._inbox.popleft()
            self._datagrams -= isinstance(event, Received)
            self._step(event)
        if self._can_run():
            self._wake()

    @property
    def waits_for_disk(self) -> bool:
        """Does the process stand still for an fsync?"""
        return self._blocked

    def _can_run(self, *, blocked: bool = False) -> bool:
        return (
            self.alive
            and not self.paused
            and not self.host.frozen
            and (blocked or not self._blocked)
        )

    # -- the step

    def _step(self, event: Event) -> None:
        host, world = self.host, self._world
        if not self.alive:
            return
        now = host.local()
        world.counts["steps"] += 1
        world.trace(host, "event", event)
        world.invariants.told(host, event)
        actions = self.election.step(event, now)
        world.invariants.stepped(host, actions)
        self._perform(actions)
        if self.alive and not self._blocked:
            self._arm()

    def _arm(self) -> None:
        deadline = self.election.next_deadline()
        if deadline is None:
            return
        world = self._world
        at = max(self.host.clock.true(deadline), world.now)
        if self._wake_at is None or at < self._wake_at:
            self._wake_at = at
            world.at(at + world.habits.oversleep(world.rng), self._timer)

    def _timer(self) -> None:
        if self._wake_at is not None and self._world.now >= self._wake_at:
            self._wake_at = None
            if self._can_run():
                self._wake()

    def _wake(self) -> None:
        now = self.host.local()
        deadline = self.election.next_deadline()
        if deadline is not None and deadline <= now:
            self._step(Woken(self.host.clock.wall_ms(self._world.now)))
            after = self.election.next_deadline()
            self._idle_wakes = self._idle_wakes + 1 if after is not None and after <= now else 0
            if self._idle_wakes > BUSY_LOOP:
                self._world.invariants.fail(self.host, f"awake for ever: deadline {after}")
        if self.alive and not self._blocked:
            self._arm()

    # -- out

    def _perform(self, actions: list[Action]) -> None:
        failed = False
        for position, action in enumerate(actions):
            if not self.alive:
                return
            if self.crash_in is not None:
                self.crash_in -= 1
                if self.crash_in < 0:
                    self.host.kill_agent()
                    return
            if isinstance(action, Persist):
                if not self._persist(action):
                    failed = True
                    if action.required:
                        break
                elif wait := self._world.habits.fsync(self._world.rng):
                    self._rest, self._blocked = actions[position + 1 :], True
                    self._world.after(wait, self._unblock)
                    break
            else:
                self._PERFORM[type(action)](self, action)
        if failed and self.alive:
            self._step(StoreFailed())

    def _unblock(self) -> None:
        if self._blocked:
            self.go_on()

    def _persist(self, persist: Persist) -> bool:
        disk = self.host.disk
        self._world.counts["fsyncs"] += 1
        if not disk.writable:
            self._world.counts["fsyncs failed"] += 1
            self.host.lost_disk = True
            return False
        disk.floor, disk.max_lock = persist.floor, persist.max_lock
        return True

    def _send(self, send: Send) -> None:
        self._counter += 1
        self._world.invariants.spoken(self.host, send)
        self._world.trace(self.host, "says", send)
        header = Header(self.owner, self._counter, send.receiver, self._priority)
        self.host.emit(header, send.message, send.address)

    def _change_role(self, change: ChangeRole) -> None:
        self._world.role_changed(self.host, change)
        self.host.guardian.change_role(change)

    def _extend(self, extend: ExtendLease) -> None:
        self.host.guardian.extend(extend.deadline)

    def _deposit(self, will: DepositWill) -> None:
        self.host.guardian.deposit(self.owner, will)

    def _restart(self, restart: Restart) -> None:
        self._world.counts["restarts asked"] += 1
        self.host.restart(restart.incarnation)

    def _stopped(self, stopped: Stopped) -> None:
        self.host.stopped(stopped)

    def _publish(self, publish: PublishToken) -> None:
        self._world.invariants.token_published(self.host, publish.token)

    def _nothing(self, action: Action) -> None:
        """Of interest to people and files only."""

    _PERFORM: ClassVar[dict[type, Callable[..., None]]] = {
        Send: _send,
        ChangeRole: _change_role,
        ExtendLease: _extend,
        DepositWill: _deposit,
        Restart: _restart,
        Stopped: _stopped,
        LeaderChanged: _nothing,
        MembersChanged: _nothing,
        PublishToken: _publish,
        Note: _nothing,
    }

    def find(self, addresses: list[Address]) -> None:
        """mDNS finds these addresses (again)."""
        for address in addresses:
            self.hand_in(AddressFound(address))

    def ask_to_stop(self) -> None:
        """SIGTERM."""
        self.stopping = True
        self.hand_in(StopRequested())

    def ask_to_step_down(self, sit_out: Span) -> None:
        """``ftl-agent step-down``."""
        self.hand_in(StepDownRequested(sit_out))
