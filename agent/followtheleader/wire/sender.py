"""What goes out: every datagram of an incarnation has a counter of its own.

Receivers drop a counter that they have seen, so it is never used twice. The last one of the
incarnation is kept for the last will: whatever was said before, the will is newer.
"""

from __future__ import annotations

from followtheleader.core.messages import Header, Message, Release
from followtheleader.core.types import NodeId, Owner
from followtheleader.errors import InvariantBroken
from followtheleader.wire.codec import Codec

LAST_COUNTER = 2**64 - 1


class Sender:
    """Makes the datagrams of ``me``. ``priority`` may be changed while it works."""

    def __init__(self, codec: Codec, me: Owner, priority: int) -> None:
        self.priority = priority
        self._codec = codec
        self._me = me
        self._counter = 0

    def datagram(self, message: Message, receiver: NodeId, version: int) -> bytes:
        """Return ``message`` in ``version`` to ``receiver`` (0: anybody) under the next counter."""
        self._counter += 1
        if self._counter >= LAST_COUNTER:
            raise InvariantBroken("the last counter is the will's")
        header = Header(self._me, self._counter, receiver, self.priority, version)
        return self._codec.encode(header, message)

    def last_will(self, release: Release, receiver: NodeId, version: int) -> bytes:
        """Return the resignation that the guardian sends when this incarnation is dead.

        May be made any number of times: only one of them is ever sent to a receiver, and it is the
        incarnation's last word.
        """
        header = Header(self._me, LAST_COUNTER, receiver, self.priority, version)
        return self._codec.encode(header, release)
