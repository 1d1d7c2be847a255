"""The lease: until when this host's job may run, and when it must be dead.

Pure: every method is handed the clock. All values are nanoseconds of CLOCK_BOOTTIME.

How long an ending job is asked politely before SIGKILL:

    stop_timeout > 0    that long, and never beyond deadline + stop_timeout
    0s, open group      `OPEN_GRACE`; nothing if the loss was noticed late
    0s, quorum group    nothing: the others' lock ends with the lease
"""

from __future__ import annotations

from followtheleader.guardian.clock import MS, SECOND

# Stands again in config.timeline, for `check`; tests/guardian/test_lease.py holds them together.
OPEN_GRACE = 2 * SECOND
# With no stop_timeout others may lead this soon after the deadline: a job found running later than
# this (the host was suspended) has no time left to be asked politely.
LATE_WITHOUT_STOP_TIMEOUT = 250 * MS
# A deadline beyond this is a defect of the sender, and would mean that nobody watches the job.
FARTHEST = 3600 * SECOND


class Lease:
    """The newest deadline that the agent has sent, and what goes with it.

    ``stop_timeout``: others wait this much longer for the job's end. ``quorum``: they count on it.
    """

    __slots__ = ("deadline", "quorum", "stop_timeout")

    def __init__(
        self, deadline: int | None = None, stop_timeout: int = 0, quorum: bool = False
    ) -> None:
        self.deadline = deadline
        self.stop_timeout = stop_timeout
        self.quorum = quorum

    def renew(self, deadline: int, stop_timeout: int, quorum: bool, now: int) -> bool:
        """Take a deadline over; one that is older than ours is ignored. False: an absurd one."""
        if deadline > now + FARTHEST:
            return False
        if self.deadline is None or deadline >= self.deadline:
            self.deadline = deadline
            self.stop_timeout = stop_timeout
            self.quorum = quorum
        return True

    def holds(self, now: int) -> bool:
        """May this host's leader act at ``now``?"""
        return self.deadline is not None and now < self.deadline

    def kill_at(self, lost_at: int) -> int:
        """When what is left of the job gets SIGKILL, if its end began at ``lost_at``.

        Asked again whenever it matters: a leader that resigns goes on renewing while its job ends.
        """
        if self.stop_timeout > 0:
            polite = lost_at + self.stop_timeout
            return (
                polite if self.deadline is None else min(polite, self.deadline + self.stop_timeout)
            )
        if self.quorum or self._is_late(lost_at):
            return lost_at
        return lost_at + OPEN_GRACE

    def _is_late(self, lost_at: int) -> bool:
        return self.deadline is not None and lost_at > self.deadline + LATE_WITHOUT_STOP_TIMEOUT
