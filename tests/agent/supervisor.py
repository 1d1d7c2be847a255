"""A supervisor's end of sd_notify(3): a real datagram socket, read by a thread as it comes."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path

from lab.waiting import wait_until


class Supervisor:
    """Hears what a service says at ``$NOTIFY_SOCKET`` (``environment``)."""

    def __init__(self, folder: Path) -> None:
        path = str(folder / "notify.sock")
        self.environment = {"NOTIFY_SOCKET": path}
        self.said: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(path)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while data := self._socket.recv(8192):
            self.said.append(data.decode())

    def count(self, line: str) -> int:
        """How many messages hold exactly this line."""
        return sum(line in said.splitlines() for said in self.said)

    @property
    def status(self) -> str:
        """The last STATUS said."""
        lines = [line for said in self.said for line in said.splitlines()]
        return next((s[7:] for s in reversed(lines) if s.startswith("STATUS=")), "")

    def wait(self, line: str, times: int = 1) -> str:
        """Wait until ``line`` was said so often; the message that held it last."""
        self.until(lambda: self.count(line) >= times, f"{line} ({times})")
        return next(said for said in reversed(self.said) if line in said.splitlines())

    def wait_status(self, start: str) -> str:
        """Wait for a STATUS that begins so, and return it."""
        self.until(lambda: self.status.startswith(start), f"STATUS={start}")
        return self.status

    def until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for a condition on what was said."""
        wait_until(condition, 15, what, lambda: "\n".join(map(repr, self.said)))

    def close(self) -> None:
        """End the thread and the socket."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._reader.join(5)
        self._socket.close()
