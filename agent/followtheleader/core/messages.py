"""What members say to each other, as values.

A message is a body; the `Header` says who speaks to whom. How both become bytes is the business of
``followtheleader.wire``. Spans are nanoseconds here and whole microseconds on the wire.

Who may say what when is decided in `followtheleader.core.election` and its neighbours.
"""

from __future__ import annotations

from followtheleader.core.types import (
    GREETING_VERSION,
    NO_NONCE,
    VERSIONS,
    Address,
    NodeId,
    Nonce,
    Owner,
    Rank,
    Span,
    Term,
    value,
)


@value
class Header:
    """Who speaks to whom. ``counter`` grows with every datagram of an incarnation.

    ``version`` is that of the body, one that both speak.
    """

    sender: Owner
    counter: int
    receiver: NodeId
    priority: int
    version: int = GREETING_VERSION


@value
class Notice:
    """What is known of pauses: the newest command, who gave it, what remains (0: resumed)."""

    number: int
    author: NodeId
    remaining: Span


@value
class Pause:
    """The group is paused, or no more; ``holder`` led last, under ``term`` (0: nobody is known)."""

    notice: Notice
    holder: NodeId
    term: Term


@value
class Hello:
    """First contact and proof of life: answered by a `Hello` that carries ``nonce`` in ``echo``.

    ``ack`` tells HELLO_ACK from HELLO. ``seen`` is the newest incarnation that the sender has
    verified for the receiver (0: none): a node whose clock was set back learns it here.
    ``members`` (id, address) is gossip, told only to those who have answered a nonce. ``versions``
    are the lowest and the highest that the sender speaks: what is not a greeting is said in the
    highest in common.
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
    versions: tuple[int, int] = VERSIONS
    pause: Pause | None = None
    members: tuple[tuple[NodeId, Address], ...] = ()


@value
class Prepare:
    """Would you lock me? ``after``: the resignation (owner, term) that made me ask."""

    term: Term
    after: tuple[Owner, Term] | None = None


@value
class Promise:
    """Yes."""

    term: Term


@value
class Nack:
    """No. ``term`` is the term that was refused, ``max_term`` the highest that I have accepted."""

    term: Term
    max_term: Term
    contended: bool


@value
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


@value
class Heartbeat:
    """Accept me as your leader, or renew it. H, T, B of the leader rule its followers.

    Of a pause it tells, as `Pause` does; the holder is whoever speaks.
    """

    term: Term
    seq: int
    tenure: Term
    support: int
    established: bool
    heartbeat: Span
    lease: Span
    stop_timeout: Span
    echo: Nonce = NO_NONCE
    pause: Notice | None = None


@value
class Ack:
    """Accepted: this heartbeat of this incarnation. (One that has lost its disk may use a term
    again, and what its earlier life was told is no word to it.)"""

    term: Term
    seq: int
    incarnation: int


@value
class Challenge:
    """From leader to leader: prove that you are alive now. Carries my own heartbeat's fields."""

    nonce: Nonce
    heartbeat: Heartbeat


@value
class Release:
    """I stopped acting: my locks up to ``term`` are free. ``successor`` 0: nobody is named."""

    term: Term
    successor: NodeId = 0


@value
class Refute:
    """That earlier incarnation of me is dead, and its job has ended."""

    old: Owner
    term: Term


@value
class Ask:
    """Who leads? A valid leader answers HEARTBEAT, a holder of a direct lock BUSY."""

    nonce: Nonce


@value
class Bye:
    """A follower leaves."""


@value
class Handover:
    """To the leader: give the leadership to ``target`` (0: to whom you choose).

    ``preempts``: the target itself asks, because its priority is higher; else an operator does.
    """

    target: NodeId
    preempts: bool


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
    | Handover
    | Pause
)
