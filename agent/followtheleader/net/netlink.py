"""The addresses of this host as the kernel lists them, of both families, by rtnetlink.

Not by getifaddrs(), which does not tell an address that is still being tested for a duplicate, or
that was made for a day of privacy, from one by which a host can be found.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = struct.Struct("=IHHII")
_ADDRESS = struct.Struct("=BBBBi")  # struct ifaddrmsg
_ATTRIBUTE = struct.Struct("=HH")
_FLAGS = struct.Struct("=I")
_GET_ADDRESSES = 22
_NEW_ADDRESS = 20
_ERROR, _DONE = 2, 3
_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
# Of IPv6 only: in IPv4 the first of these bits says that an address is not the first of its net.
_TEMPORARY, _OPTIMISTIC, _DUPLICATE, _DEPRECATED, _TENTATIVE = 0x01, 0x04, 0x08, 0x20, 0x40
_ANSWER = 1 << 16


class HostAddress(NamedTuple):
    """An address without a zone, its prefix's length, and the number of its interface."""

    interface: int
    address: str
    prefix: int


def host_addresses(*, lasting: bool = True) -> list[HostAddress]:
    """Return the addresses by which this host can be found, IPv4 first. Raises `OSError`.

    IPv6 ones are left out while they are tested, and when they are temporary or deprecated; not so
    with ``lasting`` False.
    """
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        # The kernel answers at once; a bound all the same.
        kernel.settimeout(2)
        for family in (socket.AF_INET, socket.AF_INET6):
            kernel.send(
                _HEADER.pack(_HEADER.size + _ADDRESS.size, _GET_ADDRESSES, _REQUEST_DUMP, 1, 0)
                + _ADDRESS.pack(family, 0, 0, 0, 0)
            )
            # Without IPv6 the kernel lists what it has: IPv4 once more.
            found += [a for a in _read(kernel, family, lasting) if a not in found]
    return found


def _read(kernel: socket.socket, family: int, lasting: bool) -> Iterator[HostAddress]:
    while True:
        answer = kernel.recv(_ANSWER)
        at = 0
        while at + _HEADER.size <= len(answer):
            length, kind, *_ = _HEADER.unpack_from(answer, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (number,) = struct.unpack_from("=i", answer, at + _HEADER.size)
                raise OSError(-number, "the kernel does not list the addresses")
            if kind == _NEW_ADDRESS:
                parsed = _parse(answer[at + _HEADER.size : at + length], family, lasting)
                if parsed is not None:
                    yield parsed
            at += max(_aligned(length), _HEADER.size)


def _parse(message: bytes, wanted: int, lasting: bool) -> HostAddress | None:
    family, prefix, flags, _, index = _ADDRESS.unpack_from(message)
    attributes = _attributes(message[_ADDRESS.size :])
    raw = attributes.get(_IFA_LOCAL, attributes.get(_IFA_ADDRESS))
    if family != wanted or raw is None:
        return None
    if _IFA_FLAGS in attributes:
        (flags,) = _FLAGS.unpack(attributes[_IFA_FLAGS])
    if family == socket.AF_INET6 and lasting and not _is_lasting(flags):
        return None
    return HostAddress(index, socket.inet_ntop(family, raw), prefix)


def _is_lasting(flags: int) -> bool:
    tested = not flags & _TENTATIVE or bool(flags & _OPTIMISTIC)
    return tested and not flags & (_TEMPORARY | _DUPLICATE | _DEPRECATED)


def _attributes(data: bytes) -> dict[int, bytes]:
    found, at = {}, 0
    while at + _ATTRIBUTE.size <= len(data):
        length, kind = _ATTRIBUTE.unpack_from(data, at)
        found[kind] = data[at + _ATTRIBUTE.size : at + length]
        at += max(_aligned(length), _ATTRIBUTE.size)
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3
