"""Dropping what is too much before it takes room: a filter in the kernel, at the socket's door.

A flood that is only read and dropped costs little, and still fills the socket's buffer, in which
the members' heartbeats then find no room. While the sieve is set, datagrams from the named
addresses all pass, and of the others a random share: so that whoever is new is heard in the end.

Promise: a kernel that takes no filters (a sandbox) changes nothing; then all is read. The filter is
a classic BPF program (Linux, Documentation/networking/filter.rst), which needs no privilege.
"""

from __future__ import annotations

import array
import socket
import struct
from collections.abc import Iterable

from followtheleader.core.types import Address

MOST_NAMED = 300
"""A program has at most 4096 steps, and an IPv6 address takes eleven of them."""
SMALLEST_SHARE = 1 / 65536

_SO_ATTACH_FILTER, _SO_DETACH_FILTER, _SO_MEMINFO = 26, 27, 55
_MEMINFO = struct.Struct("=9I")
_STEP = struct.Struct("=HBBI")
_LOAD_WORD, _LOAD_HALF, _LOAD_KEPT = 0x20, 0x28, 0x60
_KEEP, _IF_EQUAL, _IF_GREATER, _RETURN = 0x02, 0x15, 0x25, 0x06
# Where the network header begins, and the kernel's dice: <linux/filter.h>.
_NETWORK, _RANDOM = 0xFFF00000, 0xFFFFF000 + 56
_SOURCE4, _SOURCE6 = _NETWORK + 12, _NETWORK + 8
_SOURCE_PORT = 0
_ALL, _NOTHING = 0xFFFFFFFF, 0

Step = tuple[int, int, int, int]


class Sieve:
    """The filter of one port's sockets; not set at first."""

    def __init__(self, four: socket.socket | None, six: socket.socket | None) -> None:
        self._four = four
        self._six = six
        self.works = True
        """False once a kernel has refused."""

    def set(self, named: Iterable[Address], share: float) -> None:
        """Let pass what comes from these literal addresses, and this share (0 to 1) of the rest."""
        addresses = list(named)[:MOST_NAMED]
        for bound, is_six in ((self._four, False), (self._six, True)):
            if bound is not None:
                self._attach(bound, program(addresses, share, is_six=is_six))

    def clear(self) -> None:
        """Let everything pass again."""
        for bound in (self._four, self._six):
            if bound is not None:
                try:
                    bound.setsockopt(socket.SOL_SOCKET, _SO_DETACH_FILTER, 0)
                except OSError:
                    pass  # there was none

    def dropped(self) -> int:
        """How many datagrams never came to be read: dropped here, or for want of room."""
        return sum(_drops(bound) for bound in (self._four, self._six) if bound is not None)

    def _attach(self, bound: socket.socket, steps: bytes) -> None:
        held = array.array("B", steps)
        address, size = held.buffer_info()
        # struct sock_fprog: how many steps, and where they are.
        told = struct.pack("@HP", size // _STEP.size, address)
        try:
            bound.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, told)
        except OSError:
            self.works = False


def program(named: Iterable[Address], share: float, *, is_six: bool) -> bytes:
    """Return the steps that pass ``named``, of one family, and ``share`` of all others."""
    words = 4 if is_six else 1
    source = _SOURCE6 if is_six else _SOURCE4
    steps: list[Step] = []
    for word in range(words):
        steps += [(_LOAD_WORD, 0, 0, source + 4 * word), (_KEEP, 0, 0, word)]
    steps += [(_LOAD_HALF, 0, 0, _SOURCE_PORT), (_KEEP, 0, 0, words)]
    for host, port in named:
        if (":" in host) is is_six:
            steps += _passing(host.partition("%")[0], port, words)
    steps.append((_LOAD_WORD, 0, 0, _RANDOM))
    steps.append((_IF_GREATER, 1, 0, min(int(share * _ALL), _ALL - 1)))
    steps += [(_RETURN, 0, 0, _ALL), (_RETURN, 0, 0, _NOTHING)]
    return b"".join(_STEP.pack(*step) for step in steps)


def _passing(host: str, port: int, words: int) -> list[Step]:
    """Load and compare each word, then the port; whatever differs goes on behind these steps."""
    raw = socket.inet_pton(socket.AF_INET6 if words > 1 else socket.AF_INET, host)
    wanted = [*struct.unpack(f">{words}I", raw), port]
    steps: list[Step] = []
    for place, number in enumerate(wanted):
        left = 2 * (words - place) + 1
        steps += [(_LOAD_KEPT, 0, 0, place), (_IF_EQUAL, 0, left, number)]
    return [*steps, (_RETURN, 0, 0, _ALL)]


def _drops(bound: socket.socket) -> int:
    try:
        told = bound.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
        return int(_MEMINFO.unpack(told)[-1])
    except (OSError, struct.error):
        return 0
