"""What a datagram looks like. These numbers are the protocol: none may change within a version.

The header and the two greetings may not change at all: by them builds of any two versions tell each
other what they speak.

     0  magic F2                1 byte     never the first byte of the seed's ASCII ``PING``
     1  version                 1          of the body; of greetings 1, for ever
     2  type                    1          `Type`
     3  key id                  1          0: the tag is a checksum, and nothing is signed
     4  flags                   1          reserved: sent as 0, ignored
     5  length                  2          of the whole datagram, tag included
     7  election                8          blake2s-64 of the service name
    15  sender id               8
    23  sender incarnation      8
    31  counter                 8          grows with every datagram of an incarnation
    39  receiver id             8          0: anybody
    47  priority                1          of the sender
    48  body                               a newer member may append to it what an older one ignores
    -16 tag                    16          BLAKE2s-128 over all before it

All numbers are big endian. Every datagram is at most 160 bytes, except HELLO and HELLO_ACK, which
are all of one size, so that nobody can make a member send more bytes than were sent to it.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum, unique
from hashlib import blake2s
from struct import Struct

MAGIC = 0xF2
CHECKSUM_KEY = 0

HEADER = Struct(">BBBBBHQQQQQB")
KEY_OFFSET = 3
TAG_SIZE = 16
MIN_DATAGRAM = HEADER.size + TAG_SIZE

SMALL_SIZE = 160
"""No datagram but a greeting is longer, in bytes."""
HELLO_SIZE = 1024
"""Every greeting is as long as this, in bytes; a shorter one is not answered."""
MAX_DATAGRAM = 1200
"""Nothing longer, in bytes, is looked at: more than this may be fragmented on its way."""


@unique
class Type(IntEnum):
    """The type byte. Not yet spoken: 15 QUERY, 16 REPLY."""

    HELLO = 1
    HELLO_ACK = 2
    PREPARE = 3
    PROMISE = 4
    NACK = 5
    BUSY = 6
    HEARTBEAT = 7
    RELEASE = 8
    ACK = 9
    CHALLENGE = 10
    REFUTE = 11
    ASK = 12
    BYE = 13
    HANDOVER = 14
    PAUSE = 17


GREETINGS = frozenset((int(Type.HELLO), int(Type.HELLO_ACK)))
"""The types that are all of one size."""
RELEASE_TYPE = int(Type.RELEASE)
"""The only type that a last will may have (byte 2 of the datagram)."""


@unique
class Fault(StrEnum):
    """Why a datagram was dropped; the words by which they are counted. In the order of checking."""

    SHORT = "too-short"
    MAGIC = "magic"
    VERSION = "version"
    LENGTH = "length"
    FOREIGN = "foreign-election"
    UNSIGNED = "unsigned"
    KEY = "unknown-key"
    TAG = "bad-tag"
    DAMAGED = "bad-checksum"
    SENDER = "bad-sender"
    OWN = "own"
    RECEIVER = "other-receiver"
    TYPE = "unknown-type"
    BODY = "bad-body"
    RANGE = "number-too-high"


def election_hash(service: str) -> int:
    """Return the 64 bits by which an election is told from others on the same network."""
    return int.from_bytes(blake2s(service.encode(), digest_size=8).digest(), "big")
