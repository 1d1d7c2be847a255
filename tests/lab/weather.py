"""What befalls the network of a group: in the log first, then done."""

from __future__ import annotations

from typing import Protocol

from lab.events import EventLog
from lab.net import Network


class Named(Protocol):
    """A host, whatever runs on it."""

    name: str


class Weather:
    """The faults that every group of hosts shares; each returns the instant before it."""

    network: Network
    log: EventLog

    def cut(self, host: Named) -> int:
        """Nothing in, nothing out; the carrier stays."""
        at = self.log.note(host.name, "fault", "cut")
        self.network.cut(host.name)
        return at

    def lose(self, percent: int) -> int:
        """Every link loses so many datagrams of a hundred."""
        at = self.log.note("-", "fault", f"loss-{percent}")
        self.network.lose(percent)
        return at

    def heal(self) -> int:
        """Every link works again."""
        at = self.log.note("-", "fault", "heal")
        self.network.heal()
        return at
