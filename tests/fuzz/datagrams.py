"""Datagrams, from bytes to what the election answers, with and without keys.

An input is read as a small play: which keys are in force, then up to a dozen datagrams, each with
how it is made worth looking at. Bytes alone would never get past the tag, nor would a greeting ever
carry back the nonce that it was asked for; here both are put right where the input says so.
"""

from __future__ import annotations

import random
import struct

from followtheleader.core.actions import Action, Send
from followtheleader.core.election import Election
from followtheleader.core.events import AddressFound, Received, Started, Woken
from followtheleader.core.messages import Header, Hello, Message
from followtheleader.core.node import Memory, Node
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Address, Owner
from followtheleader.wire import KEY_OFFSET, NO_KEYS, Codec, KeyRing, Rejected
from followtheleader.wire.layout import (
    HEADER,
    HELLO_SIZE,
    MAX_DATAGRAM,
    MIN_DATAGRAM,
    SMALL_SIZE,
    TAG_SIZE,
)
from followtheleader.wire.seal import Seal
from wire.golden import recorded
from wire.rings import ring
from wire.samples import PEER, SERVICE

RINGS = (NO_KEYS, ring("a", "b"), ring("a", mode="accept"), ring("b", "a", mode="sign"))
SOURCES: tuple[Address, ...] = tuple((f"10.0.0.{last}", 9001) for last in range(2, 6))
MOST_PLAYED = 12
MOST_ANSWERS = 40
"""To one datagram: a heartbeat to each of the few members here, and to each of their addresses."""
LENGTH_AT = 5
ECHO_AT = HEADER.size + 8
"""Of a greeting, behind its own nonce."""

SEAL, ANSWER, FULL, QUORUM = 1, 2, 4, 8
"""Bits of a datagram's first byte: put its tag right; carry our last nonce back; make it as long as
a greeting; two bits more name its source, and one lets time pass."""


def seeds() -> list[bytes]:
    """Every message that there is, alone and after a greeting, under each ring."""
    lines = list(recorded().values())
    greeting = next(line for line in lines if len(line) >= HELLO_SIZE)
    found = []
    for keys in range(len(RINGS)):
        for quorum in (0, QUORUM):
            head = bytes([keys | quorum])
            met = played(greeting, SEAL | ANSWER | FULL)
            found += [head + met + played(line, SEAL | ANSWER) + played(line, 0) for line in lines]
    return found


def played(datagram: bytes, how: int) -> bytes:
    """One datagram of an input."""
    return bytes([how]) + struct.pack(">H", len(datagram)) + datagram


def one(data: bytes) -> None:
    """Play it; whatever comes, nothing is raised, and what is answered is bounded."""
    if not data:
        return
    keys = RINGS[data[0] & 3]
    codec, seal = Codec(SERVICE, PEER, keys), Seal(SERVICE, keys)
    voters = ("a", "b", "c") if data[0] & QUORUM else ()
    node = Node(Owner(PEER, 1_000), "b", 100, Timing(250 * MS, 3, 0), voters)
    now = 1_000 * MS
    election = Election(node, Memory(floor=1), random.Random(1), now)
    asked = _nonce_in(election.step(Started(), now), 0)
    election.step(AddressFound(SOURCES[0]), now)
    place = 1
    for _ in range(MOST_PLAYED):
        if place + 3 > len(data):
            break
        how, length = data[place], struct.unpack_from(">H", data, place + 1)[0]
        datagram = data[place + 3 : place + 3 + min(length, 2 * MAX_DATAGRAM)]
        place += 3 + len(datagram)
        now += (1 + 400 * (how >> 7)) * MS
        due = election.next_deadline()
        if due is not None and due <= now:
            asked = _nonce_in(election.step(Woken(1_000), now), asked)
        datagram = _prepared(datagram, how, asked, seal)
        decoded = codec.decode(datagram)
        if isinstance(decoded, Rejected):
            continue
        header, message = decoded
        _comes_over_again(codec, keys, header, message)
        assert keys.unsigned or datagram[KEY_OFFSET], "unsigned, and keys are required"
        source = SOURCES[how >> 4 & 3]
        actions = election.step(Received(header, message, source), now)
        answers = [action for action in actions if isinstance(action, Send)]
        assert len(answers) <= MOST_ANSWERS, f"{len(answers)} answers to one datagram"
        asked = _nonce_in(actions, asked)
        election.view(now)


def _prepared(datagram: bytes, how: int, asked: int, seal: Seal) -> bytes:
    """The datagram as it is sent."""
    if how & FULL and MIN_DATAGRAM <= len(datagram) < HELLO_SIZE:
        datagram = datagram[:-TAG_SIZE].ljust(HELLO_SIZE - TAG_SIZE, b"\0") + datagram[-TAG_SIZE:]
    if len(datagram) < MIN_DATAGRAM or not how & SEAL:
        return datagram
    content = bytearray(datagram[:-TAG_SIZE])
    content[KEY_OFFSET] = seal.key_id
    struct.pack_into(">H", content, LENGTH_AT, len(datagram))
    if how & ANSWER and len(content) >= ECHO_AT + 8:
        struct.pack_into(">Q", content, ECHO_AT, asked)
    return seal.seal(bytes(content))


def _comes_over_again(codec: Codec, keys: KeyRing, header: Header, message: Message) -> None:
    """What was understood can be said, and is understood as the same."""
    said = Codec(SERVICE, header.sender.id, keys).encode(header, message)
    assert codec.decode(said) == (header, message)
    assert len(said) <= (HELLO_SIZE if isinstance(message, Hello) else SMALL_SIZE)


def _nonce_in(actions: list[Action], before: int) -> int:
    """The nonce that was asked last."""
    for action in reversed(actions):
        if isinstance(action, Send) and isinstance(action.message, Hello) and action.message.nonce:
            return action.message.nonce
    return before
