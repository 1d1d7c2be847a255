"""The unit's door: the socket on which agents come, and who of them is let in.

Let in is a process of the agent's own unit, by what the kernel says of it (SO_PEERCRED and its
control group); the same user is not enough. Whoever else comes is sent away, with a line of log.

A connection can wait here for longer than who made it lives, and a later process of the unit may
have got that number. So who came must still live: known by the handle that the kernel keeps of it
(SO_PEERPIDFD, Linux 6.5). An older kernel has only the number.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys

from followtheleader.guardian import proc
from followtheleader.guardian.post import Post

FIRST_FD = 3
_CREDENTIALS = struct.Struct("=iII")
_SO_PEERPIDFD = 77


class NoDoor(Exception):
    """There is no socket to take agents from; the text says what is missing."""


class Door:
    """The listening socket that systemd has handed over. Raise `NoDoor`."""

    def __init__(self, post: Post) -> None:
        count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
        if count != "1" or pid != str(os.getpid()):
            raise NoDoor("started without its socket: start ftl-guardian@INSTANCE.socket instead")
        self._post = post
        self._socket = socket.socket(fileno=FIRST_FD)
        os.set_inheritable(FIRST_FD, False)
        self._socket.setblocking(False)

    def enter(self, patience_ms: int) -> tuple[int, int] | str | None:
        """Return the connection and the pid of the next agent that may come in, or why one may
        not; None if nobody has come for so long."""
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        if not poll.poll(patience_ms):
            return None
        try:
            guest, _ = self._socket.accept()
        except OSError as error:
            return f"a connection could not be taken: {error.strerror}"
        pid, uid, _ = _CREDENTIALS.unpack(
            guest.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        unit = unit_of(pid)
        if _is_gone(guest):  # asked last: until then the number was its own
            unit = ""
        if unit == self._post.agents_unit:
            return guest.detach(), pid
        guest.close()
        return (
            f"a connection of process {pid} (uid {uid}, unit {unit or 'unknown'}) is refused: only "
            f"{self._post.agents_unit} may come in"
        )


def unit_of(pid: int) -> str:
    """The systemd unit that a process lives in by its control group; empty if it is gone.

    That is the first below systemd's own group and its slices, as systemd itself sees it: below its
    unit a user's manager names groups as that user likes.
    """
    # Where systemd's tree begins: not at the top in a container that sees more than its own.
    root = _group_of(1).removesuffix("/init.scope").rstrip("/")
    words = _group_of(pid).removeprefix(f"{root}/").split("/")
    unit = next((word for word in words if not word.endswith(".slice")), "")
    return unit if unit.endswith(_UNITS) else ""


_UNITS = (".service", ".scope")


def _group_of(pid: int) -> str:
    """Its control group in systemd's own tree: the unified one, or the named one; both may be
    there, one unused."""
    found = ""
    for line in proc.read_text(f"/proc/{pid}/cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if hierarchy == "0" or controllers == "name=systemd":
            found = path if len(path) > len(found) else found
    return found


def _is_gone(guest: socket.socket) -> bool:
    """Has the process that made the connection ended? False where the kernel does not tell."""
    try:
        raw = guest.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD, 4)
    except OSError as error:
        return error.errno not in (errno.ENOPROTOOPT, errno.EOPNOTSUPP)
    pidfd = int.from_bytes(raw, sys.byteorder)
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(0))
    finally:
        os.close(pidfd)
