"""What a guardian that was killed has left to its parent, the agent, and to nobody else.

Promise: whatever a guardian that is our child has started, and whatever that has started, is found
here once the guardian is dead, whatever it has done to its environment, session and parents: the
agent is a child subreaper as well. `Estate.members` is empty only when nothing of the job is left.

Of the processes that are or become our children these are not the job's, and are let alone:

    in our own session      what a guardian starts is in a session of its own
    there before the job    of an earlier program in our place, of an on_follower
    of another hook         by the marker in its environment: an on_follower, an on_error
    *company*               children of ours while a guardian lives, which keeps its own; as
                            process 1, whatever else is in the container

Company is looked for once a second, and only where there can be any. What else of it becomes an
orphan within the second before the guardian is killed is taken for the job's: to leave a job
running would be the worse mistake.
"""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress

from followtheleader.guardian import job, proc
from followtheleader.guardian.clock import SECOND

_LOOKS = 8
_PREFIXES_KEPT = 64

Key = tuple[int, int]


class Estate:
    """``adopts``: does what the guardian leaves come to us?"""

    def __init__(self) -> None:
        self.adopts = False
        self._guardian: Key = (0, 0)
        self._prefixes: deque[str] = deque(maxlen=_PREFIXES_KEPT)
        self._own: frozenset[Key] = frozenset()  # not ours to wait for
        self._spared: set[Key] = set()
        self._unclear = False
        self._since = 0  # in clock ticks, as start times are

    def open(self) -> None:
        """Be the reaper from now on, which this process must not have been for others' sake."""
        self._own = frozenset(one.key for one in proc.children(os.getpid()))
        self._spared = {one.key for one in proc.descendants(os.getpid())}
        self.adopts = job.become_subreaper()

    @property
    def has_company(self) -> bool:
        """Can there be children of ours that no guardian has left?"""
        return bool(self._spared) or os.getpid() == 1

    def guard(self, pid: int) -> None:
        """The guardian ``pid`` was started by us."""
        self._guardian = pid, proc.start_of(pid)
        self._prefixes.append(f"{pid}-{self._guardian[1]}-")

    def begin_job(self, now: int) -> None:
        """A guardian is about to start a job: what is there before is not part of it."""
        self._since = now * os.sysconf("SC_CLK_TCK") // SECOND

    def watch(self) -> None:
        """Company is remembered, as long as it can be told apart: while the guardian lives."""
        below = proc.descendants(os.getpid())
        known = {one.pid for one in below}
        others = self._without_guardian(below)
        if os.getpid() == 1:
            others += [one for one in proc.everything() if one.pid not in known and one.pid != 1]
        # Asked last: until here nothing of its own can have come to us.
        if proc.is_alive(*self._guardian):
            self._spared = {key for key in self._spared if proc.start_of(key[0]) == key[1]}
            self._spared.update(one.key for one in others)

    def settle(self) -> None:
        """No job is left: the rest of what a dead guardian has left is company."""
        self._spared.update(one.key for one in proc.descendants(os.getpid()))

    def reap(self) -> None:
        """Collect what has come to us and has ended; a guardian is for its link to collect."""
        for one in proc.children(os.getpid()):
            if one.zombie and one.key != self._guardian and one.key not in self._own:
                with suppress(ChildProcessError):
                    os.waitpid(one.pid, os.WNOHANG)

    def members(self) -> list[proc.Process]:
        """The living processes of the job, parents first. Raise `proc.Blind`."""
        if not self.adopts:
            return []
        for _ in range(_LOOKS):  # what forks and ends can be missed by one look
            self.reap()
            if found := self._look():
                return found
            if proc.has_no_children():
                return []
        if self._unclear or (not self.has_company and not proc.is_alive(*self._guardian)):
            raise proc.Blind("what the guardian has left changes faster than it can be seen")
        return []

    def _look(self) -> list[proc.Process]:
        own = os.getpid()
        inside: set[int] = set()
        unclear: set[int] = set()
        self._unclear = False
        found: list[proc.Process] = []
        for one in self._without_guardian(proc.descendants(own)):
            # What ends tells nothing of itself any more; its children are ours at the next look.
            if one.ppid in unclear or one.zombie:
                unclear.add(one.pid)
                self._unclear = self._unclear or not one.zombie
            elif one.ppid in inside or (one.ppid == own and self._is_the_jobs(one)):
                if not proc.is_alive(*one.key):
                    unclear.add(one.pid)
                    self._unclear = True
                    continue
                inside.add(one.pid)
                found.append(one)
            else:
                self._spared.add(one.key)
        return found

    def _is_the_jobs(self, top: proc.Process) -> bool:
        # A start time is rounded down: only a whole tick tells before from after.
        if top.key in self._spared or top.sid == os.getsid(0) or top.start < self._since:
            return False
        said = proc.environment_of(top.pid)
        of_ours = said.get(proc.MARKER, "").startswith(tuple(self._prefixes) or ("-",))
        return not of_ours or said.get("FTL_EVENT") == "leader"

    def _without_guardian(self, below: list[proc.Process]) -> list[proc.Process]:
        guarded: set[int] = set()
        others = []
        for one in below:
            if one.key == self._guardian or one.ppid in guarded:
                guarded.add(one.pid)
            else:
                others.append(one)
        return others
