"""mDNS messages made by hand: what no library would say."""

from __future__ import annotations

from followtheleader.net.mdns import MEMBER_TYPE

PTR, TXT, A, SRV = 12, 16, 1, 33
_OURS_ALONE = 0x8001
"""Class IN, with the bit that flushes what was cached."""


def name(text: str) -> bytes:
    """A name, label by label."""
    labels = [label.encode() for label in text.rstrip(".").split(".")]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def record(of: bytes, kind: int, data: bytes, ttl: int, klass: int = _OURS_ALONE) -> bytes:
    """One resource record."""
    numbers = kind.to_bytes(2, "big") + klass.to_bytes(2, "big") + ttl.to_bytes(4, "big")
    return of + numbers + len(data).to_bytes(2, "big") + data


def response(records: list[bytes]) -> bytes:
    """What a responder sends."""
    return b"\0\0\x84\0\0\0" + len(records).to_bytes(2, "big") + bytes(4) + b"".join(records)


def texts(*words: bytes) -> bytes:
    """The content of a TXT record; a word is cut to 255 bytes."""
    return b"".join(bytes([len(word[:255])]) + word[:255] for word in words)


def announcement(
    label: str,
    server: str,
    address: bytes,
    txt: bytes,
    *,
    kind: str = MEMBER_TYPE,
    port: int = 9001,
    ttl: int = 120,
) -> bytes:
    """PTR, SRV, TXT and A of a member (or leader), as zeroconf sends them. ``ttl`` 0: a goodbye."""
    instance = name(f"{label}.{kind}")
    srv = b"\0\0\0\0" + port.to_bytes(2, "big") + name(server)
    return response(
        [
            record(name(kind), PTR, instance, ttl, 1),
            record(instance, SRV, srv, ttl),
            record(instance, TXT, txt, ttl),
            record(name(server), A, address, ttl),
        ]
    )
