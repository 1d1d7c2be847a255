"""The public role, who is followed, and which change still owes its hooks.

Promise: every change gets the next number; a follower's change is owed until the shell says that
everything it set off has ended, and nothing claims before that.
"""

from __future__ import annotations

from followtheleader.core.actions import ChangeRole, LeaderChanged
from followtheleader.core.outbox import Outbox
from followtheleader.core.types import Instant, LeaderInfo, Reason, Role, Term


class Roles:
    """What this node is to the world."""

    def __init__(self, out: Outbox, *, job_running: bool) -> None:
        self._out = out
        self._change = 0
        # The change whose job and hooks have not ended yet.
        self._owed: int | None = 0 if job_running else None
        self.role = Role.CANDIDATE
        self.leader: LeaderInfo | None = None

    @property
    def owes(self) -> bool:
        """Does a job or an on_follower of ours still run?"""
        return self._owed is not None

    def settle(self, change: int) -> bool:
        """Job and hooks up to ``change`` have ended; return whether nothing is owed any more."""
        if self._owed is None or change < self._owed:
            return False
        self._owed = None
        return True

    def lead(self, leader: LeaderInfo, deadline: Instant, reason: Reason) -> None:
        """Become the leader, with a lease until ``deadline``."""
        self._become(Role.LEADER, reason, leader.term, leader=leader, deadline=deadline)

    def step_back(self, reason: Reason, term: Term, leader: LeaderInfo | None = None) -> None:
        """Become a follower after having led."""
        self._become(Role.FOLLOWER, reason, term, leader=leader)

    def follow(self, leader: LeaderInfo) -> None:
        """A leader is known and locked."""
        if self.role is not Role.FOLLOWER:
            self._become(Role.FOLLOWER, Reason.FOLLOWING, leader.term, leader=leader)
            return
        before, self.leader = self.leader, leader
        if before is None or (before.owner, before.term, before.direct) != (
            leader.owner,
            leader.term,
            leader.direct,
        ):
            self._out.add(LeaderChanged(leader))

    def lose_leader(self, reason: Reason, term: Term) -> None:
        """The leader is gone: a new election begins."""
        if self.role is Role.FOLLOWER:
            self._become(Role.CANDIDATE, reason, term, reelection=True)

    def _become(
        self,
        role: Role,
        reason: Reason,
        term: Term,
        *,
        leader: LeaderInfo | None = None,
        deadline: Instant = 0,
        reelection: bool = False,
    ) -> None:
        old, self.role = self.role, role
        self.leader = leader
        self._change += 1
        if role is Role.FOLLOWER:
            self._owed = self._change
        self._out.add(
            ChangeRole(self._change, role, old, term, reason, leader, deadline, reelection)
        )
