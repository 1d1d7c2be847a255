"""One agent per instance and host: a lock that the kernel frees when its holder dies."""

from __future__ import annotations

import fcntl
import os

from followtheleader.errors import InstanceRunning
from followtheleader.host import files


class InstanceLock:
    """The lock on an instance's runtime directory. Take it with `acquire`."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def acquire(cls, runtime_dir: str) -> InstanceLock:
        """Take the lock, or raise `InstanceRunning` naming the pid that has it.

        Raises `StateError` if the lock file cannot be opened. Children do not inherit the lock.
        """
        path = os.path.join(runtime_dir, "lock")
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise files.unwritable(path, error) from None
        try:
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
        return cls(fd)

    def release(self) -> None:
        """Free the lock. The file stays: removing it would let two holders in."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
