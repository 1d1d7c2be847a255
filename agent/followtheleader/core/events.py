"""Events: facts that the shell hands to `Election.step`. Each is complete when made."""

from __future__ import annotations

from followtheleader.core.messages import Header, Message
from followtheleader.core.types import Address, NodeId, Span, value


@value
class Started:
    """The socket is bound and listens from now on.

    ``remembers``: there were members once, so that one may wait longer for the first of them.
    ``searches``: others are searched for by mDNS; `SearchBegun` follows.
    """

    remembers: bool = False
    searches: bool = False


@value
class SearchBegun:
    """MDNS has asked who is there, and said that we are; or it cannot. May come again."""


@value
class Woken:
    """The instant of `Election.next_deadline` has come; buffered datagrams were handed in first.

    ``wall_ms`` is the wall clock in milliseconds since 1970, used only where no floor file is.
    """

    wall_ms: int


@value
class Received:
    """A datagram that is whole, of this election and not of ourselves."""

    header: Header
    message: Message
    source: Address


@value
class AddressFound:
    """mDNS, the configuration or the list of remembered members suggests an address.

    ``configured``: keep trying for ever.
    """

    address: Address
    configured: bool = False


@value
class AddressDropped:
    """The configuration names an address no longer. Whoever is a member there stays one."""

    address: Address


@value
class Retuned:
    """The operator has changed what of a `Node` may change while it runs."""

    priority: int
    preempt_delay: Span | None
    start_patience: Span


@value
class Settled:
    """Everything owed for role change ``change`` and those before has ended: job and hooks."""

    change: int


@value
class StoreFailed:
    """The last `Persist` failed; the actions that followed it were not performed if it was
    ``required``."""


@value
class Stored:
    """The last `Persist` succeeded and took this long: what followed it was said that much later.

    It may be left out where that is less than a millisecond.
    """

    took: Span


@value
class IdentityTaken:
    """A node with our id and a later incarnation speaks, and has done so for a while."""


@value
class StepDownRequested:
    """Hand leadership over, and do not claim again for ``sit_out``."""

    sit_out: Span


@value
class HandoverRequested:
    """Move the leadership to the member ``target`` (0: to whoever is best)."""

    target: NodeId


@value
class PauseRequested:
    """The operator pauses the group for ``span``: the roles stay. 0: the pause is over."""

    span: Span


@value
class LinkChanged:
    """Whether any election interface has a carrier (``up``). Without one a node does not lead.

    ``moved``: our addresses are others than before, and the members speak to those.
    """

    up: bool
    moved: bool = False


@value
class KeysChanged:
    """Datagrams are signed and verified by other keys from now on. ``strict``: until now unsigned
    ones counted, and from now on they do not."""

    strict: bool


@value
class StopRequested:
    """Leave: end the job if leading, hand over, say goodbye. `Stopped` follows."""


Event = (
    Started
    | SearchBegun
    | Woken
    | Received
    | AddressFound
    | AddressDropped
    | Retuned
    | Settled
    | StoreFailed
    | Stored
    | IdentityTaken
    | StepDownRequested
    | HandoverRequested
    | PauseRequested
    | LinkChanged
    | KeysChanged
    | StopRequested
)
