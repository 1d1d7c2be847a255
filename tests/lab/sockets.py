"""Sockets of this process that belong to a host of the lab."""

from __future__ import annotations

import ctypes
import socket
import threading

from lab.net import NETNS

CLONE_NEWNET = 0x40000000


def socket_in(netns: str) -> socket.socket:
    """A UDP socket there: it belongs to the namespace of the thread that made it, for ever."""
    made: list[socket.socket] = []

    def make() -> None:
        with (NETNS / netns).open() as namespace:
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        made.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    thread = threading.Thread(target=make)
    thread.start()
    thread.join()
    return made[0]
