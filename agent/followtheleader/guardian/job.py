"""A family of processes, and its end: nothing that a hook has started survives unnoticed.

The guardian is a child subreaper: whatever descends from a hook stays the guardian's descendant,
also after a double fork and setsid. The *job* is everything that the on_leader of a tenure has
started and that is still alive, processes that a finished on_leader left running included.

A child of the guardian is told apart by, in this order: whether it was there before the family's
first hook; the FTL_EVENT_ID in its environment; its session. A process that hides all three counts
as part of the job: to leave it running would be the worse mistake. Descendants follow their parent.

Where the guardian cannot be a subreaper, and for what an earlier guardian left, the marker is
looked for in all of /proc instead.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from signal import SIGCONT, SIGKILL, SIGTERM

from followtheleader.guardian import proc
from followtheleader.guardian.clock import MS, SECOND

PR_SET_CHILD_SUBREAPER = 36

_SESSIONS_KEPT = 512
_STUBBORN_AFTER = 5 * SECOND
_STUBBORN_REPEAT = 60 * SECOND

Members = Callable[[], list[proc.Process]]


def become_subreaper() -> bool:
    """Adopt the orphans among our descendants. False where that cannot be had."""
    try:
        import ctypes

        libc = ctypes.CDLL(None)
        return bool(libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0)
    except (ImportError, OSError, AttributeError):
        return False


class Register:
    """Which session belongs to which event: what tells processes without a marker apart."""

    def __init__(self, prefix: str, adopts: bool) -> None:
        self.prefix = prefix
        self.adopts = adopts
        self._sessions: dict[int, str] = {}

    def add(self, sid: int, event_id: str) -> None:
        """The session ``sid`` was opened for a hook of the event."""
        self._sessions[sid] = event_id
        if len(self._sessions) > _SESSIONS_KEPT:
            del self._sessions[next(iter(self._sessions))]

    def forget(self, sid: int) -> None:
        """That session has ended: another may get its number."""
        self._sessions.pop(sid, None)

    def owner_of(self, found: proc.Process) -> str | None:
        """The event that the process belongs to, None if nothing tells."""
        marker = proc.marker_of(found.pid)
        if marker is not None and marker.startswith(self.prefix):
            return marker
        return self._sessions.get(found.sid)


class Family:
    """What the hooks of one event have started and is still alive.

    ``before``: keys of the processes that were there first, and are not of the family.
    ``takes_unknown``: do processes that nothing tells apart belong to it?
    """

    def __init__(self, event_id: str, register: Register, takes_unknown: bool) -> None:
        self._event_id = event_id
        self._register = register
        self._takes_unknown = takes_unknown
        self._before = {found.key for found in proc.descendants(os.getpid())}

    def members(self) -> list[proc.Process]:
        """The living members, parents first; looked for again and again until it is certain."""
        for _ in range(2):  # an orphan on its way to us can be missed once
            if found := self._look():
                return found
            if self._register.adopts and proc.has_no_children():
                return []
        return []

    def _look(self) -> list[proc.Process]:
        guardian = os.getpid()
        inside: set[int] = set()
        found: list[proc.Process] = []
        for one in proc.descendants(guardian):
            if one.key in self._before or one.zombie:
                continue
            if one.ppid in inside or (one.ppid == guardian and self._claims(one)):
                inside.add(one.pid)
                found.append(one)
        return found if self._register.adopts else found + self._marked(inside)

    def _claims(self, top: proc.Process) -> bool:
        owner = self._register.owner_of(top)
        return self._takes_unknown if owner is None else owner == self._event_id

    def _marked(self, inside: set[int]) -> list[proc.Process]:
        others = (one for one in proc.everything() if one.pid not in inside and not one.zombie)
        return [one for one in others if proc.marker_of(one.pid) == self._event_id]


class Remains:
    """What an earlier guardian's job has left: recorded processes, those that ``is_marked(pid)``
    recognizes, and the sessions and children of them all."""

    def __init__(
        self, recorded: Iterable[tuple[int, int]], is_marked: Callable[[int], bool]
    ) -> None:
        self._recorded = set(recorded)
        self._is_marked = is_marked

    def members(self) -> list[proc.Process]:
        """The living members; what is found once is remembered."""
        ours = _ancestors()
        alive = [one for one in proc.everything() if not one.zombie and one.pid not in ours]
        inside = {one.pid for one in alive if self._is_known(one)}
        sessions = {one.sid for one in alive if one.pid in inside and one.sid == one.pid}
        grown = True
        while grown:
            fresh = {
                one.pid
                for one in alive
                if one.pid not in inside and (one.ppid in inside or one.sid in sessions)
            }
            inside |= fresh
            grown = bool(fresh)
        found = [one for one in alive if one.pid in inside]
        self._recorded.update(one.key for one in found)
        return found

    def _is_known(self, one: proc.Process) -> bool:
        return one.key in self._recorded or self._is_marked(one.pid)


def _ancestors() -> set[int]:
    """This process and those above it: never part of what it ends."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        above = proc.process(pid)
        pid = above.ppid if above else 0
    return found


class Ending:
    """The end of a family: SIGTERM to all of it, a time of grace, then SIGKILL until none is left.

    SIGTERM goes once to everything that is there, and to orphans that are found later.

    ``step`` is called whenever a child has ended and at ``next_at``. ``stubborn`` holds a sentence
    for the operator while something does not die.
    """

    def __init__(self, members: Members, began_at: int) -> None:
        self.began_at = began_at
        self.next_at = began_at
        self.stubborn = ""
        self._members = members
        self._asked: set[tuple[int, int]] = set()
        self._killing_since: int | None = None
        self._complain_at = 0

    def step(self, now: int, kill_at: int) -> bool:
        """Do what is due at ``now``; True when no process of the family is left."""
        self.stubborn = ""
        try:
            return self._step(now, kill_at)
        except proc.Blind as fault:
            # What cannot be seen has not ended.
            self.next_at = now + 10 * MS
            self._complain(now, str(fault))
            return False

    def _step(self, now: int, kill_at: int) -> bool:
        alive = self._members()
        if not alive:
            self.next_at = now + SECOND  # asked once more only where something else still ends
            return True
        if now < kill_at:
            self._ask(alive)
            self.next_at = kill_at
        else:
            self._kill(alive, now)
        return False

    def _ask(self, alive: list[proc.Process]) -> None:
        fresh = [one for one in alive if not self._is_asked(one, alive)]
        first = not self._asked
        self._asked.update(one.key for one in fresh)
        if first:
            for pgid in {one.pgid for one in fresh}:
                proc.send_group_signal(pgid, SIGTERM)
                proc.send_group_signal(pgid, SIGCONT)  # a stopped process must hear it too
            return
        for one in fresh:
            proc.send_signal(one, SIGTERM)

    def _is_asked(self, one: proc.Process, alive: list[proc.Process]) -> bool:
        """Has it, or a living ancestor, been asked? What an ending process starts is its way to
        end, such as a command that stops a server."""
        by_pid = {other.pid: other for other in alive}
        above: proc.Process | None = one
        for _ in alive:
            if above is None or above.key in self._asked:
                break
            above = by_pid.get(above.ppid)
        return above is not None and above.key in self._asked

    def _kill(self, alive: list[proc.Process], now: int) -> None:
        for pgid in {one.pgid for one in alive}:
            proc.send_group_signal(pgid, SIGKILL)
        refused = [one for one in alive if not proc.send_signal(one, SIGKILL)]
        if self._killing_since is None:
            self._killing_since = now
            self._complain_at = now if refused else now + _STUBBORN_AFTER
        took = now - self._killing_since
        self.next_at = now + (MS if took < 100 * MS else 10 * MS if took < SECOND else 500 * MS)
        self._complain(now, _complaint(alive, refused))

    def _complain(self, now: int, text: str) -> None:
        if now >= self._complain_at:
            self._complain_at = now + _STUBBORN_REPEAT
            self.stubborn = text


def _complaint(alive: list[proc.Process], refused: list[proc.Process]) -> str:
    pids = ", ".join(str(one.pid) for one in (refused or alive)[:8])
    cause = "may not be signalled by this user" if refused else "do not die of SIGKILL"
    return f"processes {pids} {cause}: their end is waited for, nothing is given up before it"


class Job:
    """The leader's job: a family, and its end once that has begun."""

    def __init__(self, family: Family | Remains) -> None:
        self.members = family.members
        self.ending: Ending | None = None

    def end(self, now: int) -> None:
        """Its end begins, if it has not yet."""
        if self.ending is None:
            self.ending = Ending(self.members, now)
