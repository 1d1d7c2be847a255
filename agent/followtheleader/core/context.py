"""What the parts of an election share, by name."""

from __future__ import annotations

import random
from dataclasses import dataclass

from followtheleader.core.acceptor import Acceptor
from followtheleader.core.agenda import Agenda
from followtheleader.core.disk import Disk
from followtheleader.core.membership import Membership
from followtheleader.core.node import Memory, Node
from followtheleader.core.nonces import Nonces
from followtheleader.core.outbox import Outbox
from followtheleader.core.pause import Pauses
from followtheleader.core.roles import Roles
from followtheleader.core.types import Instant


@dataclass(slots=True)
class Context:
    """The parts, by name."""

    node: Node
    out: Outbox
    nonces: Nonces
    membership: Membership
    acceptor: Acceptor
    roles: Roles
    agenda: Agenda
    disk: Disk
    pauses: Pauses

    @property
    def may_vote(self) -> bool:
        """May this node promise, acknowledge and claim? Not what a crash would make it forget, nor
        while another node has its vote."""
        return self.disk.may_vote and not self.membership.doubles.is_own(self.out.now)

    @classmethod
    def create(
        cls, node: Node, memory: Memory, rng: random.Random, now: Instant, *, job_running: bool
    ) -> Context:
        """Wire the parts of one incarnation together."""
        out = Outbox(now)
        pauses = Pauses()
        nonces = Nonces(rng, node.timing.patience)
        acceptor = Acceptor(node.owner, quorum=node.quorum, max_term=memory.floor or 0)
        acceptor.max_lock = memory.max_lock
        return cls(
            node=node,
            out=out,
            nonces=nonces,
            membership=Membership(node, nonces, pauses),
            acceptor=acceptor,
            roles=Roles(out, job_running=job_running),
            agenda=Agenda(node, memory, rng, out),
            disk=Disk(node, memory, acceptor, out),
            pauses=pauses,
        )
