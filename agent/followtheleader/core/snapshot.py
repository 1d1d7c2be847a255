"""Take a `View` of an election: only reads, and only what another thread may read meanwhile.

The library's users ask from their own threads: members are copied in one go before they are looked
at, for they may join and leave in the loop's thread.
"""

from __future__ import annotations

from followtheleader.core.context import Context
from followtheleader.core.peers import Peer
from followtheleader.core.proposer import Proposer
from followtheleader.core.types import NANOSECONDS, Instant, LeaderInfo, Role, Span
from followtheleader.core.view import MemberView, View

CONNECTED_FOR: Span = 3 * NANOSECONDS
"""A candidate of a quorum group claims more often than this, and whoever is there answers."""


def take_snapshot(context: Context, proposer: Proposer, now: Instant) -> View:
    """Return what the election shows of itself at ``now``."""
    c, node = context, context.node
    lease, leading = proposer.lease, proposer.leading
    lock = c.acceptor.lock(now)
    leader, role = c.roles.leader, c.roles.role
    valid = lease is not None and leading and now < lease.deadline
    if role is Role.LEADER and not valid:
        role = Role.FOLLOWER  # the step that will say so has not come yet
    return View(
        owner=node.owner,
        role=role,
        term=lease.term if lease else leader.term if leader else c.acceptor.max_term,
        token=lease.token if lease and leading else 0,
        leader=_where_it_is(leader, context),
        deadline=lease.deadline if lease and leading else None,
        valid_leader=valid,
        leaving=proposer.leaving is not None,
        owes=c.roles.owes,
        support=lease.support if lease else 0,
        needed=node.needed,
        quarantined=node.quorum and now < c.agenda.quarantine_until,
        max_term=c.acceptor.max_term,
        lock_owner=lock.owner if lock else None,
        lock_until=lock.until if lock else None,
        connected=_connected_voters(context, proposer, now),
        members=tuple(_member(peer, context) for peer in list(c.membership.peers.values())),
        listening=now < c.agenda.listening_until,
        sits_out_until=c.agenda.sit_out_until,
        paused_until=c.pauses.until if c.pauses.is_on(now) else None,
    )


def _where_it_is(leader: LeaderInfo | None, context: Context) -> LeaderInfo | None:
    """A leader that we hear is where we heard it last: hosts get other addresses."""
    if leader is None or not leader.direct:
        return leader
    peer = context.membership.peers.get(leader.owner.id)
    if peer is None or peer.owner != leader.owner:
        return leader  # ourselves, or a later life of it is known
    return leader._replace(address=peer.address)


def _connected_voters(context: Context, proposer: Proposer, now: Instant) -> int:
    """A follower believes its leader's count; others count whom they have heard lately."""
    node = context.node
    if not node.quorum:
        return 0
    lock = context.acceptor.foreign(now)
    if lock is not None and not proposer.leading:
        return min(lock.rank.support + 1, len(node.voters))
    recent = max(2 * node.timing.patience, CONNECTED_FOR)
    names = {
        peer.name
        for peer in list(context.membership.peers.values())
        if peer.name in node.voters
        and peer.compatible
        and not peer.left
        and now - peer.heard_at <= recent
    }
    return len(names | {node.name} if node.votes else names)


def _member(peer: Peer, context: Context) -> MemberView:
    return MemberView(
        id=peer.owner.id,
        owner=peer.owner,
        name=peer.name,
        address=peer.address,
        priority=peer.priority,
        witness=peer.witness,
        voter=peer.name in context.node.voters,
        versions=peer.versions,
        version=peer.version,
        quorum=peer.quorum,
        other_voters=not peer.same_voters,
        doubled=peer.contested,
        other_timing=not peer.same_timing,
        heard_at=None if peer.left else peer.heard_at,
    )
