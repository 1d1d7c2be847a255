"""The wire: members' messages as datagrams, and back.

    layout   what a datagram looks like: sizes, offsets, type numbers, the faults it can have
    body     each message's fields
    seal     the tag at the end
    codec    `Codec`: header, body and tag together; the only door for what comes in
    sender   `Sender`: numbers what goes out, and writes the last will

Everything here is pure: bytes and values in, values and bytes out. Nothing opens a socket, reads a
clock or keeps state about peers: the window against replays is the election's. What a stranger
sends is a value to be counted (`Rejected`), never an exception; what only we can get wrong is
``InvariantBroken``.
"""

from followtheleader.wire.codec import Codec, Rejected
from followtheleader.wire.layout import MAX_DATAGRAM, RELEASE_TYPE, Fault, election_hash
from followtheleader.wire.sender import Sender

__all__ = [
    "MAX_DATAGRAM",
    "RELEASE_TYPE",
    "Codec",
    "Fault",
    "Rejected",
    "Sender",
    "election_hash",
]
