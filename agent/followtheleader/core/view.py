"""What the election shows of itself: a snapshot for ``state.json``, status and the simulator."""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.core.peers import KEEPALIVE
from followtheleader.core.types import (
    NANOSECONDS,
    Address,
    Instant,
    LeaderInfo,
    NodeId,
    Owner,
    Role,
    Span,
    Term,
)

SEEN_FOR: Span = KEEPALIVE + 5 * NANOSECONDS
"""Heard within this time: shown as there. Longer, and it has not answered a greeting."""


@dataclass(frozen=True, slots=True)
class MemberView:
    """Another member. ``heard_at`` None: it said goodbye.

    ``versions``: the lowest and the highest that it speaks; ``version``: the one that is spoken
    with it, `NO_VERSION` if there is none in common. ``quorum``: its group has voters;
    ``other_voters``: they are not ours, so that it is neither followed nor counted; ``doubled``:
    nor is it because two live nodes are this voter. ``other_timing``: its heartbeats, or its
    `stop_timeout`, are not as ours.
    """

    id: NodeId
    owner: Owner
    name: str
    address: Address
    priority: int
    witness: bool
    voter: bool
    versions: tuple[int, int]
    version: int
    quorum: bool
    other_voters: bool
    doubled: bool
    other_timing: bool
    heard_at: Instant | None

    def is_there(self, now: Instant) -> bool:
        """Has it said anything within the time in which members greet each other?"""
        return self.heard_at is not None and now - self.heard_at <= SEEN_FOR


@dataclass(frozen=True, slots=True)
class View:
    """The election at one instant.

    ``deadline``: the lease's end while leading, else None. ``valid_leader``: this node leads and
    its lease has not run out; ``leaving``: it still renews but its job is ending (publicly a
    follower). ``owes``: a job or an on_follower of ours still runs. ``support``: other members that
    acknowledged within A; ``needed``: M. ``lock_owner``, ``lock_until``: what the acceptor holds.
    ``connected``: voters, this one included, that are known to be there now (quorum groups).
    ``paused_until``: the roles stay until then; None: the group is not paused.
    ``listening``: this node has just begun, and does not know yet what the others know.
    ``sits_out_until``: it does not claim before; in the past if nothing keeps it from that.
    """

    owner: Owner
    role: Role
    term: Term
    token: Term
    leader: LeaderInfo | None
    deadline: Instant | None
    valid_leader: bool
    leaving: bool
    owes: bool
    support: int
    needed: int
    quarantined: bool
    max_term: Term
    lock_owner: Owner | None
    lock_until: Instant | None
    connected: int
    members: tuple[MemberView, ...]
    paused_until: Instant | None
    listening: bool
    sits_out_until: Instant
