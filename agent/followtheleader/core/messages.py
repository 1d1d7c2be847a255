"""What members say to each other, as values.

A message is a body; the `Header` says who speaks to whom. How both become bytes is the business of
``followtheleader.wire``. Spans are nanoseconds here and whole microseconds on the wire.

Who may say what when is decided in `followtheleader.core.election` and its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.core.types import (
    NO_NONCE,
    Address,
    NodeId,
    Nonce,
    Owner,
    Rank,
    Span,
    Term,
)


@dataclass(frozen=True, slots=True)
class Header:
    """Who speaks to whom. ``counter`` grows with every datagram of an incarnation."""

    sender: Owner
    counter: int
    receiver: NodeId
    priority: int


@dataclass(frozen=True, slots=True)
class Hello:
    """First contact and proof of life: answered by a `Hello` that carries ``nonce`` in ``echo``.

    ``ack`` tells HELLO_ACK from HELLO. ``seen`` is the newest incarnation that the sender has
    verified for the receiver (0: none): a node whose clock was set back learns it here.
    ``members`` (id, address) is gossip, told only to those who have answered a nonce.
    """

    ack: bool
    nonce: Nonce
    echo: Nonce
    seen: int
    name: str
    quorum: bool
    voters_digest: int
    timing_digest: int
    witness: bool
    versions: tuple[int, int] = (1, 1)
    members: tuple[tuple[NodeId, Address], ...] = ()


@dataclass(frozen=True, slots=True)
class Prepare:
    """Would you lock me? ``after``: the resignation (owner, term) that made me ask."""

    term: Term
    after: tuple[Owner, Term] | None = None


@dataclass(frozen=True, slots=True)
class Promise:
    """Yes."""

    term: Term


@dataclass(frozen=True, slots=True)
class Nack:
    """No. ``term`` is the term that was refused, ``max_term`` the highest that I have accepted."""

    term: Term
    max_term: Term
    contended: bool


@dataclass(frozen=True, slots=True)
class Busy:
    """I hold a direct live lock on that leader.

    ``echo`` names the datagram that is answered: a PREPARE's term, a HEARTBEAT's seq, an ASK's
    nonce. ``rank`` is the leader's, as its newest heartbeat told it.
    """

    echo: int
    leader: Owner
    address: Address | None
    term: Term
    seq: int
    remaining: Span
    rank: Rank


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """Accept me as your leader, or renew it. H, T, B of the leader rule its followers."""

    term: Term
    seq: int
    tenure: Term
    support: int
    established: bool
    heartbeat: Span
    lease: Span
    stop_timeout: Span
    echo: Nonce = NO_NONCE


@dataclass(frozen=True, slots=True)
class Ack:
    """Accepted."""

    term: Term
    seq: int


@dataclass(frozen=True, slots=True)
class Challenge:
    """From leader to leader: prove that you are alive now. Carries my own heartbeat's fields."""

    nonce: Nonce
    heartbeat: Heartbeat


@dataclass(frozen=True, slots=True)
class Release:
    """I stopped acting: my locks up to ``term`` are free. ``successor`` 0: nobody is named."""

    term: Term
    successor: NodeId = 0


@dataclass(frozen=True, slots=True)
class Refute:
    """That earlier incarnation of me is dead, and its job has ended."""

    old: Owner
    term: Term


@dataclass(frozen=True, slots=True)
class Ask:
    """Who leads? A valid leader answers HEARTBEAT, a holder of a direct lock BUSY."""

    nonce: Nonce


@dataclass(frozen=True, slots=True)
class Bye:
    """A follower leaves."""


Message = (
    Hello
    | Prepare
    | Promise
    | Nack
    | Busy
    | Heartbeat
    | Ack
    | Challenge
    | Release
    | Refute
    | Ask
    | Bye
)
