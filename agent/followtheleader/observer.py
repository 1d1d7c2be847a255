"""Between the driver and whoever runs it: what it is told at the start, and what it tells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from followtheleader.core.actions import ChangeRole, PauseChanged
from followtheleader.core.timing import Timing
from followtheleader.core.types import Address, Instant, LeaderInfo, NodeId, Span
from followtheleader.wire import NO_KEYS, KeyRing


@dataclass(frozen=True, slots=True)
class Profile:
    """Who takes part in which election, and where it listens. ``state_dir`` None: no memory."""

    id: NodeId
    service: str
    name: str
    priority: int
    timing: Timing
    voters: tuple[str, ...]
    witness: bool
    host: str
    port: int | None
    interfaces: tuple[str, ...]
    mdns: bool
    peers: tuple[tuple[str, int | None], ...]
    state_dir: str | None
    preempt_delay: Span | None = None
    start_patience: Span = 0
    ring: KeyRing = NO_KEYS


class Observer(Protocol):
    """What the driver tells; every method returns at once and raises nothing."""

    def on_role(self, change: ChangeRole) -> None:
        """The role changed. Answer with ``driver.post(Settled(change.change))`` in time."""

    def on_lease(self, deadline: Instant) -> None:
        """The lease was renewed until ``deadline``."""

    def on_token(self, token: int) -> None:
        """A new token may be handed out."""

    def on_leader(self, leader: LeaderInfo) -> None:
        """Another leader is followed."""

    def on_will(self, datagrams: list[tuple[Address, bytes]]) -> None:
        """Keep these datagrams, to be sent if this process dies."""

    def on_members(self) -> None:
        """The members changed."""

    def on_pause(self, change: PauseChanged) -> None:
        """The group is paused, or no more."""

    def on_interfaces(self) -> None:
        """Our own interfaces, or their addresses, changed."""

    def on_note(self, kind: str, text: str, fields: dict[str, object]) -> None:
        """Something for the log."""

    def on_trouble(self, kind: str, text: str) -> None:
        """Something does not work, and we go on without it."""

    def on_relief(self, kind: str) -> None:
        """The trouble of that kind is over."""

    def on_stopped(self) -> None:
        """Everything is said; `Driver.close` may be called."""
