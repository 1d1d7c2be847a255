"""The driver of one `Election`: what every shell owes the core, once for every simulated world.

Actions are performed in the order of the list. Disk before network: what follows a `Persist` waits
for the disk; if a required one fails, the rest is never performed. The election hears `StoreFailed`
then, and `Stored` of a disk that was slow. The header's counter grows with every datagram. What an
order does in its world is left to the subclass, and so are clock, inbox and guardian.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import assert_never

from followtheleader.core.actions import (
    Action,
    ChangeRole,
    DepositWill,
    Dropped,
    ExtendLease,
    LeaderChanged,
    MembersChanged,
    Note,
    PauseChanged,
    Persist,
    PublishToken,
    Restart,
    Send,
    Stopped,
)
from followtheleader.core.election import Election
from followtheleader.core.events import Event, StoreFailed
from followtheleader.core.messages import Header, Hello, Message
from followtheleader.core.node import Node
from followtheleader.core.types import NodeId

LAST_COUNTER = 2**64 - 1
"""The counter of a last will: nothing of that life comes after it."""


class Driver(ABC):
    """One life of an agent: it steps its election and performs what that orders."""

    def __init__(self, node: Node, election: Election) -> None:
        self.owner = node.owner
        self.election = election
        self.alive = True
        self._node = node
        self._counter = 0

    @abstractmethod
    def step(self, event: Event) -> None:
        """Let the election fold ``event``, and `perform` its orders; nothing if it is dead."""

    def perform(self, actions: list[Action]) -> None:
        """Perform ``actions`` in order, as far as the disk and this life last."""
        failed = False
        for position, action in enumerate(actions):
            if not self.alive or self.dies_here():
                return
            match action:
                case Persist():
                    if not self.persist(action):
                        failed = True
                        if action.required:
                            break
                    elif self.disk_delays(actions[position + 1 :]):
                        break
                case Send():
                    self.send(action)
                case ChangeRole():
                    self.change_role(action)
                case ExtendLease():
                    self.extend_lease(action)
                case DepositWill():
                    self.deposit_will(action)
                case PublishToken():
                    self.publish_token(action)
                case Restart():
                    self.restart(action)
                case Stopped():
                    self.stopped(action)
                case LeaderChanged() | MembersChanged() | PauseChanged() | Dropped() | Note():
                    pass  # of interest to people and files only
                case _:
                    assert_never(action)
        if failed and self.alive:
            self.step(StoreFailed())

    @property
    def said(self) -> int:
        """How many datagrams this life has made."""
        return self._counter

    def next_counter(self) -> int:
        """Return the counter of the next datagram."""
        self._counter += 1
        return self._counter

    def header(self, receiver: NodeId, version: int = 1) -> Header:
        """Return the header of the next datagram."""
        return Header(self.owner, self.next_counter(), receiver, self._node.priority, version)

    def reads(self, header: Header, message: Message) -> bool:
        """Can this build read a body of that version?"""
        lowest, highest = self._node.versions
        return isinstance(message, Hello) or lowest <= header.version <= highest

    # -- what may come between

    def dies_here(self) -> bool:
        """Does the process end just before the next action?"""
        return False

    def disk_delays(self, rest: list[Action]) -> bool:
        """Does the process stand still for its disk? Then ``rest`` is to be performed later."""
        return False

    # -- orders

    @abstractmethod
    def persist(self, persist: Persist) -> bool:
        """Write to disk; return whether that worked."""

    @abstractmethod
    def send(self, send: Send) -> None:
        """Put a datagram on the network."""

    @abstractmethod
    def change_role(self, change: ChangeRole) -> None:
        """Tell the guardian."""

    @abstractmethod
    def deposit_will(self, will: DepositWill) -> None:
        """Leave the last will with the guardian."""

    @abstractmethod
    def publish_token(self, publish: PublishToken) -> None:
        """Hand the token out."""

    @abstractmethod
    def restart(self, restart: Restart) -> None:
        """Begin anew as a later incarnation."""

    @abstractmethod
    def stopped(self, stopped: Stopped) -> None:
        """Exit."""

    @abstractmethod
    def extend_lease(self, extend: ExtendLease) -> None:
        """Tell the guardian the lease's new end."""
