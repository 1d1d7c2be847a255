"""The tag: whoever opens a datagram knows that no bit of it was changed on the way.

A key id names the primed hash that makes the tag. With key id 0 the tag is a checksum bound to the
election: it finds damage and strangers' noise, and proves nothing about who sent it. With any other
id it is a keyed BLAKE2s (RFC 7693), and proves that the sender knows that key's secret.

Each service has keys of its own, derived from the group's: a datagram of one cannot be shown to
another that has the same key file.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2s
from hmac import compare_digest

from followtheleader.errors import ensure
from followtheleader.wire.layout import CHECKSUM_KEY, KEY_OFFSET, TAG_SIZE, Fault, election_hash

_PERSON = b"ftl-wire"
_PERSON_OF_SERVICE = b"ftl-svc"
MAX_KEY_ID = 255


@dataclass(frozen=True, slots=True)
class Key:
    """A key of the group: its id on the wire (1 to 255), what people call it, and its 32 bytes."""

    id: int
    name: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class KeyRing:
    """What is signed with, and what counts. ``keys`` are all verified; the first is signed with, if
    ``signs``. ``unsigned``: datagrams without a signature count as well.
    """

    keys: tuple[Key, ...] = ()
    signs: bool = False
    unsigned: bool = True

    @property
    def signer(self) -> Key | None:
        """The key that is signed with."""
        return self.keys[0] if self.signs and self.keys else None

    def name_of(self, key_id: int) -> str | None:
        """Return the name of the key with this id; None if there is none."""
        return next((key.name for key in self.keys if key.id == key_id), None)


NO_KEYS = KeyRing()


class Seal:
    """Closes and opens the datagrams of the election ``service``, by the keys of ``ring``."""

    def __init__(self, service: str, ring: KeyRing = NO_KEYS) -> None:
        ids = [key.id for key in ring.keys]
        ensure(len(set(ids)) == len(ids), "each key has an id of its own")
        ensure(all(0 < key_id <= MAX_KEY_ID for key_id in ids), "an id of a key is a byte, not 0")
        ensure(bool(ring.keys) or (ring.unsigned and not ring.signs), "who signs has a key")
        salt = election_hash(service).to_bytes(blake2s.SALT_SIZE, "big")
        self._primed = {
            key.id: _primed(_of_service(key.secret, service), salt) for key in ring.keys
        }
        self._checksum = _primed(b"", salt)
        if ring.unsigned:
            self._primed[CHECKSUM_KEY] = self._checksum
        signer = ring.signer
        self.key_id = signer.id if signer else CHECKSUM_KEY
        """The key id that has to stand in the header of what is sealed."""
        self._signing = self._primed[self.key_id]

    def seal(self, content: bytes) -> bytes:
        """Return header and body with their tag behind them."""
        return content + _tag(self._signing, content)

    def open(self, datagram: bytes) -> bytes | Fault:
        """Return header and body without the tag if it is right, else UNSIGNED, KEY or TAG.

        ``datagram`` is at least as long as a header and a tag.
        """
        key_id = datagram[KEY_OFFSET]
        primed = self._primed.get(key_id)
        if primed is None:
            return Fault.UNSIGNED if key_id == CHECKSUM_KEY else Fault.KEY
        content = datagram[:-TAG_SIZE]
        if not compare_digest(_tag(primed, content), datagram[-TAG_SIZE:]):
            return Fault.DAMAGED if key_id == CHECKSUM_KEY else Fault.TAG
        return content


def _of_service(secret: bytes, service: str) -> bytes:
    """Derive the 32 bytes of the key that ``service`` has from the group's."""
    return blake2s(service.encode(), key=secret, person=_PERSON_OF_SERVICE).digest()


def _primed(key: bytes, salt: bytes) -> blake2s:
    return blake2s(digest_size=TAG_SIZE, key=key, person=_PERSON, salt=salt)


def _tag(primed: blake2s, content: bytes) -> bytes:
    state = primed.copy()
    state.update(content)
    return state.digest()
