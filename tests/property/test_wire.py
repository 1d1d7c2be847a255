"""Whatever is said comes over; whatever comes in, nothing but what was said is understood."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from followtheleader.core.messages import (
    Ack,
    Ask,
    Busy,
    Bye,
    Challenge,
    Handover,
    Header,
    Heartbeat,
    Hello,
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
from followtheleader.core.types import MAX_TERM, MS, Owner, Rank
from followtheleader.wire import NO_KEYS, Codec, KeyRing, Rejected
from followtheleader.wire.body import MAX_MEMBERS, MAX_SPAN, MIN_HEARTBEAT
from followtheleader.wire.layout import HELLO_SIZE, SMALL_SIZE, Type
from wire.forge import forge, resealed
from wire.golden import recorded
from wire.rings import key, ring
from wire.samples import ME, PEER, SERVICE

SPEAKER = Codec(SERVICE, ME)
LISTENER = Codec(SERVICE, PEER)
RINGS = [NO_KEYS, ring("a"), ring("a", "b"), ring("b", "a"), ring("b")]
RINGS += [ring("a", mode="accept"), ring("b", "a", mode="sign")]
RINGS += [KeyRing((key("a", secret="another"),), signs=True, unsigned=False)]
PATIENT = settings(deadline=None)
"""A busy machine is not a fault of the codec."""


def spans(least: int, most: int) -> st.SearchStrategy[int]:
    return st.integers(least // 1000, most // 1000).map(lambda micros: micros * 1000)


u8 = st.integers(0, 2**8 - 1)
u16 = st.integers(0, 2**16 - 1)
u64 = st.integers(0, 2**64 - 1)
numbers = st.integers(0, MAX_TERM - 1)
ids = st.integers(1, 2**64 - 1)
owners = st.builds(Owner, ids, numbers)
literals = st.ip_addresses().map(str).filter(lambda literal: not literal.startswith("::ffff:"))
addresses = st.tuples(literals, u16)
names = st.from_regex(r"[A-Za-z0-9._-]{1,63}", fullmatch=True)
ranks = st.builds(Rank, u16, numbers.map(lambda tenure: -tenure), u8, u64)
notices = st.builds(
    Notice,
    number=st.integers(1, 2**32 - 1),
    author=ids,
    remaining=st.integers(0, MAX_PAUSE // MS).map(lambda left: left * MS),
)
pauses = st.builds(Pause, notices, u64, numbers)
heartbeats = st.builds(
    Heartbeat,
    term=numbers,
    seq=numbers,
    tenure=numbers,
    support=u16,
    established=st.booleans(),
    heartbeat=spans(MIN_HEARTBEAT, MAX_SPAN),
    lease=spans(0, MAX_SPAN),
    stop_timeout=spans(0, MAX_SPAN),
    echo=u64,
    pause=st.none() | notices,
)
hellos = st.builds(
    Hello,
    ack=st.booleans(),
    nonce=u64,
    echo=u64,
    seen=numbers,
    name=names,
    quorum=st.booleans(),
    voters_digest=u64,
    timing_digest=u64,
    witness=st.booleans(),
    versions=st.tuples(u8, u8).map(lambda pair: (min(pair), max(pair))),
    pause=st.none() | pauses,
    members=st.lists(st.tuples(ids, addresses), max_size=MAX_MEMBERS).map(tuple),
)
busies = st.builds(
    Busy,
    echo=u64,
    leader=owners,
    address=st.none() | addresses,
    term=numbers,
    seq=numbers,
    remaining=spans(0, (2**32 - 1) * 1000),
    rank=ranks,
)
messages: st.SearchStrategy[Message] = st.one_of(
    hellos,
    st.builds(Prepare, numbers, st.none() | st.tuples(owners, numbers)),
    st.builds(Promise, numbers),
    st.builds(Nack, numbers, numbers, st.booleans()),
    busies,
    heartbeats,
    st.builds(Ack, numbers, numbers, numbers),
    st.builds(Challenge, u64, heartbeats),
    st.builds(Release, numbers, u64),
    st.builds(Refute, owners, numbers),
    st.builds(Ask, u64),
    st.just(Bye()),
    st.builds(Handover, u64, st.booleans()),
    pauses,
)
headers = st.builds(
    Header,
    sender=st.builds(Owner, st.just(ME), numbers),
    counter=u64,
    receiver=st.sampled_from((0, PEER)),
    priority=u8,
)


@PATIENT
@given(headers, messages)
def test_what_is_said_comes_over(header: Header, message: Message) -> None:
    datagram = SPEAKER.encode(header, message)
    assert LISTENER.decode(datagram) == (header, message)
    if isinstance(message, Hello):
        assert len(datagram) == HELLO_SIZE
    else:
        assert len(datagram) <= SMALL_SIZE


@PATIENT
@given(headers, messages, st.data())
def test_no_damaged_datagram_is_understood(
    header: Header, message: Message, data: st.DataObject
) -> None:
    whole = SPEAKER.encode(header, message)
    damaged = bytearray(whole)
    for position in data.draw(st.sets(st.integers(0, len(whole) - 1), min_size=1, max_size=3)):
        damaged[position] ^= data.draw(st.integers(1, 255))
    assert isinstance(LISTENER.decode(bytes(damaged)), Rejected)


@PATIENT
@given(headers, messages, st.data())
def test_no_part_of_a_datagram_is_understood(
    header: Header, message: Message, data: st.DataObject
) -> None:
    datagram = SPEAKER.encode(header, message)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(datagram))] * 2)))
    if end - start < len(datagram):
        assert isinstance(LISTENER.decode(datagram[start:end]), Rejected)


@PATIENT
@given(headers, messages, st.sampled_from(RINGS), st.sampled_from(RINGS))
def test_what_is_signed_is_heard_by_who_has_that_key_and_by_nobody_else(
    header: Header, message: Message, speaks: KeyRing, listens: KeyRing
) -> None:
    datagram = Codec(SERVICE, ME, speaks).encode(header, message)
    outcome = Codec(SERVICE, PEER, listens).decode(datagram)
    signer = speaks.signer
    counts = listens.unsigned if signer is None else signer in listens.keys
    assert (outcome == (header, message)) is counts


@PATIENT
@given(headers, messages, st.data())
def test_no_bit_of_what_is_signed_may_change(
    header: Header, message: Message, data: st.DataObject
) -> None:
    datagram = bytearray(Codec(SERVICE, ME, ring("a")).encode(header, message))
    position = data.draw(st.integers(0, len(datagram) * 8 - 1))
    datagram[position // 8] ^= 1 << position % 8
    assert isinstance(Codec(SERVICE, PEER, ring("a")).decode(bytes(datagram)), Rejected)


@PATIENT
@given(st.binary(max_size=1300))
def test_noise_is_dropped(noise: bytes) -> None:
    assert isinstance(LISTENER.decode(noise), Rejected)


@PATIENT
@given(st.sampled_from(Type), st.binary(max_size=1136))
def test_any_body_under_a_right_tag_is_dropped_or_could_be_sent_on(kind: Type, body: bytes) -> None:
    if kind in (Type.HELLO, Type.HELLO_ACK):
        body = body.ljust(HELLO_SIZE - 64, b"\0")
    can_be_sent_on(forge(kind, body))


@PATIENT
@given(st.sampled_from(sorted(recorded())), st.data())
def test_any_changed_field_under_a_right_tag_is_dropped_or_could_be_sent_on(
    name: str, data: st.DataObject
) -> None:
    datagram = recorded()[name]
    last = min(len(datagram) - 17, 200)
    for _ in range(data.draw(st.integers(1, 4))):
        datagram = resealed(datagram, data.draw(st.integers(0, last)), data.draw(u8))
    can_be_sent_on(datagram)


def can_be_sent_on(datagram: bytes) -> None:
    outcome = LISTENER.decode(datagram)
    if isinstance(outcome, Rejected):
        return
    header, message = outcome
    again = Codec(SERVICE, header.sender.id).encode(header, message)
    assert LISTENER.decode(again) == (header, message)
