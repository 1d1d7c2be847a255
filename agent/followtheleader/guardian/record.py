"""The durable record: what the next guardian must know if this one is killed.

Written before a leader's hook starts and after an on_follower has ended, so that at every instant
it tells whether an on_follower is owed. It survives the process, not the power: after a power cut
the job is gone anyway.
"""

from __future__ import annotations

import errno
import json
import os

from followtheleader.errors import StateError
from followtheleader.guardian import files, proc
from followtheleader.guardian.home import Home

FILE = "record.json"
VERSION = 1


class Record:
    """What was applied last, and what is owed.

    ``last``: leader, follower or none. ``owed``: a leader's hook has started and no on_follower has
    ended since. ``event_id``: the marker of that job; ``job``: its known processes (pid, start).
    ``deadline`` (ns, BOOTTIME; 0 if unknown), ``stop_timeout`` (ns), ``quorum``: its lease.
    ``agent`` (pid, start): who told of it; ``busy``: its on_leader runs, or did so until the
    guardian that wrote this was gone.
    ``damaged``: what an earlier guardian wrote cannot be known; anything may be owed.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._place = os.path.join(home.place, FILE)
        self._written = b""
        self._boot = proc.read_text("/proc/sys/kernel/random/boot_id").strip()
        self.last = "none"
        self.owed = False
        self.change = 0
        self.event_id = ""
        self.facts: dict[str, object] = {}
        self.job: list[tuple[int, int]] = []
        self.deadline = 0
        self.stop_timeout = 0
        self.quorum = False
        self.agent = (0, 0)
        self.busy = False
        self.damaged = False

    def write_again(self) -> None:
        """What was written is lost: the next `save` writes whether or not it has changed."""
        self._written = b""

    def save(self) -> str:
        """Write it if it has changed. Return what is wrong, for the operator, or nothing."""
        data = json.dumps(
            {
                "version": VERSION,
                "boot": self._boot,
                "last": self.last,
                "owed": self.owed,
                "change": self.change,
                "event_id": self.event_id,
                "facts": self.facts,
                "job": self.job,
                "deadline": self.deadline,
                "stop_timeout": self.stop_timeout,
                "quorum": self.quorum,
                "agent": self.agent,
                "busy": self.busy,
            }
        ).encode()
        if data != self._written:
            try:
                files.write_atomic(self._home.fd, FILE, data)
            except OSError as error:
                cure = (
                    "Its directory is gone, and is made again by the agent"
                    if error.errno == errno.ENOENT
                    else "Make room for it, and let it be written"
                )
                return f"{self._place}: cannot be written: {error.strerror}. {cure}"
            self._written = data
        return ""

    def load(self) -> str:
        """Take over what the earlier guardian wrote. Return what is wrong with it, or nothing.

        Raise `proc.Blind` if it cannot be read for want of a descriptor: this says nothing of it.
        """
        try:
            data = files.read_small(self._home.fd, FILE)
            if data is None:
                return ""
            self._take(json.loads(data))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            if isinstance(error, OSError):
                proc.tell_blind(error, self._place)
            self.damaged = True
            return (
                f"{self._place} makes no sense ({error!r}): what an on_leader of this instance has "
                "left running is looked for and ended, and on_follower is run"
            )
        return ""

    def _take(self, saved: dict[str, object]) -> None:
        last, change, event_id, facts = (saved[k] for k in ("last", "change", "event_id", "facts"))
        if last not in ("leader", "follower", "none") or not isinstance(change, int):
            raise ValueError(f"last {last!r}, change {change!r}")
        if not isinstance(facts, dict) or not isinstance(event_id, str):
            raise ValueError("facts or event_id")
        owed, quorum = saved["owed"], saved["quorum"]
        if not isinstance(owed, bool) or not isinstance(quorum, bool):
            raise ValueError(f"owed {owed!r}, quorum {quorum!r}")
        ((agent_pid, agent_start),) = _keys([saved.get("agent", (0, 0))])
        job, deadline, stop_timeout = (
            _keys(saved["job"]),
            int(str(saved["deadline"])),
            int(str(saved["stop_timeout"])),
        )
        # After a boot the same pids are other processes, and the clock has begun anew.
        same_boot = saved["boot"] == self._boot
        self.job, self.deadline = (job, deadline) if same_boot else ([], 0)
        self.stop_timeout, self.quorum, self.owed = stop_timeout, quorum, owed
        self.agent, self.busy = (agent_pid, agent_start), saved.get("busy") is True and same_boot
        self.last, self.change, self.event_id, self.facts = str(last), change, event_id, facts


def _keys(value: object) -> list[tuple[int, int]]:
    if not isinstance(value, list):
        raise ValueError("processes are not a list")
    return [(int(pid), int(start)) for pid, start in value]


def identity(pid: int) -> tuple[int, int]:
    """(pid, start time) of a process; start 0 if it is gone."""
    return pid, proc.start_of(pid)


def own_prefix() -> str:
    """What all event ids of this guardian begin with. Raise `StateError` without /proc."""
    pid, start = identity(os.getpid())
    if not start:
        raise StateError("/proc is not mounted: the guardian finds processes there. Mount it")
    return f"{pid}-{start}-"
