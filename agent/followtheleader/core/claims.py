"""A claim, and a tenure that ends on purpose: the states between following and leading."""

from __future__ import annotations

from dataclasses import dataclass, field

from followtheleader.core.types import Instant, NodeId, Reason, Span, Term


@dataclass(slots=True)
class Claim:
    """PREPARE is out. ``until``: when it must have led somewhere; ``repeat_at``: ask again;
    ``decide_at``: when to see whether our own promise is enough.

    ``electorate``: how many others supported the leader before; if as many have promised, nobody
    who is alive is missing.
    """

    term: Term
    started_at: Instant
    until: Instant
    repeat_at: Instant
    electorate: int | None
    decide_at: Instant | None
    promised: dict[NodeId, None] = field(default_factory=dict)


@dataclass(slots=True)
class Leaving:
    """The job is ending while the lease is still renewed; then leadership is given up."""

    reason: Reason
    sit_out: Span
    successor: NodeId
