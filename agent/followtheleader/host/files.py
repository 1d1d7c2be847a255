"""Whole-file replacement: a reader sees the old content or the new one, never a mixture.

With ``durable`` a power cut leaves one of the two as well. Failures are `StateError` with the path,
the system's reason and a cure.
"""

from __future__ import annotations

import errno
import os

from followtheleader.errors import StateError

_CURES = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "raise the quota of the agent's user",
    errno.EROFS: "mount it writable, or choose another with --state-dir or --runtime-dir",
    errno.EACCES: "make it writable for this user",
    errno.EPERM: "make it writable for this user",
    errno.ENOENT: "create its directory, or choose another with --runtime-dir or --state-dir",
    errno.EISDIR: "a directory is in the way; remove it",
    errno.ELOOP: "a symbolic link is in the way; remove it",
    errno.EIO: "the disk is failing; replace it",
    errno.EMFILE: "raise `LimitNOFILE=` of the unit, or the limit of this user (ulimit -n)",
    errno.ENFILE: "raise the sysctl fs.file-max, or find who holds so many files open",
    errno.ENOMEM: "free some memory",
}
_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}


def replace(path: str, data: bytes, mode: int = 0o644, durable: bool = False) -> None:
    """Make ``data`` the content of ``path`` by a rename within its directory.

    ``mode`` holds whatever the umask is. Raises `StateError`; the old content then stays.
    """
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}.new")
    try:
        _write(temporary, data, mode, durable)
        os.rename(temporary, path)
        if durable:
            sync_directory(directory)
    except OSError as error:
        unlink(temporary)
        raise unwritable(path, error) from None


def unlink(path: str) -> bool:
    """Remove ``path`` if it can be removed; say whether nothing is left of it."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def sync_directory(path: str) -> None:
    """Make the names in a directory survive a power cut. Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def unwritable(path: str, error: OSError) -> StateError:
    """The message for a path that could not be written: place, reason, who we are, cure."""
    cure = _CURES.get(error.errno or 0, "make it writable for this user")
    text = f"{path}: cannot be written by uid {os.geteuid()}: {error.strerror}; {cure}"
    return StateError(text, passing=may_pass(error))


def may_pass(error: OSError) -> bool:
    """Whether it may work again by itself, or once others have made room."""
    return error.errno in _PASSING


def _write(path: str, data: bytes, mode: int, durable: bool) -> None:
    # Always a file of our own: where others can write it might be a pipe that nobody reads, or what
    # has another name elsewhere.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        fd = os.open(path, flags, mode)
    except FileExistsError:
        os.unlink(path)  # left by one that was killed
        fd = os.open(path, flags, mode)
    try:
        os.fchmod(fd, mode)
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        if durable:
            os.fsync(fd)
    finally:
        os.close(fd)
