"""The guardian's own directory (RT/guardian, or its unit's), and the lock: it is alone in there.

Promise: what lies there is seen by the next guardian. Should the directory be removed while this
one runs, or something be mounted over it, it is noticed (`Home.is_lost`) and made again as soon as
there is a runtime directory. That one is the agent's to make.
"""

from __future__ import annotations

import fcntl
import os

from followtheleader.errors import StateError
from followtheleader.guardian import files

LOCK = "lock"


class Home:
    """One guardian of an instance at a time: the next one waits for the earlier one's end.

    ``fd`` is the directory, ``held``: the lock is ours. Raise `StateError` if it cannot be had.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        self.held = False
        self.fd, self._lock = _enter(self.place)

    def take(self) -> bool:
        """Try to get the lock; True once it is ours."""
        self.held = self.held or _lock(self._lock)
        return self.held

    def is_lost(self) -> bool:
        """Does the path lead elsewhere by now, or nowhere?"""
        try:
            found = os.stat(os.path.join(self.place, LOCK), follow_symlinks=False)
        except OSError:
            return True
        return not os.path.samestat(found, os.fstat(self._lock))

    def enter_again(self) -> str:
        """Make a lost home again, empty and locked. Return why that cannot be, or nothing."""
        try:
            fd, lock = _enter(self.place)
        except StateError as fault:
            return str(fault)
        if self.held and not _lock(lock):
            os.close(fd)
            os.close(lock)
            return f"{self.place}: was removed, and another guardian has made it again"
        os.close(self.fd)
        os.close(self._lock)
        self.fd, self._lock = fd, lock
        return ""


def _enter(path: str) -> tuple[int, int]:
    """Make and enter the directory (0700, ours), and open its lock. Raise `StateError`."""
    try:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        fd = os.open(path, files.DIRECTORY)
    except OSError as error:
        raise StateError(
            f"{path}: cannot be made by uid {os.geteuid()}: {error.strerror}. Give the runtime "
            f"directory to that user, or name another one with --runtime-dir"
        ) from None
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise StateError(
            f"{path}: belongs to uid {found.st_uid} with mode {found.st_mode & 0o7777:04o}, must "
            f"belong to uid {os.geteuid()} with mode 0700. Remove it or set it right"
        )
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        return fd, os.open(LOCK, flags, 0o600, dir_fd=fd)
    except OSError as error:
        os.close(fd)
        raise StateError(
            f"{path}/{LOCK}: cannot be opened: {error.strerror}. Make the directory writable"
        ) from None


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
