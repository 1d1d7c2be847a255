"""A model of the guardian: it outlives the agent, runs the job, and holds its deadline.

Modelled are the guardian's promises, not the program: a job starts only before its deadline; it is
asked to end when the agent says so, dies, or lets the deadline pass, and in a quorum group it is
killed at deadline + B of this host's clock at the latest; then on_follower runs; then the agent is
told (`Settled`) or, if it is dead, its last will is sent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from followtheleader.core.actions import ChangeRole, DepositWill
from followtheleader.core.types import Instant, Owner, Role

if TYPE_CHECKING:
    from sim.host import Host


@dataclass(slots=True)
class Job:
    """What runs while the host leads. ``ends_at``: true time, once it was asked to end."""

    deadline: Instant
    ends_at: int | None = None


class Guardian:
    """One host's guardian, during one boot of it."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.job: Job | None = None
        self._hook_until: int | None = None
        self._to_settle: int | None = None
        self._connected: Owner | None = None
        self._owner: Owner | None = None
        self._will: DepositWill | None = None
        self._orphaned = False
        self._newcomer_waits = False

    @property
    def busy(self) -> bool:
        """Does the job or its on_follower still run?"""
        return self.job is not None or self._hook_until is not None

    @property
    def owes_predecessor(self) -> bool:
        """Does the job of an earlier agent still run, or its on_follower?"""
        return self._newcomer_waits

    # -- what the agent says

    def hello(self, owner: Owner) -> bool:
        """A new agent connects; return whether an earlier one's job has not ended yet."""
        if self._connected is not None:
            self.agent_died(self._connected)
        self._connected = owner
        if self.busy:
            self._newcomer_waits = True
            return True
        self._owner, self._orphaned = owner, False
        return False

    def change_role(self, change: ChangeRole) -> None:
        """Run what belongs to the new role, then settle it."""
        if change.role is Role.LEADER:
            self._host.world.invariants.gained(self._host, change)
            if change.deadline > self._host.local():
                self.job = Job(change.deadline)
                self._host.world.invariants.job_started(self._host)
                self._arm()
            self._settle_soon(change.change)
        elif self.busy:
            self._to_settle = change.change
            self._end_job()
        else:
            self._settle_soon(change.change)

    def extend(self, deadline: Instant) -> None:
        """The lease was renewed."""
        if self.job is not None:
            self.job.deadline = max(self.job.deadline, deadline)
            self._arm()

    def deposit(self, owner: Owner, will: DepositWill) -> None:
        """Keep the agent's last will."""
        if not self._newcomer_waits:
            self._owner, self._will = owner, will

    def bye(self) -> None:
        """The agent has said everything itself."""
        self._connected = None
        if not self._newcomer_waits:
            self._will = None

    def agent_died(self, owner: Owner) -> None:
        """Nobody renews any more: end the job, then send the will."""
        if self._connected != owner:
            return
        self._connected = None
        if self._newcomer_waits:
            self._newcomer_waits = False
            self._to_settle = None
            return
        self._to_settle = None
        self._orphaned = True
        if self.busy:
            self._end_job()
        else:
            self._finish()

    # -- time

    def resumed(self) -> None:
        """The host thaws: what should have happened meanwhile happens now, the kill first."""
        self._check()

    def _arm(self) -> None:
        job = self.job
        if job is None:
            return
        host = self._host
        host.world.at(max(host.clock.true(job.deadline), host.world.now), self._check)
        if job.ends_at is not None:
            host.world.at(max(job.ends_at, host.world.now), self._check)
        host.world.at(max(host.clock.true(self._kill_at(job)), host.world.now), self._check)

    def _kill_at(self, job: Job) -> Instant:
        return job.deadline + self._host.spec.timing.stop_timeout

    def _check(self) -> None:
        """Whatever timer fired: look at what is due. Stale timers find nothing."""
        host, job = self._host, self.job
        if host.guardian is not self or host.frozen:
            return
        if job is not None:
            local = host.local()
            if local >= job.deadline and job.ends_at is None:
                host.world.trace(host, "expired")
                self._end_job()
                host.lease_expired()
            if job.ends_at is not None and (
                host.world.now >= job.ends_at or (host.quorum and local >= self._kill_at(job))
            ):
                self._job_ended()
        elif self._hook_until is not None and host.world.now >= self._hook_until:
            self._hook_until = None
            self._finish()

    def _end_job(self) -> None:
        job, host = self.job, self._host
        if job is None or job.ends_at is not None:
            return
        job.ends_at = host.world.now + host.draw_job_end()
        self._arm()

    def _job_ended(self) -> None:
        host = self._host
        self.job = None
        host.world.trace(host, "job-ended")
        self._hook_until = host.world.now + host.draw_hook()
        host.world.at(self._hook_until, self._check)

    def _finish(self) -> None:
        """Everything owed has ended: the agent, a new one or the will says so."""
        host = self._host
        will, self._will = (self._will, None) if self._orphaned else (None, self._will)
        if will is not None and will.recipients and self._owner is not None:
            host.send_will(self._owner, will)
        if self._newcomer_waits:
            self._newcomer_waits = self._orphaned = False
            self._will = None
            host.settled(max(0, self._to_settle or 0))
        elif self._to_settle is not None:
            host.settled(self._to_settle)
        self._to_settle = None

    def _settle_soon(self, change: int) -> None:
        host, agent = self._host, self._host.agent
        host.world.after(
            host.draw_answer(), lambda: host.settled(change) if host.agent is agent else None
        )
