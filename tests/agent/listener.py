"""A driver in the test's own process: its profile, and whoever listens to it."""

from __future__ import annotations

import socket

from followtheleader.core.actions import ChangeRole, PauseChanged
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Address, Instant, LeaderInfo, Role
from followtheleader.observer import Profile


class Listener:
    """An `Observer` that remembers what it was told: roles, troubles as (kind, text), reliefs."""

    def __init__(self) -> None:
        self.roles: list[Role] = []
        self.troubles: list[tuple[str, str]] = []
        self.reliefs: list[str] = []

    def on_role(self, change: ChangeRole) -> None:
        self.roles.append(change.role)

    def on_trouble(self, kind: str, text: str) -> None:
        self.troubles.append((kind, text))

    def on_relief(self, kind: str) -> None:
        self.reliefs.append(kind)

    def on_lease(self, deadline: Instant) -> None: ...

    def on_token(self, token: int) -> None: ...

    def on_leader(self, leader: LeaderInfo) -> None: ...

    def on_will(self, datagrams: list[tuple[Address, bytes]]) -> None: ...

    def on_members(self) -> None: ...

    def on_pause(self, change: PauseChanged) -> None: ...

    def on_interfaces(self) -> None: ...

    def on_note(self, kind: str, text: str, fields: dict[str, object]) -> None: ...

    def on_stopped(self) -> None: ...


def alone(name: str, state_dir: str | None = None) -> Profile:
    """A node that knows nobody and listens on a free port of loopback."""
    with socket.socket(type=socket.SOCK_DGRAM) as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
    return Profile(
        id=1,
        service="alone",
        name=name,
        priority=100,
        timing=Timing(75 * MS, 3, 0),
        voters=(),
        witness=False,
        host="127.0.0.1",
        port=port,
        interfaces=(),
        mdns=False,
        peers=(),
        state_dir=state_dir,
    )
