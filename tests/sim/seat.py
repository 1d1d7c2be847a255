"""A seat at the table: one node, what its disk and its guardian know, and its lives."""

from __future__ import annotations

from dataclasses import dataclass, field
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
from followtheleader.core.events import Event, Settled
from followtheleader.core.node import Memory, Node
from followtheleader.core.timing import Timing
from followtheleader.core.types import VERSIONS, Address, Owner, Span, Term
from sim.driver import Driver

if TYPE_CHECKING:
    from sim.table import Table


@dataclass(slots=True)
class Seat:
    """One node at the table, and what its disk and its guardian know."""

    name: str
    address: Address
    priority: int
    timing: Timing
    voter_name: str
    id: int
    wall_ms: int = 1
    last_life: Life | None = None
    """The life that is lived, or the last one that was."""
    memory: Memory = field(default_factory=Memory)
    disk_fails: bool = False
    keeps_job: bool = False
    """The job does not end before the test says so with `Table.settle`."""
    late_by: Span = 0
    """The process is this slow: it is woken so long after its deadline."""
    versions: tuple[int, int] = VERSIONS
    voters: tuple[str, ...] | None = None
    """What its own configuration says (empty: an open group); None: as everybody's."""
    orders: list[Action] = field(default_factory=list)
    """Everything that its lives have ordered, in order, whether it could be performed or not."""
    changes: list[ChangeRole] = field(default_factory=list)
    tokens: list[Term] = field(default_factory=list)
    stopped: Stopped | None = None
    restart_above: int | None = None
    """The election asked for a later incarnation than this."""
    will: DepositWill | None = None

    @property
    def life(self) -> Life:
        """Its life, or the last one; LookupError if it never had one."""
        if self.last_life is None:
            raise LookupError(f"{self.name} was never started")
        return self.last_life

    @property
    def owner(self) -> Owner:
        """Its id and incarnation, of its last life if it does not run."""
        return self.life.owner

    @property
    def election(self) -> Election | None:
        """Its election; None while it does not run."""
        life = self.last_life
        return life.election if life is not None and life.alive else None

    def hear(self, event: Event) -> None:
        """Hand in ``event``; nothing happens if the node does not run."""
        if self.last_life is not None:
            self.last_life.step(event)


class Life(Driver):
    """One life of a node: every order is carried out at once, and noted at its seat."""

    def __init__(self, table: Table, seat: Seat, node: Node, election: Election) -> None:
        super().__init__(node, election)
        self._table = table
        self._seat = seat
        self._to_settle: int | None = None

    def step(self, event: Event) -> None:
        """Let the election decide, perform its orders, and settle its last change of role."""
        if not self.alive:
            return
        actions = self.election.step(event, self._table.now)
        self._seat.orders += actions
        self.perform(actions)
        settle, self._to_settle = self._to_settle, None
        if settle is not None and not self._seat.keeps_job:
            self.step(Settled(settle))
        self._table.look()

    def persist(self, persist: Persist) -> bool:
        if self._seat.disk_fails:
            return False
        self._seat.memory = Memory(persist.floor, persist.max_lock)
        return True

    def send(self, send: Send) -> None:
        self._table.put(
            self._seat, send.address, self.header(send.receiver, send.version), send.message
        )

    def change_role(self, change: ChangeRole) -> None:
        self._seat.changes.append(change)
        self._to_settle = change.change

    def extend_lease(self, extend: ExtendLease) -> None:
        pass  # jobs at the table end when the test says so, not by the lease

    def deposit_will(self, will: DepositWill) -> None:
        self._seat.will = will

    def publish_token(self, publish: PublishToken) -> None:
        self._seat.tokens.append(publish.token)

    def restart(self, restart: Restart) -> None:
        self._seat.restart_above = restart.incarnation

    def stopped(self, stopped: Stopped) -> None:
        self._seat.stopped = stopped
        self.alive = False
