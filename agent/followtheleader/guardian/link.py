"""The agent's side of its guardian: start it, speak to it, hear from it, notice its loss.

A guardian is a child of the agent (`GuardianLink`), or a unit beside it (`UnitLink`). A `Link`
itself knows no event loop: its owner watches ``fileno()`` and calls `on_readable`
and `on_writable`. `attach` does that for asyncio. Nothing here blocks. Whether and when a lost
guardian is started again is the owner's decision: make a new link.
"""

from __future__ import annotations

import base64
import os
import signal
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING

from followtheleader.guardian import messages

if TYPE_CHECKING:
    import asyncio

# A guardian that has not taken this much is as good as lost.
_OUT_LIMIT = 4 * 1024 * 1024
_CHUNK = 65536
REFUSED = 78
"""The exit code of a guardian that cannot run hooks; it has ended an earlier one's job first."""

OnMessage = Callable[[dict[str, object]], None]
OnLost = Callable[[str], None]


class Link(ABC):
    """The connection to one guardian; how it is made and ended is said by who derives from it.

    ``on_message(fields)`` gets each line of the guardian (PROTOCOL: ``m`` tells which), in order.
    ``on_lost(reason)`` is called once, when the connection ends without `close`; the guardian may
    then be dead, and the owner must count on its job's end no longer than the lease.
    ``pid``: its process, if it is a child of ours.
    """

    def __init__(self, on_message: OnMessage, on_lost: OnLost) -> None:
        self.pid = 0
        self.returncode: int | None = None
        self._on_message = on_message
        self._on_lost = on_lost
        self._socket: socket.socket | None = None
        self._in = b""
        self._out = bytearray()
        self._loop: asyncio.AbstractEventLoop | None = None

    # Its life.

    def start(self) -> None:
        """Connect and say hello. Raise `OSError` if there can be no guardian."""
        ours = self._connect()
        ours.setblocking(False)
        self._socket = ours
        self._send("hello", pid=os.getpid())

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let an asyncio loop call `on_readable` and `on_writable` until the link ends."""
        self._loop = loop
        loop.add_reader(self.fileno(), self.on_readable)
        self._watch_writing()

    def close(self) -> None:
        """End the connection: after `send_bye` the guardian finishes its hooks and leaves; without
        it, it waits for this process to end. `on_lost` is not called."""
        if self._socket is None:
            return
        if self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
        self._socket.close()
        self._socket = None

    def poll(self) -> int | None:
        """The guardian's exit code once it has ended, None before, or if that cannot be known."""
        return self.returncode

    def kill(self) -> None:
        """Part from a guardian that hangs; `on_lost` follows, and the next one inherits its
        business."""
        self._lose("the guardian does not answer")

    def reload(self) -> bool:
        """Have the guardian read the hooks of the configuration again; ``reloaded`` follows. False
        if there is none."""
        self._send("reload")
        return self._socket is not None

    @abstractmethod
    def _connect(self) -> socket.socket:
        """A connection to the guardian. Raise `OSError`."""

    # What the agent says.

    def send_lease(self, deadline: int, stop_timeout: int, quorum: bool) -> None:
        """The leader may act until ``deadline`` (ns, BOOTTIME); its job has ``stop_timeout`` (ns)
        more, which the others of a ``quorum`` group count on. Must be sent before the leader event
        of a tenure, and at each renewal."""
        self._send("lease", deadline=deadline, stop_timeout=stop_timeout, quorum=quorum)

    def send_event(self, event: str, change: int, facts: Mapping[str, object]) -> None:
        """Something happened that hooks are run for: leader, follower, reelection or error.

        ``change`` grows with every leader and follower event. Raise `messages.BadMessage` if the
        facts do not fit a line of 64 KiB, or are not JSON.
        """
        self._send("event", event=event, change=change, facts=dict(facts))

    def send_will(self, datagrams: Iterable[tuple[tuple[str, int], bytes]]) -> None:
        """Replace the last will by these ((address, port), data); none withdraws it."""
        entries = [
            {"to": [host, port], "data": base64.b64encode(data).decode()}
            for (host, port), data in datagrams
        ]
        self._send("will", datagrams=entries)

    def send_ping(self) -> None:
        """Is it alive? Answered by ``pong``."""
        self._send("ping")

    def send_bye(self) -> None:
        """The agent has resigned properly: no will is to be sent."""
        self._send("bye")

    # What the owner of the loop calls.

    def fileno(self) -> int:
        """The descriptor to watch for reading, and for writing while `wants_write`; -1 once it is
        closed."""
        return self._socket.fileno() if self._socket is not None else -1

    @property
    def wants_write(self) -> bool:
        """Is there something that the guardian has not taken yet?"""
        return bool(self._out) and self._socket is not None

    def on_writable(self) -> None:
        """Send what waits."""
        while self._out and self._socket is not None:
            try:
                taken = self._socket.send(self._out)
            except BlockingIOError:
                break
            except OSError:
                # Its last lines are still to be read; the end of the connection follows them.
                self._out.clear()
                break
            del self._out[:taken]
        self._watch_writing()

    def on_readable(self) -> None:
        """Take what has come and pass it on."""
        if self._socket is None:
            return
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lose("the guardian has ended or closed its connection")
            return
        *lines, self._in = (self._in + data).split(b"\n")
        for line in lines:
            if self._socket is None:  # closed by what the line before has led to
                return
            try:
                fields = messages.decode(line)
            except messages.BadMessage as fault:
                self._lose(f"the guardian speaks nonsense: {fault}")
                return
            if fields.get("m") == "refused":
                self.returncode = REFUSED
            else:
                self._on_message(fields)

    def _send(self, kind: str, **fields: object) -> None:
        if self._socket is None:
            return
        self._out += messages.encode(kind, **fields)
        self.on_writable()
        if len(self._out) > _OUT_LIMIT:
            self._lose("the guardian does not read")

    def _lose(self, reason: str) -> None:
        if self._socket is not None:
            self.close()
            self._on_lost(reason)

    def _watch_writing(self) -> None:
        if self._loop is None or self._socket is None:
            return
        if self._out:
            self._loop.add_writer(self._socket, self.on_writable)
        else:
            self._loop.remove_writer(self._socket)


class UnitLink(Link):
    """The link to a guardian that is a unit of its own, behind the socket at ``path``."""

    def __init__(self, path: str, on_message: OnMessage, on_lost: OnLost) -> None:
        super().__init__(on_message, on_lost)
        self._path = path

    def _connect(self) -> socket.socket:
        ours = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            ours.connect(self._path)
        except OSError as error:
            ours.close()
            raise OSError(
                error.errno,
                f"{self._path}: {error.strerror}; is its .socket unit active?",
            ) from None
        return ours


class GuardianLink(Link):
    """The link to a guardian that is a child of this process."""

    def __init__(
        self,
        *,
        config: str,
        instance: str,
        runtime_dir: str,
        on_message: OnMessage,
        on_lost: OnLost,
    ) -> None:
        super().__init__(on_message, on_lost)
        self._argv = [sys.executable, "-I", "-m", "followtheleader.guardian"]
        self._argv += ["--config", os.path.abspath(config), "--instance", instance]
        self._argv += ["--runtime-dir", os.path.abspath(runtime_dir), "--fd", "3"]

    def poll(self) -> int | None:
        """The guardian's exit code once it has ended (then collected), None before."""
        if self.returncode is None and self.pid:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                self.returncode = 0
            else:
                self.returncode = os.waitstatus_to_exitcode(status) if pid else None
        return self.returncode

    def kill(self) -> None:
        """End a guardian that hangs; `on_lost` follows, and the next one inherits its business."""
        if self.pid and self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def _connect(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with theirs:
            try:
                self.pid = self._spawn(theirs)
            except OSError:
                ours.close()
                raise
        return ours

    def _spawn(self, theirs: socket.socket) -> int:
        # Not by subprocess: the guardian outlives us, and nobody must wait for it.
        # Nor does it keep our stdout open, which somebody may read to its end.
        with open(os.devnull, "r+b", buffering=0) as nothing:
            return os.posix_spawn(
                sys.executable,
                self._argv,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, nothing.fileno(), 0),
                    (os.POSIX_SPAWN_DUP2, nothing.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, theirs.fileno(), 3),
                ],
                # A session of its own: a ^C at the terminal must not reach it.
                setsid=True,
                setsigmask=(),
            )
