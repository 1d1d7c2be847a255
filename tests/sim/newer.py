"""A build from the future: it speaks versions 1 and 2, says more in 2, and knows one more message.

Nothing of it is planned. It does what any later version may do, so that this one is known to bear
it: bytes appended to every body, and now and then a type that nobody here has heard of.
"""

from __future__ import annotations

from followtheleader.core.messages import Header, Message
from followtheleader.core.types import GREETING_VERSION
from followtheleader.wire import Codec
from followtheleader.wire.layout import HEADER, TAG_SIZE

NEWER = (1, 2)
ONLY_NEWER = (2, 2)
UNKNOWN_TYPE = 99
STRANGE_EACH = 5
"""After so many datagrams one of the unknown type."""
MORE = b"more to say"


class NewerCodec(Codec):
    """Speaks 1 as everybody does, and 2 with more to say."""

    versions = NEWER

    def encode(self, header: Header, message: Message) -> bytes:
        """As in version 1; in version 2 with bytes that version 1 does not have."""
        datagram = super().encode(header, message)
        return datagram if header.version == GREETING_VERSION else self._rewrite(datagram, MORE)

    def strange(self, header: Header, message: Message) -> bytes:
        """Return a datagram of a type that only this build knows, sealed like any other."""
        return self._rewrite(super().encode(header, message), b"", kind=UNKNOWN_TYPE)

    def _rewrite(self, datagram: bytes, more: bytes, kind: int | None = None) -> bytes:
        magic, version, old_kind, key, flags, size, *rest = HEADER.unpack_from(datagram)
        new_kind = old_kind if kind is None else kind
        head = HEADER.pack(magic, version, new_kind, key, flags, size + len(more), *rest)
        return self._seal.seal(head + datagram[HEADER.size : -TAG_SIZE] + more)


class OnlyNewerCodec(NewerCodec):
    """Has forgotten version 1."""

    versions = ONLY_NEWER
