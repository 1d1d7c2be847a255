"""The file of tokens that all hosts share: locked, compared, and written by one at a time.

Promise: between a `TokenFile.lock` that succeeded and `TokenFile.give_back` nobody else has the
lock, on whichever host, as long as what keeps the file keeps its locks; and what `record` has
returned from is on the disk, the file's name included. The file always holds a whole token.

Left to others: how long to wait between two tries, what a token is for, and what runs meanwhile.

The file is shared by hosts, so nothing here trusts one host's memory: not the name (it may have
been replaced while we waited), not an earlier look at the token.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import struct
from contextlib import suppress

from followtheleader.errors import StateError
from followtheleader.host import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

LARGEST = 2**64 - 1
"""Tokens are terms, of 64 bits on the wire."""
DIGITS = len(str(LARGEST))

_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid; all zero is the whole file
_HELD = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)
_NO_SYNC = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES, errno.EPERM)
_ANOTHER, _LEASE, _REPLACED = "another", "lease", "replaced"


class TokenFile:
    """The file at ``path``; not open before the first `lock`.

    `lock`, `newest` and `record` raise `StateError` where the file, its place or its file system is
    at fault.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._fd = -1
        self._before = b""
        self._obstacle = _ANOTHER

    def lock(self) -> bool:
        """Try once to lock the file that has the name now, made if missing; never blocks.

        Not flock: it is another kind of lock, which a node that exports the directory does not
        share with its NFS clients. Not the classic kind of fcntl: that one ends with the process
        that took it, even if its child runs on. This one belongs to the open file, as flock's does.
        """
        if self._fd < 0 and not self._open():
            return False
        try:
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
        except OSError as error:
            if error.errno not in _HELD:
                self._fail(error, locking=True)
            self._obstacle = _ANOTHER
            return False
        if self._has_the_name():
            return True
        # Opened again by the next try: where names never fit, whoever waits must see the time.
        self.close()
        self._obstacle = _REPLACED
        return False

    def peek(self) -> int | None:
        """The newest token without the lock, None if it cannot be had.

        What is just being written might be read half.
        """
        if self._fd < 0:
            return None
        try:
            return _parse(os.pread(self._fd, DIGITS + 2, 0))
        except OSError:
            return None  # CIFS locks also against reading

    def newest(self) -> int:
        """The newest token that it has seen, 0 if none. The lock is ours."""
        try:
            self._before = os.pread(self._fd, DIGITS + 2, 0)
        except OSError as error:
            self._fail(error)
        newest = _parse(self._before)
        if newest is None:
            shown = self._before.decode("latin-1")
            raise StateError(
                f"{self.path}:1: {shown!a} is not one decimal number up to {LARGEST} and a "
                "newline; write the newest token into it (ftl-agent status shows the leader's), "
                "or remove it while nothing runs through it; nothing was run"
            )
        return newest

    def record(self, token: int) -> None:
        """Put ``token`` on the disk after `newest`; if the write fails, what was there stays."""
        # Always of one length, in place: it needs no room that is not there already, and lies in
        # one sector, so that neither a full disk nor a power cut leaves half a number.
        line = f"{token:<{DIGITS}}\n".encode()
        try:
            # Also if it says so already: whoever wrote that may have died before it was on disk.
            if os.pwrite(self._fd, line, 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError as error:
            with suppress(OSError):
                os.pwrite(self._fd, self._before, 0)
                os.ftruncate(self._fd, len(self._before))
            self._fail(error)
        self._sync_directory()
        self._leave_note(token)
        # What we become inherits the lock, and has it even where the keeper is killed.
        os.set_inheritable(self._fd, True)

    def give_back(self) -> None:
        """Unlock it, also for those that were left behind with our descriptor. After `record`."""
        with suppress(OSError):
            os.unlink(self._note)
        with suppress(OSError):
            # Closing would not do: the lock would last as long as any of them.
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK))
        self.close()

    def close(self) -> None:
        """Have it open no longer; the lock ends if nobody has inherited it."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def obstacle(self, waited: float) -> str:
        """Why the last `lock` has failed, in words, after ``waited`` seconds."""
        since = f"for more than {waited:g} s"
        if self._obstacle == _LEASE:
            return (
                f"{self.path}: a file server or its client has a lease of it (a delegation, an "
                f"oplock) and has not given it back {since}; wait with --wait, or see "
                "/proc/locks and end who has it"
            )
        if self._obstacle == _REPLACED:
            return (
                f"{self.path}: another file is in its place again and again, {since}; see who "
                "replaces it, or name a file on a file system whose files keep their numbers "
                "(ls -i)"
            )
        said = self._read_note()
        who = f"{said}, says {self._note}" if said else "who, is not known"
        return (
            f"{self.path}: locked by another fence {since} ({who}); wait for "
            "its command with --wait, or end it"
        )

    # -- below

    def _open(self) -> bool:
        # A link could lead a privileged fence to a file that is none of its business, and a
        # reader elsewhere to another file than ours. Never blocks: it could be a pipe.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        try:
            self._fd = os.open(self.path, flags)
        except FileNotFoundError:
            return self._make(flags)
        except BlockingIOError:
            # Somebody has a lease of it, and has just been asked for it: a file server for its
            # client, once that has as much as read the file.
            self._obstacle = _LEASE
            return False
        except OSError as error:
            self._fail(error)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise StateError(f"{self.path}: is not a regular file; name another")
        return True

    def _make(self, flags: int) -> bool:
        # Apart from opening what is there: in /tmp the kernel lets root do only one of both.
        try:
            # Nobody else's to read: whoever can read it can lock it, and so keep everybody out.
            self._fd = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            self._obstacle = _REPLACED  # another host was faster: the next try opens that one
            return False
        except OSError as error:
            self._fail(error)
        return True

    def _has_the_name(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self.path))
        except FileNotFoundError:
            return False
        except OSError as error:
            self._fail(error)

    def _sync_directory(self) -> None:
        # Always: whoever made the file may have died before its name was on disk. The usual file
        # systems keep both together; some others cannot, and one may not read every directory.
        try:
            files.sync_directory(os.path.dirname(self.path) or ".")
        except OSError as error:
            if error.errno not in _NO_SYNC:
                self._fail(error)

    @property
    def _note(self) -> str:
        return f"{self.path}.holder"

    def _leave_note(self, token: int) -> None:
        """Say who holds it, for those that wait in vain. Nothing depends on it."""
        text = f"{os.getpid()}@{os.uname().nodename} with token {token}\n"
        with suppress(OSError):
            os.unlink(self._note)
        with suppress(OSError):
            fd = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)

    def _read_note(self) -> str:
        with suppress(OSError):
            fd = os.open(self._note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                return os.read(fd, 200).decode("utf-8", "replace").strip()
            finally:
                os.close(fd)
        return ""

    def _fail(self, error: OSError, locking: bool = False) -> NoReturn:
        number = error.errno or 0
        what = f"{os.strerror(number)}; {_cure(number)}"
        if locking and number in _NO_LOCKS:
            what = f"it cannot be locked ({os.strerror(number)}); mount its file system with locks"
        raise StateError(f"{self.path}: {what}; nothing was run") from None


def decimal(text: str) -> int | None:
    """The number, None if that is none or too large. `int` alone takes blanks, signs and more."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        return None
    number = int(text)
    return number if number <= LARGEST else None


def _parse(raw: bytes) -> int | None:
    """The number in the file, 0 in an empty one, None if there is anything else."""
    if not raw:
        return 0
    text = raw.decode("latin-1")
    return decimal(text[:-1].rstrip(" ")) if text[-1] == "\n" else None


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _cure(number: int) -> str:
    match number:
        case errno.ENOENT | errno.ENOTDIR:
            return "its directory is not there: make it, or mount what all nodes share"
        case errno.EISDIR:
            return "name a file in it"
        case errno.ELOOP:
            return "a symbolic link is not followed: name the file itself"
        case errno.EACCES | errno.EPERM:
            return f"uid {os.geteuid()} must be allowed to read and write it, or to make it there"
        case errno.EROFS:
            return "mount its file system for writing"
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "make room for it"
        case _:
            return "see to it, or name another file"
