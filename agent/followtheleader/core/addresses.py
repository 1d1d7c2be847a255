"""Addresses as the election sees them: text of an IP address, and a port.

A link-local IPv6 address means something on one link only. On a host it is written with the name of
its interface (``fe80::1%eth0``); the wire carries no such names. So it is told only to those whom
we reach by the same link, and what is told comes to mean the link that it was told by.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from followtheleader.core.types import Address

ANYWHERE = ("0.0.0.0", "::")
"""Either means every address of the host, of both families."""
_LINK_LOCAL = re.compile(r"fe[89ab][0-9a-f]:", re.IGNORECASE)


def show(address: Address) -> str:
    """Return ``10.0.0.2:9001`` or ``[fe80::1%eth0]:9001``."""
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_link_local(host: str) -> bool:
    """Is it an IPv6 address that means something on one link only?"""
    return _LINK_LOCAL.match(host) is not None


def is_loopback(host: str) -> bool:
    """Is it an address by which only this host itself is reached?"""
    return host.startswith("127.") or host == "::1"


def is_unicast(address: Address) -> bool:
    """Can one host be reached there? False also for a link-local address of no link.

    Gossip and mDNS can be forged: never be led to speak to a whole network.
    """
    host, port = address
    if not 0 < port < 65536 or host in ANYWHERE:
        return False
    if ":" in host:
        return not host.lower().startswith("ff") and (_zone(host) != "" or not is_link_local(host))
    first = host.split(".", 1)[0]
    return not (first.isdigit() and int(first) >= 224)


def told_by(address: Address, teller: Address) -> Address:
    """Return what ``address`` means here, told by a member that spoke from ``teller``.

    A link-local one is of the link it came by; one told from elsewhere stays without, unusable.
    """
    host, port = address
    zone = _zone(teller[0])
    if zone and is_link_local(host) and not _zone(host):
        return f"{host}%{zone}", port
    return address


def worth_telling(addresses: Iterable[Address], listener: Address) -> Address | None:
    """Return the first of ``addresses`` that whoever is at ``listener`` can use; None if none is.

    Rather one of the listener's own family: it may not have the other. A link-local one is told on
    its own link only.
    """
    usable = [
        address
        for address in addresses
        if not is_link_local(address[0]) or _zone(address[0]) == _zone(listener[0])
    ]
    is_six = ":" in listener[0]
    return next((a for a in usable if (":" in a[0]) is is_six), usable[0] if usable else None)


def _zone(host: str) -> str:
    return host.partition("%")[2]
