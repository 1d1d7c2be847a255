"""A known fault: only who is guided by what the code does comes to it in time.

Step by step: the right first byte, the right version, a length that is the datagram's own. Each is
new coverage of the codec; by chance alone they would take some billion inputs.
"""

from __future__ import annotations

from followtheleader.wire import Codec, Fault, Rejected
from wire.samples import PEER, SERVICE

CODEC = Codec(SERVICE, PEER)


def seeds() -> list[bytes]:
    """Nothing that is near."""
    return [bytes(80)]


def one(data: bytes) -> None:
    """Raise for a datagram that comes as far as the name of the election."""
    found = CODEC.decode(data)
    if isinstance(found, Rejected) and found.reason is Fault.FOREIGN:
        raise AssertionError("the planted fault")
