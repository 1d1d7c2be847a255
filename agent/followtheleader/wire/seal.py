"""The tag: whoever opens a datagram knows that no bit of it was changed on the way.

With key id 0 the tag is a checksum bound to the election: it finds damage and strangers' noise, and
proves nothing about who sent it. A key id names the primed hash that made the tag, so that keys
differ from the checksum only by what the hash is primed with.
"""

from __future__ import annotations

from hashlib import blake2s
from hmac import compare_digest

from followtheleader.wire.layout import CHECKSUM_KEY, KEY_OFFSET, TAG_SIZE, Fault

_PERSON = b"ftl-wire"


class Seal:
    """Closes and opens the datagrams of one election (``election``: its 64-bit hash)."""

    def __init__(self, election: int) -> None:
        checksum = blake2s(
            digest_size=TAG_SIZE, person=_PERSON, salt=election.to_bytes(blake2s.SALT_SIZE, "big")
        )
        self._primed = {CHECKSUM_KEY: checksum}
        self.key_id = CHECKSUM_KEY
        """The key id that has to stand in the header of what is sealed."""

    def seal(self, content: bytes) -> bytes:
        """Return header and body with their tag behind them."""
        return content + _tag(self._primed[self.key_id], content)

    def open(self, datagram: bytes) -> bytes | Fault:
        """Return header and body without the tag if it is right, else KEY or TAG.

        ``datagram`` is at least as long as a header and a tag.
        """
        primed = self._primed.get(datagram[KEY_OFFSET])
        if primed is None:
            return Fault.KEY
        content = datagram[:-TAG_SIZE]
        if not compare_digest(_tag(primed, content), datagram[-TAG_SIZE:]):
            return Fault.TAG
        return content


def _tag(primed: blake2s, content: bytes) -> bytes:
    state = primed.copy()
    state.update(content)
    return state.digest()
