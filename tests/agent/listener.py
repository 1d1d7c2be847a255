"""Whoever listens to a driver in the test's own process."""

from __future__ import annotations

from followtheleader.core.actions import ChangeRole
from followtheleader.core.types import Address, Instant, LeaderInfo, Role


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

    def on_note(self, kind: str, text: str, fields: dict[str, object]) -> None: ...

    def on_stopped(self) -> None: ...
