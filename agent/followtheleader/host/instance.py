"""One agent per instance and host: a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os

from followtheleader.errors import InstanceRunning, StateError
from followtheleader.host import files


class InstanceLock:
    """The lock on an instance's directories. Take it with `acquire`."""

    def __init__(self) -> None:
        self._fds: dict[str, int] = {}

    @classmethod
    def acquire(cls, *directories: str) -> InstanceLock:
        """Take the lock of each directory, or raise `InstanceRunning` naming the pid that has it.

        The runtime directory alone would not do: it can be removed, and two agents on one state
        directory would be one voter with two votes.

        Raises `StateError` if the lock file cannot be opened. Children do not inherit the lock.
        """
        lock = cls()
        try:
            for directory in dict.fromkeys(directories):
                path = os.path.join(directory, "lock")
                lock._fds[path] = _take(path)
        except (InstanceRunning, StateError):
            lock.release()
            raise
        return lock

    def release(self) -> None:
        """Free the locks. The files stay: removing one would let two holders in."""
        while self._fds:
            os.close(self._fds.popitem()[1])

    def missing(self) -> list[str]:
        """The lock files that somebody has removed or replaced: another agent would get them."""
        return [path for path, fd in self._fds.items() if not _leads_to(path, fd)]

    def take_again(self) -> None:
        """Make them again and take as many as can be. Raise `InstanceRunning` if another agent has
        one of them, else `StateError` for the first that cannot be made."""
        fault: StateError | None = None
        for path in self.missing():
            try:
                fresh = _take(path)
            except StateError as error:
                fault = fault or error
                continue
            os.close(self._fds[path])
            self._fds[path] = fresh
        if fault is not None:
            raise fault


def _leads_to(path: str, fd: int) -> bool:
    try:
        return os.path.samestat(os.lstat(path), os.fstat(fd))
    except OSError:
        return False


def _take(path: str) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise files.unwritable(path, error) from None
    try:
        # Whoever can read it can lock it, and the next agent would not start. (It was 0644 once.)
        os.fchmod(fd, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError:
        holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        cure = "stop that one first, or give this one another instance name"
        raise InstanceRunning(f"{path}: held by the agent with pid {holder}; {cure}") from None
    except OSError as error:
        os.close(fd)
        raise files.unwritable(path, error) from None
    return fd
