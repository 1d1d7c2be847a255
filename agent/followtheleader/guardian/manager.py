"""The guardian's word to systemd: ready, alive, and how long its end may yet take (sd_notify(3)).

Standard library only. Nothing is waited for: a word that finds no room is lost, and the next one
comes soon. A child of the agent has nobody to tell: the agent speaks for itself.
"""

from __future__ import annotations

import socket

from followtheleader.guardian.clock import SECOND

ALIVE_EVERY = 2 * SECOND
EXTENSION = 60 * SECOND


class Manager:
    """``address``: what $NOTIFY_SOCKET says; empty: there is nobody.

    ``next_at``: when `beat` has something to say; None if nobody listens.
    """

    def __init__(self, address: str = "") -> None:
        self.next_at: int | None = None
        self._socket: socket.socket | None = None
        if not address:
            return
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.next_at = 0

    def ready(self) -> None:
        """The start is over."""
        self._send("READY=1")

    def beat(self, now: int, stopping: bool) -> None:
        """If it is due: we live, and a stop that goes on may go on."""
        if self.next_at is None or now < self.next_at:
            return
        self.next_at = now + ALIVE_EVERY
        self._send(
            "WATCHDOG=1" + (f"\nEXTEND_TIMEOUT_USEC={EXTENSION // 1000}" if stopping else "")
        )

    def close(self) -> None:
        """Say nothing any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = self.next_at = None

    def _send(self, text: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError:
            pass  # the next one comes soon
