"""The leader target: started after on_leader, stopped and waited for before on_follower.

What is bound to ``ftl-leader@INSTANCE.target`` is part of the leader's job. ``systemctl stop``
returns when all of it has ended; what has not when the job's time is up is sent SIGKILL, as often
as it takes. The commands run one after the other, so that a late start never follows a stop.
"""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.guardian import clock, spawn
from followtheleader.guardian.clock import SECOND
from followtheleader.guardian.job import Register

STUBBORN_AFTER = 5 * SECOND
KILL_EVERY = SECOND // 2
START_PATIENCE = 2 * SECOND

# Scripts of `sh -c`, with the target's name as $1. What is bound to it is asked for when needed.
# It is bound to the agent's unit, so to start it starts that one, too: never in the place of a stop
# that somebody has asked for a moment ago, and that systemd would then take back.
_START = 'exec systemctl start --no-block --job-mode=fail "$1"'
_STOP = 'exec systemctl stop "$1"'
_KILL = (
    'bound=$(systemctl show --property=BoundBy --value "$1"); '
    '[ -z "$bound" ] || exec systemctl kill --signal=KILL $bound'
)


class Target:
    """One instance's target; without a ``name`` there is none, and nothing of it to end.

    ``next_at``: when `step` has something to do without any news.
    """

    def __init__(self, name: str, register: Register, log: Callable[[str], None]) -> None:
        self.next_at: int | None = None
        self._name = name
        self._register = register
        self._log = log
        self._running: dict[int, str] = {}
        self._is_ended = True  # nothing of it is known to be active
        self._start_at: int | None = None  # it could not be started, and is wanted still
        self._stop_at: int | None = None
        self._killed_at: int | None = None
        self._again_at = 0
        self._complained = False

    def start(self) -> None:
        """Have everything that follows the leader started."""
        if self._name:
            self._is_ended = self._complained = False
            self._run(_START)

    def go_on(self, now: int) -> None:
        """Start what could not be started before, while its end has not begun."""
        if self._start_at is not None and now >= self._start_at:
            self._start_at = None
            self._run(_START)

    def end(self, now: int) -> None:
        """Its end begins, if it has not yet."""
        if self._name and self._stop_at is None:
            self._stop_at, self._start_at = now, None
            self._is_ended = self._complained = False
            self._killed_at = None

    def on_exit(self, pid: int, status: int) -> None:
        """A child has ended (exit code)."""
        command = self._running.pop(pid, "")
        if not command:
            return
        self._register.forget(pid)
        if command is _START and status and self._stop_at is None:
            self._start_at = clock.now() + KILL_EVERY
            if self._complained:
                return
            self._complained = True
        if command is _STOP and status == 0:
            self._is_ended = True
        elif command is _STOP:
            self._again_at = clock.now() + KILL_EVERY
        if status and command is not _KILL:
            verb = "started" if command is _START else "stopped"
            self._log(f"{self._name}: could not be {verb}: systemctl ended with status {status}")

    def step(self, now: int, kill_at: int) -> bool:
        """Go on with its end; True when nothing of it is active any more."""
        if self._stop_at is None:
            return self._is_ended
        if self._is_ended and not self._running:
            self._stop_at = self.next_at = None
            return True
        self.next_at = kill_at if now < kill_at else now + KILL_EVERY
        if _START in self._running.values() and now < self._stop_at + START_PATIENCE:
            self.next_at = min(self.next_at, self._stop_at + START_PATIENCE)
            return False
        if _STOP not in self._running.values() and not self._is_ended:
            self._stop_again(now)
        if now >= kill_at:
            self._kill(now, kill_at)
        return False

    def _stop_again(self, now: int) -> None:
        if now >= self._again_at:
            self._again_at = now + KILL_EVERY
            self._run(_STOP)
        self.next_at = min(self.next_at or self._again_at, self._again_at)

    def _kill(self, now: int, kill_at: int) -> None:
        if self._killed_at is None or now >= self._killed_at + KILL_EVERY:
            self._killed_at = now
            if _KILL not in self._running.values():
                self._run(_KILL)
        if now >= kill_at + STUBBORN_AFTER and not self._complained:
            self._complained = True
            stubborn = "what is bound to it does not end of SIGKILL: its end is waited for"
            self._log(f"{self._name}: {stubborn}, nothing is given up before it")

    def _run(self, script: str) -> None:
        argv = (b"/bin/sh", b"-c", script.encode(), b"sh", self._name.encode())
        try:
            pid, _ = spawn.spawn(argv, spawn.clean_environment(), b"", streams=0)
        except spawn.SpawnFailed as fault:
            self._log(str(fault))
            return
        # Never part of the job: it must outlive the job's end.
        self._register.add(pid, "target")
        self._running[pid] = script
