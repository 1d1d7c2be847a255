"""Who leads next, if this leader ends: named in its RELEASE, and in the last will.

Promise: whoever holds the will can free exactly the locks that the present tenure holds. It is
withdrawn when leadership is given up; after a lapse not before the job has ended.
"""

from __future__ import annotations

from followtheleader.core.actions import DepositWill
from followtheleader.core.context import Context
from followtheleader.core.lease import Lease
from followtheleader.core.messages import Release
from followtheleader.core.peers import Peer
from followtheleader.core.types import NodeId, Term

WILL_RECIPIENTS = 64


def can_succeed(c: Context, lease: Lease, peer: Peer) -> bool:
    """Could ``peer`` claim at once? It hears us, and it may lead."""
    acked = lease.acked.get(peer.owner.id)
    able = peer.priority > 0 and not peer.witness and peer.compatible and not peer.left
    votes = not c.node.quorum or peer.name in c.node.voters
    return able and votes and acked is not None and c.out.now - acked <= c.node.timing.patience


def choose_successor(
    c: Context, lease: Lease, wanted: NodeId = 0, *, asked: bool = False
) -> NodeId:
    """Return the member that should claim at once: ``wanted`` if it can, else the best (or 0).

    In a pause this node may lead again, and nobody else, unless an operator has ``asked``.
    """
    if c.pauses.is_on(c.out.now) and c.node.may_lead and not asked:
        return 0
    heirs = [p for p in c.membership.members(c.out.now) if can_succeed(c, lease, p)]
    if any(peer.owner.id == wanted for peer in heirs):
        return wanted
    best = max(heirs, key=lambda peer: (peer.priority, peer.owner.id), default=None)
    return best.owner.id if best is not None else 0


class Will:
    """What the guardian sends if we die: a RELEASE to those who may hold our locks."""

    def __init__(self, context: Context) -> None:
        self._c = context
        self.deposited: DepositWill | None = None

    def is_of(self, term: Term) -> bool:
        """Would it free the locks of this term?"""
        return self.deposited is not None and self.deposited.release.term == term

    def write(self, lease: Lease) -> None:
        """Deposit it while leading under ``lease``, if anything in it has changed."""
        c = self._c
        release = Release(lease.term, choose_successor(c, lease))
        members = [(p.owner.id, p.address, p.version) for p in self._recipients(release)]
        will = DepositWill(release, tuple(members[:WILL_RECIPIENTS]))
        if will != self.deposited:
            self.deposited = will
            c.out.add(will)

    def _recipients(self, release: Release) -> list[Peer]:
        """Who has to hear it first, for there may be more than a will can name: the successor, the
        voters; then the others, in the order in which they joined."""
        members = list(self._c.membership.members(self._c.out.now))
        if len(members) > WILL_RECIPIENTS:
            voters = self._c.node.voters
            members.sort(key=lambda p: (p.owner.id != release.successor, p.name not in voters))
        return members

    def withdraw(self) -> None:
        """There is nothing left that it could free."""
        if self.deposited is not None:
            self._c.out.add(DepositWill(self.deposited.release, ()))
            self.deposited = None
