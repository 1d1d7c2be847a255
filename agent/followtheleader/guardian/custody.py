"""The leader's job in the guardian's keeping: begun, written down, ended.

Promise: before a job begins it is on record that an on_follower is owed for it; once its end has
begun, SIGKILL comes when the lease says (`lease.kill_at`), and ``job`` is None only when nothing of
it is left. The record is kept fresh, so that the next guardian neither loses the job nor grants it
more time than the others wait.
"""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.guardian import clock, job, proc
from followtheleader.guardian.clock import MS, SECOND
from followtheleader.guardian.lease import Lease
from followtheleader.guardian.orphans import Orphans
from followtheleader.guardian.queue import Item
from followtheleader.guardian.record import Record
from followtheleader.guardian.target import Target

# How often the job's processes are written down: while they change, and at last while they do not.
# A large job is looked at less often: half of a hundredth of one processor is enough for it.
CENSUS_FIRST = 250 * MS
CENSUS_LAST = SECOND
CENSUS_SHARE = 200
LEASE_INTERVAL = 250 * MS
SAVE_AGAIN = 5 * SECOND


class Custody:
    """``lease``: what the agent has granted. ``job``: what runs of it or must end, None if nothing.
    ``agent``: who grants it (pid, start). ``log`` is for the operator, ``complain`` for faults that
    may come again and again. The leader target is part of the job."""

    def __init__(
        self,
        record: Record,
        register: job.Register,
        orphans: Orphans,
        target: Target,
        log: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        self.agent = (0, 0)
        self.lease = Lease()
        self.job: job.Job | None = None
        self._record = record
        self._register = register
        self._orphans = orphans
        self._target = target
        self._log = log
        self._complain = complain
        # The (agent, change) whose on_leader ran when an earlier guardian died.
        self._broken: tuple[tuple[int, int], int] | None = None
        # Of a job that an earlier guardian has left; while an agent grants one, that one counts.
        self._old_lease: Lease | None = None
        self._census_at = 0
        self._census_rest = CENSUS_FIRST
        self._save_at = 0
        self._save_soon = False

    @property
    def is_ending(self) -> bool:
        """Has the job's end begun, and is not over?"""
        return self.job is not None and self.job.ending is not None

    @property
    def next_at(self) -> int | None:
        """When `step` has something to do without any news."""
        if self.job is None or self.job.ending is None:
            return None
        due = (self.job.ending.next_at, self._target.next_at)
        return min(at for at in due if at is not None)

    @property
    def last(self) -> str:
        """What was applied last here: leader, follower or none."""
        return self._record.last

    def inherit(self, now: int) -> Item | None:
        """Begin to end what an earlier guardian has left; the leader event of that job, if an
        on_follower is owed for it. Raise `proc.Blind`: nothing is known yet, ask again."""
        known = self._record
        fault = known.load()
        self._broken = (known.agent, known.change) if known.busy else None
        if known.damaged:
            # Nothing tells how long the others wait for it.
            known.facts, known.owed = self._orphans.facts(), True
            self._old_lease = Lease(0, 0, quorum=True)
            self.job = job.Job(job.Remains((), self._orphans.has))
        elif known.owed:
            self._old_lease = Lease(known.deadline or None, known.stop_timeout, known.quorum)
            self.job = job.Job(
                job.Remains(known.job, lambda pid: proc.marker_of(pid) == known.event_id)
            )
        if fault:
            self._log(fault)
        if self.job is None:
            return None
        self.end(now)
        return Item("leader", known.change, known.facts, "")

    def was_broken_by(self, change: int) -> bool:
        """Did an earlier guardian of this agent die while the on_leader of ``change`` ran?"""
        return self._broken == (self.agent, change)

    def may_start(self, item: Item) -> str:
        """Why no command of ``item`` may start now, or nothing."""
        if item.event == "leader" and not self.lease.holds(clock.now()):
            return "not started: the lease has run out"
        return ""

    def begin(self, item: Item) -> str:
        """The on_leader of ``item`` is about to start. Return why it must not, or nothing."""
        known, lease = self._record, self.lease
        known.last, known.owed, known.change = "leader", True, item.change
        known.event_id, known.facts = item.event_id, item.facts
        known.deadline, known.stop_timeout = lease.deadline or 0, lease.stop_timeout
        known.quorum = lease.quorum
        known.agent, known.busy = self.agent, True
        if fault := known.save():
            known.busy = False
            return fault
        try:
            if self.job is None:
                self.job = job.Job(job.Family(item.event_id, self._register, takes_unknown=True))
        except proc.Blind as error:
            return str(error)
        return ""

    def end(self, now: int) -> None:
        """The job's end begins."""
        if self.job is not None:
            self.job.end(now)
            self._target.end(now)

    def lead(self) -> None:
        """The on_leader has ended well: what follows the leader is started, unless all of it is
        about to end."""
        if self.job is not None and self.job.ending is None:
            self._target.start()

    def on_exit(self, pid: int, status: int) -> None:
        """A child has ended (exit code)."""
        self._target.on_exit(pid, status)

    def step(self, now: int) -> None:
        """Go on with the job's end, if it has begun."""
        ending = self.job.ending if self.job is not None else None
        if ending is None:
            self._target.go_on(now)
            return
        granted = self.lease.deadline is not None or self._old_lease is None
        lease = self.lease if granted else self._old_lease
        if lease is None:
            return
        kill_at = lease.kill_at(ending.began_at)
        # Both are asked at once, and both must have ended.
        if self._target.step(now, kill_at) & ending.step(now, kill_at):
            self.job = self._old_lease = None
        elif ending.stubborn:
            self._log(ending.stubborn)

    def leader_ended(self) -> None:
        """The on_leader has ended; its job may go on."""
        self._record.busy = False
        self._save_soon = True

    def write_again(self) -> None:
        """What was on record is lost."""
        self._record.write_again()
        self._save_soon = True
        self._save_at = 0

    def follower_ended(self) -> None:
        """The on_follower that was owed has ended."""
        known = self._record
        known.last, known.owed, known.job, known.busy = "follower", False, [], False
        if fault := known.save():
            self._complain(fault)

    def look_again(self) -> None:
        """The job's processes may have changed."""
        self._census_at = 0

    def note(self, now: int) -> None:
        """Write down what the next guardian must know: the job's processes, and its lease."""
        known, lease = self._record, self.lease
        if not known.owed or now < self._save_at:
            return
        changed = self._census(now) or self._save_soon
        if lease.deadline is not None and lease.deadline >= known.deadline + LEASE_INTERVAL:
            known.deadline, known.stop_timeout = lease.deadline, lease.stop_timeout
            known.quorum = lease.quorum
            changed = True
        if not changed:
            return
        fault = known.save()
        self._save_soon = bool(fault)
        if fault:
            self._save_at = now + SAVE_AGAIN
            self._complain(fault)

    def _census(self, now: int) -> bool:
        if self.job is None or self.job.ending is not None or now < self._census_at:
            return False
        began, before = clock.now(), self._record.job
        self._census_at = now + self._census_rest
        try:
            self._record.job = [one.key for one in self.job.members()]
        except proc.Blind:
            return False  # the marker still leads the next guardian to most of it
        same = self._record.job == before
        self._census_rest = min(2 * self._census_rest, CENSUS_LAST) if same else CENSUS_FIRST
        took = clock.now() - began
        self._census_at = now + max(self._census_rest, CENSUS_SHARE * took)
        return True
