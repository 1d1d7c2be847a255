"""Sizes are part of the protocol: what is cheap to drop, and what cannot be used to amplify."""

from __future__ import annotations

import dataclasses

import pytest

from followtheleader.core.messages import (
    Ack,
    Ask,
    Busy,
    Bye,
    Challenge,
    Handover,
    Header,
    Heartbeat,
    Message,
    Nack,
    Notice,
    Pause,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.pause import MAX_PAUSE
from followtheleader.core.types import MAX_TERM, Address, Owner, Rank
from followtheleader.wire import MAX_DATAGRAM, Codec
from followtheleader.wire.body import MAX_MEMBERS, MAX_SPAN
from wire.golden import recorded
from wire.samples import HEADER, HELLO, HELLO_ACK, ME, PEER, SERVICE

SPEAKER = Codec(SERVICE, ME)
TOP = MAX_TERM - 1
U64 = 2**64 - 1
OWNER = Owner(U64, TOP)
FAR: Address = ("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65535)
NOTICE = Notice(2**32 - 1, U64, MAX_PAUSE)
BEAT = Heartbeat(TOP, TOP, TOP, 65535, True, MAX_SPAN, MAX_SPAN, MAX_SPAN, U64, NOTICE)
LARGEST: dict[str, Message] = {
    "prepare": Prepare(TOP, (OWNER, TOP)),
    "promise": Promise(TOP),
    "nack": Nack(TOP, TOP, True),
    "busy": Busy(U64, OWNER, FAR, TOP, TOP, (2**32 - 1) * 1000, Rank(65535, -TOP, 255, U64)),
    "heartbeat": BEAT,
    "release": Release(TOP, U64),
    "ack": Ack(TOP, TOP, TOP),
    "challenge": Challenge(U64, BEAT),
    "refute": Refute(OWNER, TOP),
    "ask": Ask(U64),
    "bye": Bye(),
    "handover": Handover(U64, True),
    "pause": Pause(NOTICE, U64, TOP),
}
FULL_HEADER = Header(Owner(ME, TOP), U64, U64, 255)
SIZES = {
    "prepare": 97,
    "promise": 72,
    "nack": 81,
    "busy": 146,
    "heartbeat": 127,
    "release": 80,
    "ack": 88,
    "challenge": 135,
    "refute": 88,
    "ask": 72,
    "bye": 64,
    "handover": 73,
    "pause": 96,
}


@pytest.mark.parametrize("kind", LARGEST)
def test_a_message_has_one_size_whatever_it_says_and_it_is_small(kind: str) -> None:
    size = len(SPEAKER.encode(FULL_HEADER, LARGEST[kind]))
    assert size == len(recorded()[kind]) == SIZES[kind]
    assert size <= 160


def test_every_message_but_the_greeting_is_measured() -> None:
    assert {type(message) for message in LARGEST.values()} == {
        kind for kind in Message.__args__ if kind.__name__ != "Hello"
    }


@pytest.mark.parametrize("name_size", range(1, 64))
def test_greetings_are_all_of_one_size(name_size: int) -> None:
    full = tuple((U64, FAR) for _ in range(MAX_MEMBERS))
    sizes = {
        len(SPEAKER.encode(HEADER, dataclasses.replace(greeting, name=name, members=members)))
        for greeting in (HELLO, HELLO_ACK)
        for name in ("n" * name_size,)
        for members in ((), full[:1], full)
    }
    assert sizes == {1024}
    assert max(sizes) <= MAX_DATAGRAM == 1200


def test_a_full_greeting_comes_over_with_the_longest_name() -> None:
    members = tuple((index + 1, ("10.77.0.1", 9000 + index)) for index in range(MAX_MEMBERS))
    greeting = dataclasses.replace(HELLO, name="n" * 63, members=members)
    assert Codec(SERVICE, PEER).decode(SPEAKER.encode(HEADER, greeting)) == (HEADER, greeting)


def test_a_greeting_tells_of_a_middling_group_at_once() -> None:
    assert MAX_MEMBERS >= 24
