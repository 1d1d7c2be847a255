"""The codec of one election at one node: header, body and tag together.

It promises that what it decodes was sealed for this election by somebody else, is meant for this
node, and is whole; the tag is verified before a byte of the body is looked at. It does not promise
that the datagram is new (that is the election's window against replays), nor, where unsigned ones
count, who sent it.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from followtheleader.core.messages import Header, Message
from followtheleader.core.types import (
    ANYBODY,
    GREETING_VERSION,
    MAX_TERM,
    VERSIONS,
    NodeId,
    Owner,
)
from followtheleader.errors import InvariantBroken, ensure
from followtheleader.wire import body
from followtheleader.wire.layout import (
    GREETINGS,
    HEADER,
    HELLO_SIZE,
    MAGIC,
    MAX_DATAGRAM,
    MIN_DATAGRAM,
    Fault,
    election_hash,
)
from followtheleader.wire.seal import NO_KEYS, KeyRing, Seal


@dataclass(frozen=True, slots=True)
class Rejected:
    """A datagram that is dropped and counted.

    ``header`` is there once the tag was right and the sender can be one: with OWN and another
    incarnation than ours it shows that a second node uses our id.
    """

    reason: Fault
    header: Header | None = None


class Codec:
    """Encodes and decodes the datagrams of the election ``service`` at the node with id ``me``.

    ``versions``: the lowest and the highest version that it speaks.
    """

    versions = VERSIONS

    def __init__(self, service: str, me: NodeId, ring: KeyRing = NO_KEYS) -> None:
        ensure(0 < me < 2**64, "a node's id has 64 bits and is not 0")
        self._me = me
        self._service = service
        self._election = election_hash(service)
        self._seal = Seal(service, ring)

    def use(self, ring: KeyRing) -> None:
        """Sign and verify by the keys of ``ring`` from now on."""
        self._seal = Seal(self._service, ring)

    def encode(self, header: Header, message: Message) -> bytes:
        """Return the sealed datagram, at most 160 bytes (a greeting: 1,024).

        ``InvariantBroken`` if a value is one that no member may send: it would be rejected.
        """
        version = header.version
        sender = header.sender
        if sender.id != self._me or not 0 <= sender.incarnation < MAX_TERM:
            raise InvariantBroken(f"{sender} is not a life of this node")
        try:
            kind, content = body.pack(message)
            ensure(self._speaks(kind, version), "what is said is said in a version in common")
            head = HEADER.pack(
                MAGIC,
                version,
                kind,
                self._seal.key_id,
                0,
                MIN_DATAGRAM + len(content),
                self._election,
                *sender,
                header.counter,
                header.receiver,
                header.priority,
            )
        except struct.error as error:
            raise InvariantBroken(f"a number of {message!r} fits its field: {error}") from error
        return self._seal.seal(head + content)

    def decode(self, datagram: bytes) -> tuple[Header, Message] | Rejected:
        """Return who said what, or why the datagram is dropped. Never raises."""
        # What is cheap to see comes first: a flood of noise costs no hashing.
        size = len(datagram)
        if size < MIN_DATAGRAM:
            return Rejected(Fault.SHORT)
        magic, version, kind, _, _, length, election, sender, life, counter, receiver, priority = (
            HEADER.unpack_from(datagram)
        )
        if magic != MAGIC:
            return Rejected(Fault.MAGIC)
        if not self._speaks(kind, version):
            return Rejected(Fault.VERSION)
        # A greeting is answered with one of full size: a shorter one must not be.
        if length != size or size > MAX_DATAGRAM or (kind in GREETINGS and size < HELLO_SIZE):
            return Rejected(Fault.LENGTH)
        if election != self._election:
            return Rejected(Fault.FOREIGN)
        content = self._seal.open(datagram)
        if isinstance(content, Fault):
            return Rejected(content)
        if sender == 0 or life >= MAX_TERM:
            return Rejected(Fault.SENDER)
        # As Owner(sender, life), without the call of a function: this happens all day long.
        owner = tuple.__new__(Owner, (sender, life))
        header = Header(owner, counter, receiver, priority, version)
        if sender == self._me:
            return Rejected(Fault.OWN, header)
        if receiver != self._me and receiver != ANYBODY:
            return Rejected(Fault.RECEIVER, header)
        message = body.parse(kind, content[HEADER.size :])
        return Rejected(message, header) if isinstance(message, Fault) else (header, message)

    def _speaks(self, kind: int, version: int) -> bool:
        if kind in GREETINGS:
            return version == GREETING_VERSION
        lowest, highest = self.versions
        return lowest <= version <= highest
