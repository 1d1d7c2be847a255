"""Events: facts that the shell hands to `Election.step`. Each is complete when made."""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.core.messages import Header, Message
from followtheleader.core.types import Address, Span


@dataclass(frozen=True, slots=True)
class Started:
    """The socket is bound and listens from now on."""


@dataclass(frozen=True, slots=True)
class Woken:
    """The instant of `Election.next_deadline` has come; buffered datagrams were handed in first.

    ``wall_ms`` is the wall clock in milliseconds since 1970, used only where no floor file is.
    """

    wall_ms: int


@dataclass(frozen=True, slots=True)
class Received:
    """A datagram that is whole, of this election and not of ourselves."""

    header: Header
    message: Message
    source: Address


@dataclass(frozen=True, slots=True)
class AddressFound:
    """mDNS, the configuration or the list of remembered members suggests an address.

    ``configured``: keep trying for ever.
    """

    address: Address
    configured: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """Everything owed for role change ``change`` and those before has ended: job and hooks."""

    change: int


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """The last `Persist` failed; the actions that followed it were not performed if it was
    ``required``."""


@dataclass(frozen=True, slots=True)
class StepDownRequested:
    """Hand leadership over, and do not claim again for ``sit_out``."""

    sit_out: Span


@dataclass(frozen=True, slots=True)
class LinkChanged:
    """Whether any election interface has a carrier (``up``). Without one a node does not lead."""

    up: bool


@dataclass(frozen=True, slots=True)
class StopRequested:
    """Leave: end the job if leading, hand over, say goodbye. `Stopped` follows."""


Event = (
    Started
    | Woken
    | Received
    | AddressFound
    | Settled
    | StoreFailed
    | StepDownRequested
    | LinkChanged
    | StopRequested
)
