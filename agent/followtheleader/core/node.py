"""What an election is told at its beginning: who this node is and what its disk remembers."""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.core.timing import Timing
from followtheleader.core.types import VERSIONS, Instant, Owner, Span, Term


@dataclass(slots=True)
class Node:
    """This node, in this incarnation.

    An election changes three fields when `Retuned` tells it so: ``priority``, ``preempt_delay`` and
    ``start_patience``. By the rest others know this node, or have promised.

    ``voters`` empty: an open group. Otherwise the names of the voting nodes of a quorum group; a
    node whose ``name`` is not among them follows and never votes. A ``witness`` votes and never
    leads, and so does a node of ``priority`` 0. ``preempt_delay``: follow a leader of lower
    priority for so long, then ask it to hand over; None: never. ``start_patience``: how long to
    wait at the start for members that are remembered. ``versions``: the lowest and the highest
    version of the protocol that is spoken here.
    """

    owner: Owner
    name: str
    priority: int
    timing: Timing
    voters: tuple[str, ...] = ()
    witness: bool = False
    preempt_delay: Span | None = None
    start_patience: Span = 0
    versions: tuple[int, int] = VERSIONS

    @property
    def quorum(self) -> bool:
        """Is this a quorum group?"""
        return bool(self.voters)

    @property
    def needed(self) -> int:
        """M: how many acceptors must support a leader."""
        return len(self.voters) // 2 + 1 if self.voters else 1

    @property
    def votes(self) -> bool:
        """May this node's promise and support be counted (by itself or by others)?"""
        return not self.voters or self.name in self.voters

    @property
    def may_lead(self) -> bool:
        """May this node ever claim?"""
        return self.votes and not self.witness and self.priority > 0


@dataclass(frozen=True, slots=True)
class Memory:
    """What the disk remembered at the start.

    ``floor`` None: there is no floor file (a first start, or a lost disk). ``max_lock``: the
    longest lock ever granted. ``clean_until``: after a clean stop in this very boot, the instant
    at which the last granted lock ends (0: none was live); None: the stop was not clean, or another
    clock ran then. ``writable`` False: nothing
    can be persisted; a quorum node then neither claims nor votes.
    """

    floor: Term | None = None
    max_lock: Span = 0
    clean_until: Instant | None = None
    writable: bool = True
