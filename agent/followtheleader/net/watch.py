"""Being told when an address or the carrier of an interface changes, instead of looking.

Best effort: where the kernel's route messages cannot be had, nobody is told, so callers look now
and then themselves.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

_LINKS = 0x1
_IPV4_ADDRESSES = 0x10
_IPV6_ADDRESSES = 0x100
# One change is a burst of messages, and hosts of many containers have many changes.
_SETTLE_SECONDS = 0.02


class InterfaceWatch:
    """Calls ``on_change()`` in the running loop soon after interfaces change."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._loop: asyncio.AbstractEventLoop | None = None
        self._socket: socket.socket | None = None
        self._pending: asyncio.TimerHandle | None = None

    def start(self) -> bool:
        """Begin; False if the kernel does not let us."""
        try:
            watcher = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        except OSError:
            return False
        try:
            watcher.setblocking(False)
            watcher.bind((0, _LINKS | _IPV4_ADDRESSES | _IPV6_ADDRESSES))
        except OSError:
            watcher.close()
            return False
        self._socket = watcher
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(watcher, self._on_readable)
        return True

    def close(self) -> None:
        """Stop; nothing is called afterwards."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None
        if self._socket is not None and self._loop is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None

    def _on_readable(self) -> None:
        if self._socket is None or self._loop is None:
            return
        try:
            # What exactly changed is not of interest; ENOBUFS (messages were lost) is a change.
            while self._socket.recv(65536):
                pass
        except OSError:
            pass
        if self._pending is None:
            self._pending = self._loop.call_later(_SETTLE_SECONDS, self._tell)

    def _tell(self) -> None:
        self._pending = None
        self._on_change()
