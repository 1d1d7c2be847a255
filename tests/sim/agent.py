"""The agent of a simulated host: an inbox, one step loop, and the wake-up.

It has the duties of the real shell and no others: it hands in events in order, and drains what was
buffered before it hands in `Woken`. It can be paused, stand still for its disk, or die between two
orders.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

from followtheleader.core.actions import (
    Action,
    ChangeRole,
    DepositWill,
    ExtendLease,
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
    HandoverRequested,
    PauseRequested,
    Received,
    StepDownRequested,
    StopRequested,
    Stored,
    Woken,
)
from followtheleader.core.node import Memory, Node
from followtheleader.core.types import Address, Instant, NodeId, Span
from sim.driver import Driver

if TYPE_CHECKING:
    from sim.host import Host

BUSY_LOOP = 20
"""So many times in a row may a deadline be due again at once."""


class Agent(Driver):
    """One life of the agent: an inbox, one step loop, and the wake-up."""

    def __init__(self, host: Host, node: Node, memory: Memory, job_running: bool) -> None:
        seed = f"{host.world.seed}/{host.index}/{node.owner.incarnation}"
        rng = random.Random(seed)
        super().__init__(node, Election(node, memory, rng, host.local(), job_running))
        self.host = host
        self.paused = False
        self.stopping = False
        self.crash_in: int | None = None
        self._world = host.world
        self._wake_at: int | None = None
        self._inbox: deque[Event] = deque()
        self._datagrams = 0
        self._rest: list[Action] = []
        self._blocked = False
        self._blocked_at: Instant = 0
        self._idle_wakes = 0

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
        self.step(event)

    def hand_in(self, event: Event) -> None:
        """Take any other event."""
        if self._can_run():
            self.step(event)
        else:
            self._inbox.append(event)

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

    def ask_to_switch_over(self, target: NodeId) -> None:
        """``ftl-agent switchover``."""
        self.hand_in(HandoverRequested(target))

    def ask_to_pause(self, span: Span) -> None:
        """``pause`` (0: ``resume``) at the control socket; refused while the agent starts."""
        if self.may_be_told():
            self.hand_in(PauseRequested(span))

    def may_be_told(self) -> bool:
        """Does it take such a command?"""
        return not self.stopping and not self.election.view(self.host.local()).listening

    def expired(self) -> None:
        """The guardian has ended the job of a lease that it did not see renewed in time."""
        if self._can_run() and self.election.leads_until(self.host.local()) is not None:
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
        waited, self._blocked = self._blocked, False
        rest, self._rest = self._rest, []
        self.perform(rest)
        if waited and self._can_run():
            self.step(Stored(self.host.local() - self._blocked_at))
        while self._inbox and self._can_run():
            event = self._inbox.popleft()
            self._datagrams -= isinstance(event, Received)
            self.step(event)
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

    def step(self, event: Event) -> None:
        """Let the election decide, perform its orders, and set the timer anew."""
        host, world = self.host, self._world
        if not self.alive:
            return
        now = host.local()
        world.counts["steps"] += 1
        world.trace(host, "event", event)
        world.invariants.told(host, event)
        actions = self.election.step(event, now)
        world.invariants.stepped(host, actions)
        self.perform(actions)
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
            self.step(Woken(self.host.clock.wall_ms(self._world.now)))
            after = self.election.next_deadline()
            self._idle_wakes = self._idle_wakes + 1 if after is not None and after <= now else 0
            if self._idle_wakes > BUSY_LOOP:
                self._world.invariants.fail(self.host, f"awake for ever: deadline {after}")
        if self.alive and not self._blocked:
            self._arm()

    # -- what may come between the orders

    def dies_here(self) -> bool:
        if self.crash_in is None:
            return False
        self.crash_in -= 1
        if self.crash_in >= 0:
            return False
        self.host.kill_agent()
        return True

    def disk_delays(self, rest: list[Action]) -> bool:
        wait = self._world.habits.fsync(self._world.rng)
        if not wait:
            return False
        self._rest, self._blocked, self._blocked_at = rest, True, self.host.local()
        self._world.after(wait, self._unblock)
        return True

    def _unblock(self) -> None:
        if self._blocked:
            self.go_on()

    # -- orders

    def persist(self, persist: Persist) -> bool:
        disk = self.host.disk
        self._world.counts["fsyncs"] += 1
        if not disk.writable:
            self._world.counts["fsyncs failed"] += 1
            self.host.lost_disk = True
            return False
        disk.floor, disk.max_lock = persist.floor, persist.max_lock
        return True

    def send(self, send: Send) -> None:
        self._world.invariants.spoken(self.host, send)
        self._world.trace(self.host, "says", send)
        self.host.emit(self.header(send.receiver, send.version), send.message, send.address)

    def change_role(self, change: ChangeRole) -> None:
        self._world.role_changed(self.host, change)
        self.host.guardian.change_role(change)

    def extend_lease(self, extend: ExtendLease) -> None:
        self.host.guardian.extend(extend.deadline)

    def deposit_will(self, will: DepositWill) -> None:
        self.host.guardian.deposit(self.owner, will)

    def publish_token(self, publish: PublishToken) -> None:
        self._world.invariants.token_published(self.host, publish.token)

    def restart(self, restart: Restart) -> None:
        self._world.counts["restarts asked"] += 1
        self.host.restart(restart.incarnation)

    def stopped(self, stopped: Stopped) -> None:
        self.host.stopped(stopped)
