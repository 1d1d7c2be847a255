"""Actions: orders that `Election.step` returns, to be performed in the order of the list."""

from __future__ import annotations

from enum import StrEnum, unique

from followtheleader.core.messages import Message, Release
from followtheleader.core.types import (
    Address,
    Instant,
    LeaderInfo,
    NodeId,
    Owner,
    Reason,
    Role,
    Span,
    Term,
    value,
)


@value
class Send:
    """Send ``message`` to ``address``; ``receiver`` goes into the header (0: whoever is there).

    ``version`` is the one to write it in.
    """

    message: Message
    receiver: NodeId
    address: Address
    version: int


@value
class Persist:
    """Write and fsync before the next action: ``floor`` of the terms, longest lock granted.

    Hand in `Stored` after the list. If it fails: hand in `StoreFailed` instead; if ``required``,
    drop the rest of this list before.
    """

    floor: Term
    max_lock: Span
    required: bool


@value
class ChangeRole:
    """The public role changed.

    On gain: files, then guardian's deadline, then hook. On loss: files first. ``change`` grows by
    one with every change; the shell answers with `Settled` for it. ``reelection``: the leader was
    lost, a new election begins. ``deadline`` is the lease's end (leader only, else 0).
    """

    change: int
    role: Role
    old_role: Role
    term: Term
    reason: Reason
    leader: LeaderInfo | None
    deadline: Instant
    reelection: bool


@value
class ExtendLease:
    """The lease was renewed: tell the guardian its new end."""

    deadline: Instant


@value
class PublishToken:
    """A token (= term) may be handed out from now on: a majority has it on disk."""

    token: Term


@value
class LeaderChanged:
    """Another leader is followed, or the same one in a new term; the role stays."""

    leader: LeaderInfo


@value
class DepositWill:
    """Replace the last will: this RELEASE, to these members. No recipients: withdraw it.

    Each recipient is an id, an address and the version to write it in.
    """

    release: Release
    recipients: tuple[tuple[NodeId, Address, int], ...]


@value
class MembersChanged:
    """Somebody joined, left, or moved: remember the members."""


@value
class PauseChanged:
    """The group is paused for ``left``, by ``author``'s command; 0: it is no more.

    ``by_time``: the pause has run out.
    """

    left: Span
    author: NodeId
    by_time: bool


@value
class Restart:
    """A peer has seen a newer incarnation of this node: begin anew above ``incarnation``."""

    incarnation: int


@value
class Stopped:
    """Everything is said: close the socket and exit."""

    lock_until: Instant
    """The end of the last lock that this acceptor granted (0: none), for a clean restart."""


@unique
class Unheard(StrEnum):
    """Why a datagram that is whole and for us was dropped; the words by which it is counted."""

    REPLAYED = "replayed"
    REPEATED = "repeated-release"
    STALE = "stale-incarnation"
    UNVERIFIED = "unverified"
    INCOMPATIBLE = "incompatible"


@value
class Dropped:
    """A datagram changed nothing. Count it."""

    reason: Unheard
    sender: Owner
    source: Address


@value
class Note:
    """Worth a line in the log. ``kind`` is stable and machine-readable."""

    kind: str
    text: str
    peer: Owner | None = None


Action = (
    Send
    | Persist
    | ChangeRole
    | ExtendLease
    | PublishToken
    | LeaderChanged
    | DepositWill
    | MembersChanged
    | PauseChanged
    | Restart
    | Stopped
    | Dropped
    | Note
)
