"""Which network interfaces take part in elections, and their addresses of both families.

Unless interfaces are named, those that cannot lead to another host are left out: loopback,
container bridges and their ends, VPNs and tunnels.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from dataclasses import dataclass

from followtheleader.core.addresses import is_link_local
from followtheleader.net.hosts import zone_of
from followtheleader.net.netlink import host_addresses

_LEFT_OUT = re.compile(
    r"lo|docker.*|veth.*|br-[0-9a-f]{12}|virbr.*|cni.*|flannel.*|cali.*|lxc.*|podman.*"
    r"|tailscale.*|wg.*|tun.*"
)
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_RUNNING = 0x40


@dataclass(frozen=True, slots=True)
class Interface:
    """One address of an interface: ``address``/``prefix`` on ``name``, whose ifindex it is.

    A link-local IPv6 address ends in ``%name``.
    """

    name: str
    index: int
    address: str
    prefix: int

    @property
    def is_six(self) -> bool:
        """Is it IPv6?"""
        return ":" in self.address

    @property
    def plain(self) -> str:
        """The address as others may be told, without our name of the interface."""
        return self.address.partition("%")[0]


def usable(names: tuple[str, ...] = ()) -> list[Interface]:
    """The addresses of the interfaces named, or of all that may lead to another host.

    IPv4 first, else in the order of the kernel; empty while no interface has an address. Of a name
    that does not exist (any more, or yet: see `missing`) there is none.
    """
    return [interface for interface in _all() if _chosen(interface.name, names)]


def holding(address: str) -> list[Interface]:
    """The interfaces that have this address, in its canonical form, whatever their names are."""
    return [interface for interface in _all(lasting=False) if interface.address == address]


def missing(names: tuple[str, ...]) -> list[str]:
    """Those of ``names`` that are no interface of this host now."""
    here = existing() if names else []
    return [name for name in names if name not in here]


def existing() -> list[str]:
    """The names of all interfaces of this host."""
    return [name for _, name in socket.if_nameindex()]


def has_carrier(name: str) -> bool:
    """Whether the interface is up and something is at the other end; False if there is none such.

    Asked of the kernel by ioctl, not of /sys, which may show another network namespace.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh14x", name.encode()[:15], 0)
        try:
            answer = fcntl.ioctl(any_socket, _SIOCGIFFLAGS, request)
        except OSError:
            return False
    flags: int = struct.unpack("16sh14x", answer)[1]
    return flags & (_IFF_UP | _IFF_RUNNING) == _IFF_UP | _IFF_RUNNING


def _chosen(name: str, names: tuple[str, ...]) -> bool:
    return name in names if names else _LEFT_OUT.fullmatch(name) is None


def _all(*, lasting: bool = True) -> list[Interface]:
    found = []
    zones: dict[int, str] = {}
    for index, address, prefix in host_addresses(lasting=lasting):
        name = zones.get(index) or zones.setdefault(index, zone_of(index))
        full = f"{address}%{name}" if is_link_local(address) else address
        found.append(Interface(name, index, full, prefix))
    return found
