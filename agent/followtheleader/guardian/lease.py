"""The lease: until when this host's job may run, and when it must be dead.

Pure: every method is handed the clock. All values are nanoseconds of CLOCK_BOOTTIME.
"""

from __future__ import annotations

from followtheleader.guardian.clock import MS, SECOND

GRACE = 2 * SECOND
# With no stop_timeout others may lead this soon after the deadline: a job found running later than
# this (the host was suspended) has no time left to be asked politely.
LATE_WITHOUT_STOP_TIMEOUT = 250 * MS
# A deadline beyond this is a defect of the sender, and would mean that nobody watches the job.
FARTHEST = 3600 * SECOND


class Lease:
    """The newest deadline that the agent has sent, and the stop_timeout that goes with it."""

    __slots__ = ("deadline", "stop_timeout")

    def __init__(self) -> None:
        self.deadline: int | None = None
        self.stop_timeout = 0

    def renew(self, deadline: int, stop_timeout: int, now: int) -> bool:
        """Take a deadline over; one that is older than ours is ignored. False: an absurd one."""
        if deadline > now + FARTHEST:
            return False
        if self.deadline is None or deadline >= self.deadline:
            self.deadline = deadline
            self.stop_timeout = stop_timeout
        return True

    def holds(self, now: int) -> bool:
        """May this host's leader act at ``now``?"""
        return self.deadline is not None and now < self.deadline

    def kill_at(self, lost_at: int) -> int:
        """When what is left of the job gets SIGKILL, if its end began at ``lost_at``.

        Asked again whenever it matters: a leader that resigns goes on renewing while its job ends.
        """
        if self.stop_timeout > 0:
            polite = lost_at + min(GRACE, self.stop_timeout)
            return (
                polite if self.deadline is None else min(polite, self.deadline + self.stop_timeout)
            )
        if self.deadline is not None and lost_at > self.deadline + LATE_WITHOUT_STOP_TIMEOUT:
            return lost_at
        return lost_at + GRACE
