"""Datagrams made by hand, from the layout and not from the code: for what no codec would send."""

from __future__ import annotations

import struct
from hashlib import blake2s

from wire.samples import ME, PEER, SERVICE


def forge(
    kind: int,
    body: bytes = b"",
    *,
    magic: int = 0xF2,
    version: int = 1,
    key_id: int = 0,
    flags: int = 0,
    length: int | None = None,
    service: str = SERVICE,
    sender: int = ME,
    incarnation: int = 1,
    counter: int = 1,
    receiver: int = PEER,
    priority: int = 100,
) -> bytes:
    """Return a datagram with the right tag, whatever is wrong with the rest."""
    election = blake2s(service.encode(), digest_size=8).digest()
    size = 64 + len(body) if length is None else length
    head = struct.pack(">BBBBBH", magic, version, kind, key_id, flags, size) + election
    head += struct.pack(">QQQQB", sender, incarnation, counter, receiver, priority)
    return head + body + tag(head + body, election)


def tag(content: bytes, election: bytes) -> bytes:
    """Return the checksum that closes a datagram."""
    return blake2s(content, digest_size=16, person=b"ftl-wire", salt=election).digest()


def resealed(datagram: bytes, position: int, value: int) -> bytes:
    """Return ``datagram`` with the byte at ``position`` replaced and the tag made right again."""
    content = bytearray(datagram[:-16])
    content[position] = value
    return bytes(content) + tag(bytes(content), bytes(content[7:15]))
