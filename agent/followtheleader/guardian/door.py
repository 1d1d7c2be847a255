"""The unit's door: the socket on which agents come, and who of them is let in.

Let in is a process of the agent's own unit, by what the kernel says of it (SO_PEERCRED and its
control group); the same user is not enough. Whoever else comes is sent away, with a line of log.
"""

from __future__ import annotations

import os
import select
import socket
import struct

from followtheleader.guardian import proc
from followtheleader.guardian.post import Post

FIRST_FD = 3
_CREDENTIALS = struct.Struct("=iII")


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
        if unit == self._post.agents_unit:
            return guest.detach(), pid
        guest.close()
        return (
            f"a connection of process {pid} (uid {uid}, unit {unit or 'unknown'}) is refused: only "
            f"{self._post.agents_unit} may come in"
        )


def unit_of(pid: int) -> str:
    """The systemd unit that a process lives in by its control group; empty if it is gone."""
    for line in proc.read_text(f"/proc/{pid}/cgroup").splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        # systemd's own tree is the unified one, or the named one; both may be there, one unused.
        if hierarchy == "0" or controllers == "name=systemd":
            for word in reversed(path.split("/")):
                if word.endswith(_UNITS):
                    return word
    return ""


_UNITS = (".service", ".scope")
