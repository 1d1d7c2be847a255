"""Which network interfaces take part in elections, and their IPv4 addresses.

Unless interfaces are named, those that cannot lead to another host are left out: loopback,
container bridges and their ends, VPNs and tunnels.
"""

from __future__ import annotations

import fcntl
import re
import socket
import struct
from dataclasses import dataclass

from followtheleader.errors import AddressError

_LEFT_OUT = re.compile(
    r"lo|docker.*|veth.*|br-[0-9a-f]{12}|virbr.*|cni.*|flannel.*|cali.*|lxc.*|podman.*"
    r"|tailscale.*|wg.*|tun.*"
)
_SIOCGIFFLAGS = 0x8913
_IFF_UP = 0x1
_IFF_RUNNING = 0x40


@dataclass(frozen=True, slots=True)
class Interface:
    """One IPv4 address of an interface: ``address``/``prefix`` on ``name``, whose ifindex it is."""

    name: str
    index: int
    address: str
    prefix: int


def usable(names: tuple[str, ...] = ()) -> list[Interface]:
    """The addresses of the interfaces named, or of all that may lead to another host.

    In the order of the kernel; empty while no interface has an address. Raises `AddressError` for
    a name that does not exist.
    """
    from ifaddr import get_adapters

    _refuse_unknown(names)
    found = []
    for adapter in get_adapters():
        # The kernel calls an address's label `eth0:1`; the interface is still eth0.
        name = adapter.name.split(":")[0]
        if adapter.index is None or not _chosen(name, names):
            continue
        for ip in adapter.ips:
            if isinstance(ip.ip, str):
                found.append(Interface(name, adapter.index, ip.ip, ip.network_prefix))
    return found


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


def _refuse_unknown(names: tuple[str, ...]) -> None:
    existing = [name for _, name in socket.if_nameindex()] if names else []
    unknown = [name for name in names if name not in existing]
    if unknown:
        raise AddressError(
            f"interfaces: {', '.join(unknown)}: no such network interface; "
            f"this host has {', '.join(existing)}"
        )
