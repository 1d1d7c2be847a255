"""IP addresses as text, and as the kernel takes them.

The program writes an address in one way only: IPv4 as it is, IPv6 in its shortest form, with the
name of the interface after a ``%`` where it is link-local. The kernel wants that interface's number
instead, and an IPv4 address that is mapped into IPv6 is IPv4.
"""

from __future__ import annotations

import ipaddress
import socket

SixAddress = tuple[str, int, int, int]
"""What the kernel takes for IPv6: host, port, flow, and the number of the interface."""


def canonical(text: str) -> str | None:
    """Return a literal address in the program's own form; None if it is not one."""
    plain, _, zone = text.partition("%")
    try:
        address = ipaddress.ip_address(plain)
    except ValueError:
        return None
    if address.version == 4:
        return None if zone else plain
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    zone = _zone_name(zone) if address.is_link_local else ""
    return f"{address}%{zone}" if zone else str(address)


def six_address(host: str, port: int) -> SixAddress:
    """Return a literal IPv6 address as the kernel takes it. Raises `OSError`."""
    plain, _, zone = host.partition("%")
    socket.inet_pton(socket.AF_INET6, plain)
    return plain, port, 0, _zone_index(zone) if zone else 0


def zone_of(index: int) -> str:
    """Return the name of the interface of that number, or the number if it has gone."""
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return str(index)


def _zone_name(zone: str) -> str:
    """A number becomes the name; 0 is no interface."""
    if not zone.isascii() or not zone.isdigit():
        return zone
    return zone_of(int(zone)) if int(zone) else ""


def _zone_index(zone: str) -> int:
    try:
        return socket.if_nametoindex(zone)
    except OSError:
        if zone.isascii() and zone.isdigit() and int(zone) < 1 << 31:
            return int(zone)
        raise
