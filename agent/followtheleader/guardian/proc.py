"""What /proc says about processes, and signals that cannot hit a stranger.

A process is named by (pid, start time): the pair is never used twice within one boot. Everything
here is a snapshot; processes come and go meanwhile, and that is never an error. Being unable to
look is one (`Blind`): no conclusion may be drawn from what was not seen.
"""

from __future__ import annotations

import errno
import os
import signal

MARKER = "FTL_EVENT_ID"

_children_known = os.path.exists(f"/proc/self/task/{os.getpid()}/children")


# No descriptor or no memory for a look: this says nothing about the process.
_BLINDING = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)


class Blind(Exception):
    """/proc could not be looked at; the text says why."""


class Process:
    """One process. ``start`` is in clock ticks since boot."""

    __slots__ = ("pgid", "pid", "ppid", "sid", "start", "threads", "zombie")

    def __init__(self, pid: int, stat: bytes) -> None:
        # The name may hold anything, spaces and parentheses too: fields count from the last ")".
        fields = stat[stat.rindex(b")") + 2 :].split()
        self.pid = pid
        self.ppid, self.pgid, self.sid = int(fields[1]), int(fields[2]), int(fields[3])
        self.threads = int(fields[17])
        self.start = int(fields[19])
        # A first thread that has ended shows as a zombie although others still run.
        self.zombie = fields[0] in (b"Z", b"X") and self.threads <= 1

    @property
    def key(self) -> tuple[int, int]:
        """(pid, start)."""
        return self.pid, self.start


def process(pid: int) -> Process | None:
    """The process ``pid``, or None if there is none."""
    stat = _read(f"/proc/{pid}/stat")
    return Process(pid, stat) if stat else None


def start_of(pid: int) -> int:
    """The start time of ``pid``, 0 if it is gone."""
    found = process(pid)
    return found.start if found else 0


def is_alive(pid: int, start: int) -> bool:
    """Does this very process still run? A zombie does not."""
    found = process(pid)
    return found is not None and found.start == start and not found.zombie


def descendants(root: int) -> list[Process]:
    """Everything that descends from ``root``, parents before their children, zombies included."""
    if not _children_known:
        return _descendants_by_scan([root])
    found: list[Process] = []
    parents = [root]
    while parents:
        pids = [child for parent in parents for child in _children(parent)]
        fresh = [child for child in map(process, pids) if child is not None]
        found += fresh
        parents = [child.pid for child in fresh]
    return found


def children(pid: int) -> list[Process]:
    """What ``pid`` is the parent of, zombies included."""
    if not _children_known:
        return [found for found in everything() if found.ppid == pid]
    return [found for found in map(process, _children(pid)) if found is not None]


def everything() -> list[Process]:
    """Every process that this one may see."""
    pids = [int(name) for name in _listing("/proc") if name.isdigit()]
    return [found for found in map(process, pids) if found is not None]


def _descendants_by_scan(roots: list[int]) -> list[Process]:
    by_parent: dict[int, list[Process]] = {}
    for found in everything():
        by_parent.setdefault(found.ppid, []).append(found)
    order: list[Process] = []
    parents = list(roots)
    while parents:
        fresh = [child for parent in parents for child in by_parent.pop(parent, [])]
        order += fresh
        parents = [child.pid for child in fresh]
    return order


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for thread in _listing(
        f"/proc/{pid}/task"
    ):  # a child is listed under the thread that forked it
        found += map(int, _read(f"/proc/{pid}/task/{thread}/children").split())
    return found


def read_text(path: str) -> str:
    """A file of /proc as text; empty if it cannot be read."""
    return _read(path).decode(errors="replace")


def marker_of(pid: int) -> str | None:
    """The FTL_EVENT_ID in the environment of ``pid``, None if it has none or hides it."""
    wanted = MARKER.encode() + b"="
    for entry in _read(f"/proc/{pid}/environ").split(b"\0"):
        if entry.startswith(wanted):
            return entry[len(wanted) :].decode(errors="replace")
    return None


def environment_of(pid: int) -> dict[str, str]:
    """The environment that ``pid`` was started with; empty if it has none or hides it."""
    entries = _read(f"/proc/{pid}/environ").split(b"\0")
    pairs = (os.fsdecode(entry).partition("=") for entry in entries if entry)
    return {name: value for name, _, value in pairs}


def has_no_children() -> bool:
    """True if this process has no child at all, not even a zombie: the kernel's own word."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return True
    return False


def send_signal(target: Process, number: int) -> bool:
    """Signal exactly this process, never a later one of the same pid. False: not permitted."""
    try:
        handle = os.pidfd_open(target.pid)
    except ProcessLookupError:
        return True
    except OSError as error:
        raise Blind(error.strerror) from None
    try:
        if start_of(target.pid) == target.start:
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    except PermissionError:
        return False
    finally:
        os.close(handle)
    return True


def send_group_signal(pgid: int, number: int) -> None:
    """Signal a process group at one blow, forks under way included. Never our own group."""
    if pgid <= 1 or pgid == os.getpgid(0):
        return
    try:
        os.killpg(pgid, number)
    except (ProcessLookupError, PermissionError):
        pass


def _read(path: str) -> bytes:
    """The content of a file in /proc; empty if the process is gone or hides it."""
    fd = -1
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        parts = []
        while part := os.read(fd, 65536):
            parts.append(part)
        return b"".join(parts)
    except OSError as error:
        tell_blind(error, "/proc")
        return b""
    finally:
        if fd >= 0:
            os.close(fd)


def _listing(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError as error:
        tell_blind(error, "/proc")
        return []


def tell_blind(error: OSError, place: str) -> None:
    """Raise `Blind` if the error is about this process and not about ``place``."""
    if error.errno in _BLINDING:
        raise Blind(f"{place} cannot be looked at: {error.strerror}") from None
