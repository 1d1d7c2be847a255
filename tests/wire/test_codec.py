"""What is said comes over; what is wrong is named and dropped."""

from __future__ import annotations

import dataclasses
import struct
from typing import get_args

import pytest

from followtheleader.core.messages import Ack, Busy, Bye, Header, Heartbeat, Hello, Message, Release
from followtheleader.core.timing import lock_span
from followtheleader.core.types import MAX_TERM, MS, NANOSECONDS, Address, Owner
from followtheleader.errors import InvariantBroken
from followtheleader.wire import RELEASE_TYPE, Codec, Fault, Rejected
from followtheleader.wire.body import _PACKERS, _SHAPES, MAX_MEMBERS, MAX_SPAN, parse
from followtheleader.wire.layout import Type
from wire.forge import forge, resealed
from wire.golden import recorded, spoken
from wire.samples import HEADER, HEARTBEAT, HELLO, ME, PEER, SAMPLES, SERVICE

SPEAKER = Codec(SERVICE, ME)
LISTENER = Codec(SERVICE, PEER)
EVERY = pytest.mark.parametrize("name", SAMPLES)

RELEASE, ACK, BYE = 8, 9, 13
TOO_HIGH = MAX_TERM
FINE_ACK = struct.pack(">QQQ", 1, 2, 3)


def heard(datagram: bytes) -> Message:
    outcome = LISTENER.decode(datagram)
    assert not isinstance(outcome, Rejected), outcome
    return outcome[1]


def fault(datagram: bytes) -> Fault:
    outcome = LISTENER.decode(datagram)
    assert isinstance(outcome, Rejected), outcome
    return outcome.reason


@EVERY
def test_every_message_comes_over_with_its_header(name: str) -> None:
    assert LISTENER.decode(SPEAKER.encode(HEADER, SAMPLES[name])) == (HEADER, SAMPLES[name])


@EVERY
def test_the_bytes_are_those_on_file(name: str) -> None:
    assert spoken()[name].hex() == recorded()[name].hex()


def test_every_type_has_a_golden_datagram() -> None:
    assert recorded().keys() == SAMPLES.keys()
    assert {datagram[2] for datagram in recorded().values()} == set(Type) == {*range(1, 15), 17}


def test_the_layout_is_the_documented_one() -> None:
    spoken_by_hand = forge(
        ACK,
        struct.pack(">QQQ", 51, 52, 53),
        incarnation=HEADER.sender.incarnation,
        counter=HEADER.counter,
        priority=HEADER.priority,
    )
    assert spoken_by_hand == recorded()["ack"]
    assert recorded()["release"][2] == RELEASE_TYPE == RELEASE


@EVERY
def test_no_flipped_bit_passes(name: str) -> None:
    datagram = recorded()[name]
    for bit in range(len(datagram) * 8):
        damaged = bytearray(datagram)
        damaged[bit // 8] ^= 1 << bit % 8
        assert isinstance(LISTENER.decode(bytes(damaged)), Rejected), f"bit {bit}"


@EVERY
def test_no_part_and_no_extension_passes(name: str) -> None:
    datagram = recorded()[name]
    for size in range(len(datagram)):
        assert isinstance(LISTENER.decode(datagram[:size]), Rejected), f"{size} bytes"
        assert isinstance(LISTENER.decode(datagram[size + 1 :]), Rejected), f"from {size + 1} on"
    assert fault(datagram + b"\0") is Fault.LENGTH


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (b"", Fault.SHORT),
        (b"PING", Fault.SHORT),
        (forge(BYE)[:63], Fault.SHORT),
        (b"PING".ljust(64), Fault.MAGIC),
        (forge(BYE, magic=0xF3), Fault.MAGIC),
        (forge(BYE, version=0), Fault.VERSION),
        (forge(BYE, version=2), Fault.VERSION),
        (forge(BYE, length=63), Fault.LENGTH),
        (forge(BYE, length=65), Fault.LENGTH),
        (forge(BYE, bytes(1137)), Fault.LENGTH),
        (forge(BYE, service="another"), Fault.FOREIGN),
        (forge(BYE, key_id=1), Fault.KEY),
        (forge(BYE)[:-1] + b"\0", Fault.DAMAGED),
        (forge(BYE, sender=0), Fault.SENDER),
        (forge(BYE, incarnation=TOO_HIGH), Fault.SENDER),
        (forge(BYE, sender=PEER), Fault.OWN),
        (forge(BYE, receiver=PEER + 1), Fault.RECEIVER),
        (forge(0), Fault.TYPE),
        (forge(15, bytes(60)), Fault.TYPE),
        (forge(255, bytes(60)), Fault.TYPE),
        (forge(ACK, FINE_ACK[:-1]), Fault.BODY),
        (forge(ACK, struct.pack(">QQQ", TOO_HIGH, 1, 1)), Fault.RANGE),
        (forge(ACK, struct.pack(">QQQ", 1, 1, 2**64 - 1)), Fault.RANGE),
    ],
)
def test_each_fault_has_its_name(datagram: bytes, expected: Fault) -> None:
    assert fault(datagram) is expected


def test_a_datagram_to_anybody_is_for_us() -> None:
    assert heard(forge(BYE, receiver=0)) == Bye()


def test_a_newer_member_may_append_and_set_flags() -> None:
    assert heard(forge(ACK, FINE_ACK + b"more to say", flags=0xFF)) == Ack(1, 2, 3)
    assert heard(forge(BYE, bytes(1136))) == Bye()
    unknown_bits = struct.pack(">QQB", 1, 2, 0xFE)
    assert heard(forge(Type.NACK, unknown_bits)) == heard(
        forge(Type.NACK, unknown_bits[:-1] + b"\0")
    )


def test_the_counter_may_be_the_last_there_is() -> None:
    outcome = LISTENER.decode(forge(BYE, counter=2**64 - 1))
    assert not isinstance(outcome, Rejected)
    assert outcome[0].counter == 2**64 - 1


def test_numbers_are_accepted_up_to_the_limit() -> None:
    last = MAX_TERM - 1
    body = struct.pack(">QQQ", last, last, last)
    assert heard(forge(ACK, body, incarnation=last)) == Ack(last, last, last)


def test_a_second_node_with_our_id_can_be_seen() -> None:
    outcome = LISTENER.decode(forge(BYE, sender=PEER, incarnation=77, counter=5))
    assert outcome == Rejected(Fault.OWN, Header(Owner(PEER, 77), 5, PEER, 100))


def test_nothing_is_told_of_an_unverified_sender() -> None:
    outcome = LISTENER.decode(forge(BYE, sender=PEER)[:-1] + b"\0")
    assert outcome == Rejected(Fault.DAMAGED)


def test_another_election_is_told_apart_even_with_a_copied_hash() -> None:
    stranger = Codec("another", ME).encode(HEADER, Bye())
    assert fault(stranger) is Fault.FOREIGN
    assert fault(stranger[:7] + forge(BYE)[7:15] + stranger[15:]) is Fault.DAMAGED


def test_a_short_greeting_is_not_answered() -> None:
    full = recorded()["hello"][48:-16]
    assert heard(forge(Type.HELLO, full)) == HELLO
    assert fault(forge(Type.HELLO, full[:-1])) is Fault.LENGTH
    assert fault(forge(Type.HELLO_ACK, full[:-1])) is Fault.LENGTH
    assert heard(forge(Type.HELLO, full + bytes(176))) == HELLO


# Offsets into a greeting: five numbers, lowest, highest, flags, size of name, members, pause, name.
SEEN, LOWEST, NAME_SIZE, COUNT, PAUSE, NAME = 64, 88, 48 + 43, 48 + 44, 48 + 45, 48 + 77


@pytest.mark.parametrize(
    ("position", "value", "expected"),
    [
        (SEEN, 0x40, Fault.RANGE),
        (LOWEST, 4, Fault.BODY),
        (NAME_SIZE, 0, Fault.BODY),
        (NAME_SIZE, 64, Fault.BODY),
        (NAME_SIZE, 255, Fault.BODY),
        (COUNT, MAX_MEMBERS + 1, Fault.BODY),
        (COUNT, 255, Fault.BODY),
        (COUNT, 3, Fault.BODY),  # the third would have the id 0
        (NAME, ord("/"), Fault.BODY),
        (NAME, ord("\n"), Fault.BODY),
        (NAME, 0xC3, Fault.BODY),
        (NAME, 0, Fault.BODY),
    ],
)
def test_a_greeting_with_a_bad_field_is_dropped(position: int, value: int, expected: Fault) -> None:
    assert fault(resealed(recorded()["hello"], position, value)) is expected


def greeting(name_size: int, count: int) -> bytes:
    """Return a full greeting's body whose members have addresses and ids, as many as fit."""
    body = recorded()["hello"][48 : 48 + 43] + bytes([name_size, count]) + bytes(32)
    body += b"n" * name_size
    return (body + 35 * struct.pack(">Q16sH", 7, bytes(16), 9001))[:960].ljust(960, b"\0")


def test_no_more_members_are_taken_than_are_ever_told() -> None:
    most = heard(forge(Type.HELLO, greeting(1, MAX_MEMBERS)))
    assert isinstance(most, Hello)
    assert len(most.members) == MAX_MEMBERS
    assert fault(forge(Type.HELLO, greeting(1, MAX_MEMBERS + 1))) is Fault.BODY


def test_members_that_are_missing_are_not_made_up() -> None:
    body = greeting(1, 3)
    whole = 77 + 1 + 3 * 26
    assert isinstance(parse(Type.HELLO, body[:whole]), Hello)
    for size in range(whole):
        assert parse(Type.HELLO, body[:size]) is Fault.BODY


def field(name: str, position: int, layout: str, value: int) -> bytes:
    """Return a golden datagram with one number of its body replaced, and the right tag."""
    datagram = recorded()[name]
    body = bytearray(datagram[48:-16])
    struct.pack_into(layout, body, position, value)
    return forge(datagram[2], bytes(body))


@pytest.mark.parametrize(
    ("name", "position"),
    [
        ("hello", 16),
        ("prepare", 0),
        ("prepare-after", 17),
        ("prepare-after", 25),
        ("promise", 0),
        ("nack", 0),
        ("nack", 8),
        ("busy", 16),
        ("busy", 43),
        ("busy", 51),
        ("busy", 65),
        ("heartbeat", 0),
        ("heartbeat", 8),
        ("heartbeat", 16),
        ("challenge", 8),
        ("challenge", 16),
        ("challenge", 24),
        ("release", 0),
        ("ack", 0),
        ("ack", 8),
        ("ack", 16),
        ("refute", 8),
        ("refute", 16),
    ],
)
def test_a_number_is_dropped_from_the_limit_on(name: str, position: int) -> None:
    heard(field(name, position, ">Q", MAX_TERM - 1))
    assert fault(field(name, position, ">Q", MAX_TERM)) is Fault.RANGE


@pytest.mark.parametrize("position", [27, 31, 35])
def test_a_span_is_dropped_above_the_limit(position: int) -> None:
    heard(field("heartbeat", position, ">I", MAX_SPAN // 1000))
    assert fault(field("heartbeat", position, ">I", MAX_SPAN // 1000 + 1)) is Fault.RANGE


@pytest.mark.parametrize(("name", "position"), [("prepare-after", 9), ("busy", 8), ("refute", 0)])
def test_an_owner_without_an_id_is_dropped(name: str, position: int) -> None:
    assert fault(field(name, position, ">Q", 0)) is Fault.BODY


DAY_MS = 86_400_000


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ((1, 2, DAY_MS, 0, 0), None),
        ((0, 2, 1, 3, 4), Fault.BODY),
        ((1, 0, 1, 3, 4), Fault.BODY),
        ((1, 2, DAY_MS + 1, 3, 4), Fault.RANGE),
        ((1, 2, 1, 3, TOO_HIGH), Fault.RANGE),
    ],
)
def test_a_word_about_a_pause(fields: tuple[int, ...], expected: Fault | None) -> None:
    """By itself, in a greeting, and (but for who led last) in a heartbeat. 0 there: nothing."""
    packed = struct.pack(">IQIQQ", *fields)
    hello = recorded()["hello"]
    greeting = forge(Type.HELLO, hello[48:PAUSE] + packed + hello[NAME:-16])
    beat = forge(Type.HEARTBEAT, recorded()["heartbeat"][48:95] + packed[:16])
    for datagram in (forge(Type.PAUSE, packed), greeting, beat):
        silent = fields[0] == 0 and datagram[2] != Type.PAUSE
        in_term = expected is Fault.RANGE and fields[4] == TOO_HIGH and datagram is beat
        if expected is None or silent or in_term:
            heard(datagram)
        else:
            assert fault(datagram) is expected


def test_an_absent_predecessor_is_not_looked_at() -> None:
    body = struct.pack(">QBQQQ", 7, 0, 0, 2**64 - 1, 2**64 - 1)
    assert heard(forge(Type.PREPARE, body)) == heard(forge(Type.PREPARE, body[:9] + bytes(24)))


def test_a_pace_that_nobody_can_follow_is_dropped() -> None:
    def beat(micros: int) -> bytes:
        return forge(
            Type.HEARTBEAT,
            struct.pack(">QQQHBIIIQIQI", 1, 1, 1, 0, 0, micros, 800_000, 0, 0, 0, 0, 0),
        )

    assert fault(beat(0)) is Fault.BODY
    assert fault(beat(999)) is Fault.BODY
    assert isinstance(heard(beat(1000)), Heartbeat)


def test_spans_are_rounded_up_so_that_no_lock_is_short() -> None:
    exact = dataclasses.replace(HEARTBEAT, heartbeat=250 * MS, lease=800 * MS + 1, stop_timeout=999)
    rounded = dataclasses.replace(HEARTBEAT, lease=800 * MS + 1000, stop_timeout=1000)
    assert heard(SPEAKER.encode(HEADER, exact)) == rounded


def test_the_longest_lock_can_be_told_of() -> None:
    longest = dataclasses.replace(HEARTBEAT, lease=MAX_SPAN, stop_timeout=MAX_SPAN)
    assert heard(SPEAKER.encode(HEADER, longest)) == longest
    busy = dataclasses.replace(busy_sample(), remaining=lock_span(MAX_SPAN, MAX_SPAN))
    assert heard(SPEAKER.encode(HEADER, busy)) == busy


@pytest.mark.parametrize(
    ("said", "understood"),
    [
        (("10.77.0.3", 0), ("10.77.0.3", 0)),
        (("255.255.255.255", 65535), ("255.255.255.255", 65535)),
        (("::ffff:10.0.0.1", 9001), ("10.0.0.1", 9001)),
        (("FE80:0::1", 9001), ("fe80::1", 9001)),
        (("fe80::1%eth0", 9001), ("fe80::1", 9001)),
        (("::", 1), ("::", 1)),
    ],
)
def test_addresses_have_one_form(said: Address, understood: Address) -> None:
    outcome = heard(SPEAKER.encode(HEADER, dataclasses.replace(busy_sample(), address=said)))
    assert isinstance(outcome, Busy)
    assert outcome.address == understood


def busy_sample() -> Busy:
    sample = SAMPLES["busy"]
    assert isinstance(sample, Busy)
    return sample


def hello(**changes: object) -> Hello:
    return dataclasses.replace(HELLO, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "message",
    [
        Ack(MAX_TERM, 1, 1),
        Ack(1, -1, 1),
        Ack(1, 1, MAX_TERM),
        Release(1, 2**64),
        dataclasses.replace(HEARTBEAT, support=2**16),
        dataclasses.replace(HEARTBEAT, heartbeat=MS - 1),
        dataclasses.replace(HEARTBEAT, lease=MAX_SPAN + 1),
        dataclasses.replace(HEARTBEAT, stop_timeout=-1),
        dataclasses.replace(busy_sample(), remaining=4295 * NANOSECONDS),
        dataclasses.replace(busy_sample(), address=("host-b", 9001)),
        dataclasses.replace(busy_sample(), address=("10.0.0.1", 65536)),
        dataclasses.replace(busy_sample(), leader=Owner(0, 1)),
        hello(name=""),
        hello(name="n" * 64),
        hello(name="a b"),
        hello(name="ä"),
        hello(name="a\n"),
        hello(versions=(2, 1)),
        hello(versions=(1, 256)),
        hello(members=((0, ("10.0.0.1", 9001)),)),
        hello(members=tuple((i + 1, ("10.0.0.1", 9001)) for i in range(MAX_MEMBERS + 1))),
    ],
)
def test_what_others_would_drop_is_not_sent(message: Message) -> None:
    with pytest.raises(InvariantBroken):
        SPEAKER.encode(HEADER, message)


@pytest.mark.parametrize(
    "header",
    [
        dataclasses.replace(HEADER, sender=Owner(PEER, 1)),
        dataclasses.replace(HEADER, sender=Owner(ME, MAX_TERM)),
        dataclasses.replace(HEADER, counter=2**64),
        dataclasses.replace(HEADER, receiver=-1),
        dataclasses.replace(HEADER, priority=256),
    ],
)
def test_a_header_that_others_would_drop_is_not_sent(header: Header) -> None:
    with pytest.raises(InvariantBroken):
        SPEAKER.encode(header, Bye())


@pytest.mark.parametrize("me", [0, -1, 2**64])
def test_nobody_has_no_codec(me: int) -> None:
    with pytest.raises(InvariantBroken):
        Codec(SERVICE, me)


def test_no_message_is_forgotten() -> None:
    """A HELLO has two types, and its own way."""
    assert {*_PACKERS, Hello} == set(get_args(Message))
    assert Hello not in _PACKERS
    packed = {kind for kind, _ in _PACKERS.values()}
    assert len(packed) == len(_PACKERS)
    assert {*packed, Type.HELLO, Type.HELLO_ACK} == set(_SHAPES) == set(Type)
