"""The wire: members' messages as datagrams, and back.

    layout   what a datagram looks like: sizes, offsets, type numbers, the faults it can have
    body     each message's fields
    seal     the tag at the end, and the keys that make it
    codec    `Codec`: header, body and tag together; the only door for what comes in
    sender   `Sender`: numbers what goes out, and writes the last will

Everything here is pure: bytes and values in, values and bytes out. Nothing opens a socket, reads a
clock or keeps state about peers: the window against replays is the election's. What a stranger
sends is a value to be counted (`Rejected`), never an exception; what only we can get wrong is
``InvariantBroken``.
"""

from followtheleader.wire.codec import Codec, Rejected
from followtheleader.wire.layout import (
    CHECKSUM_KEY,
    KEY_OFFSET,
    MAX_DATAGRAM,
    RELEASE_TYPE,
    Fault,
    election_hash,
)
from followtheleader.wire.seal import NO_KEYS, Key, KeyRing
from followtheleader.wire.sender import Sender

__all__ = [
    "CHECKSUM_KEY",
    "KEY_OFFSET",
    "MAX_DATAGRAM",
    "NO_KEYS",
    "RELEASE_TYPE",
    "Codec",
    "Fault",
    "Key",
    "KeyRing",
    "Rejected",
    "Sender",
    "election_hash",
]
