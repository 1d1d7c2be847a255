"""Telling systemd how we are: sd_notify(3), through the sdnotify package.

Never raises and never waits: without $NOTIFY_SOCKET every method does nothing, and a message that
the socket does not take at once is lost.
"""

from __future__ import annotations

import os
import socket
import time
from typing import Protocol


class _Notifier(Protocol):
    socket: socket.socket

    def notify(self, state: str) -> None: ...


class Notify:
    """The agent's line to its supervisor."""

    def __init__(self) -> None:
        self._notifier = _connect() if os.environ.get("NOTIFY_SOCKET") else None

    @property
    def enabled(self) -> bool:
        """Whether somebody listens."""
        return self._notifier is not None

    def ready(self, status: str | None = None) -> None:
        """The start (or the reload) is over."""
        self._send("READY=1", status)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send("", text)

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        # MONOTONIC, not BOOTTIME: systemd compares it with its own clock (sd_notify(3)).
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._send(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self, status: str | None = None) -> None:
        """The stop begins."""
        self._send("STOPPING=1", status)

    def watchdog(self) -> None:
        """The election loop is alive."""
        self._send("WATCHDOG=1")

    def watchdog_limit(self, limit: int) -> None:
        """Ask to be killed when silent for ``limit`` nanoseconds."""
        self._send(f"WATCHDOG_USEC={max(1, limit // 1000)}")

    def extend_timeout(self, span: int) -> None:
        """The start or stop that goes on may take ``span`` nanoseconds more from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={max(1, span // 1000)}")

    def close(self) -> None:
        """Say nothing any more."""
        if self._notifier is not None:
            self._notifier.socket.close()
            self._notifier = None

    def _send(self, message: str, status: str | None = None) -> None:
        if self._notifier is None:
            return
        if status is not None:
            line = " ".join(status.split())
            message = f"{message}\nSTATUS={line}" if message else f"STATUS={line}"
        # sdnotify encodes as Latin-1 and drops what does not fit; this makes it send UTF-8.
        self._notifier.notify(message.encode("utf-8", "replace").decode("latin-1"))


def _connect() -> _Notifier | None:
    try:
        from sdnotify import SystemdNotifier  # type: ignore[import-untyped]
    except ImportError:
        return None
    notifier = SystemdNotifier()
    if notifier.socket is None:
        return None
    notifier.socket.setblocking(False)
    connected: _Notifier = notifier
    return connected
