"""Each message's fields: `pack` for what we say, `parse` for what others say.

What is packed parses to the same message, but for three things that have one form on the wire:
spans are rounded *up* to whole microseconds (a lock that lasts a microsecond longer is safe, a
shorter one is not), an IPv4 address mapped into IPv6 comes back as IPv4, and an IPv6 scope is left
out, because it means nothing on another host.

`parse` trusts nobody: it never raises, and no number passes that could not be sent on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from struct import Struct
from typing import Any

from followtheleader.core.messages import (
    Ack,
    Ask,
    Busy,
    Bye,
    Challenge,
    Handover,
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
from followtheleader.core.types import MAX_TERM, MS, NANOSECONDS, Address, Owner, Rank, Span
from followtheleader.errors import InvariantBroken, ensure
from followtheleader.wire.layout import HEADER, HELLO_SIZE, TAG_SIZE, Fault, Type

MIN_HEARTBEAT: Span = MS
"""A leader's H may not be below this: its followers take their own pace from it."""
MAX_SPAN: Span = 1500 * NANOSECONDS
"""No H, T or B may be above this: a lock made of them must still fit into the 32 bits of BUSY."""
MAX_MEMBERS = 30
"""So many members find room in a greeting beside the longest name."""

_TOO_HIGH = "terms, sequence numbers and incarnations stay below MAX_TERM"
_MICROSECOND: Span = 1_000
_MIN_MICROS = MIN_HEARTBEAT // _MICROSECOND
_MAX_MICROS = MAX_SPAN // _MICROSECOND
_MAX_U32 = 2**32 - 1
_NAME = re.compile(rb"[A-Za-z0-9._-]{1,63}")
_MAPPED = bytes(10) + b"\xff\xff"

_HELLO = Struct(">QQQQQBBBBBIQIQQ")
_MEMBER = Struct(">Q16sH")
_PREPARE = Struct(">QBQQQ")
_TERM = Struct(">Q")
_NACK = Struct(">QQB")
_BUSY = Struct(">QQQB16sHQQIHQBQ")
_HEARTBEAT = Struct(">QQQHBIIIQIQI")
_ACK = Struct(">QQQ")
_NONCE = Struct(">Q")
_RELEASE = Struct(">QQ")
_REFUTE = Struct(">QQQ")
_NOTHING = Struct(">")
_HANDOVER = Struct(">QB")
_PAUSE = Struct(">IQIQQ")

# Bits of the flag byte of a body; bits that are not known are ignored.
_QUORUM, _WITNESS = 1, 2
_AFTER = 1
_CONTENDED = 1
_ADDRESS = 1
_NO_NOTICE = (0, 0, 0)
_NO_PAUSE = (0, 0, 0, 0, 0)
_ESTABLISHED = 1
_PREEMPTS = 1


def pack(message: Message) -> tuple[int, bytes]:
    """Return a message's type and body. A value that no member may send is ``InvariantBroken``.

    ``struct.error`` if a number does not fit its field.
    """
    if isinstance(message, Hello):
        return int(Type.HELLO_ACK if message.ack else Type.HELLO), _pack_hello(message)
    kind, packer = _PACKERS[type(message)]
    return kind, packer(message)


def parse(kind: int, body: bytes) -> Message | Fault:
    """Return the message of type ``kind``, or TYPE, BODY or RANGE. More bytes than needed are
    ignored: a newer member may have more to say."""
    shape = _SHAPES.get(kind)
    if shape is None:
        return Fault.TYPE
    least, parser = shape
    if len(body) < least:
        return Fault.BODY
    return parser(body)


def _pack_ack(ack: Ack) -> bytes:
    numbers = ack.term, ack.seq, ack.incarnation
    if not all(0 <= number < MAX_TERM for number in numbers):
        raise InvariantBroken(_TOO_HIGH)
    return _ACK.pack(*numbers)


def _pack_promise(promise: Promise) -> bytes:
    return _TERM.pack(_number(promise.term))


def _pack_nack(nack: Nack) -> bytes:
    flags = _CONTENDED if nack.contended else 0
    return _NACK.pack(_number(nack.term), _number(nack.max_term), flags)


def _pack_challenge(challenge: Challenge) -> bytes:
    return _NONCE.pack(challenge.nonce) + _pack_heartbeat(challenge.heartbeat)


def _pack_release(release: Release) -> bytes:
    return _RELEASE.pack(_number(release.term), release.successor)


def _pack_refute(refute: Refute) -> bytes:
    return _REFUTE.pack(*_owner(refute.old), _number(refute.term))


def _pack_ask(ask: Ask) -> bytes:
    return _NONCE.pack(ask.nonce)


def _pack_bye(bye: Bye) -> bytes:
    return _NOTHING.pack()


def _pack_handover(handover: Handover) -> bytes:
    return _HANDOVER.pack(handover.target, _PREEMPTS if handover.preempts else 0)


def _pack_pause(pause: Pause) -> bytes:
    return _PAUSE.pack(*_pause_fields(pause))


def _pause_fields(pause: Pause) -> tuple[int, ...]:
    return *_notice_fields(pause.notice), pause.holder, _number(pause.term)


def _notice_fields(notice: Notice) -> tuple[int, int, int]:
    ensure(notice.number > 0, "the first command about a pause has the number 1")
    ensure(0 <= notice.remaining <= MAX_PAUSE, "no pause lasts longer than a day")
    return notice.number, _id(notice.author), -(-notice.remaining // MS)


def _pack_hello(hello: Hello) -> bytes:
    name = hello.name.encode()
    ensure(_NAME.fullmatch(name) is not None, "a member's name keeps to its alphabet")
    ensure(len(hello.members) <= MAX_MEMBERS, "a greeting tells of no more members than fit")
    lowest, highest = hello.versions
    ensure(lowest <= highest, "the lowest version is not above the highest")
    flags = (_QUORUM if hello.quorum else 0) | (_WITNESS if hello.witness else 0)
    fixed = _HELLO.pack(
        hello.nonce,
        hello.echo,
        _number(hello.seen),
        hello.voters_digest,
        hello.timing_digest,
        lowest,
        highest,
        flags,
        len(name),
        len(hello.members),
        *(_NO_PAUSE if hello.pause is None else _pause_fields(hello.pause)),
    )
    members = [_MEMBER.pack(_id(member), *_pack_address(at)) for member, at in hello.members]
    body = b"".join((fixed, name, *members))
    return body.ljust(HELLO_SIZE - HEADER.size - TAG_SIZE, b"\0")


def _parse_hello(body: bytes, ack: bool) -> Hello | Fault:
    nonce, echo, seen, voters, timing, lowest, highest, flags, name_size, count, *told = (
        _HELLO.unpack_from(body)
    )
    start = _HELLO.size + name_size
    end = start + count * _MEMBER.size
    name = body[_HELLO.size : start]
    if len(body) < end or count > MAX_MEMBERS:
        return Fault.BODY
    if lowest > highest or not _NAME.fullmatch(name):
        return Fault.BODY
    if seen >= MAX_TERM:
        return Fault.RANGE
    members = tuple(
        (member, _parse_address(raw, port))
        for member, raw, port in _MEMBER.iter_unpack(body[start:end])
    )
    if any(member == 0 for member, _ in members):
        return Fault.BODY
    pause = _read_pause(told) if told[0] else None
    if isinstance(pause, Fault):
        return pause
    return Hello(
        ack=ack,
        nonce=nonce,
        echo=echo,
        seen=seen,
        name=name.decode("ascii"),
        quorum=bool(flags & _QUORUM),
        voters_digest=voters,
        timing_digest=timing,
        witness=bool(flags & _WITNESS),
        versions=(lowest, highest),
        members=members,
        pause=pause,
    )


def _parse_first_hello(body: bytes) -> Hello | Fault:
    return _parse_hello(body, ack=False)


def _parse_hello_ack(body: bytes) -> Hello | Fault:
    return _parse_hello(body, ack=True)


def _pack_prepare(prepare: Prepare) -> bytes:
    if prepare.after is None:
        return _PREPARE.pack(_number(prepare.term), 0, 0, 0, 0)
    owner, term = prepare.after
    return _PREPARE.pack(_number(prepare.term), _AFTER, *_owner(owner), _number(term))


def _parse_prepare(body: bytes) -> Prepare | Fault:
    term, flags, after_id, after_incarnation, after_term = _PREPARE.unpack_from(body)
    if term >= MAX_TERM:
        return Fault.RANGE
    if not flags & _AFTER:
        return Prepare(term)
    if after_incarnation >= MAX_TERM or after_term >= MAX_TERM:
        return Fault.RANGE
    if after_id == 0:
        return Fault.BODY
    return Prepare(term, (Owner(after_id, after_incarnation), after_term))


def _parse_promise(body: bytes) -> Promise | Fault:
    (term,) = _TERM.unpack_from(body)
    return Promise(term) if term < MAX_TERM else Fault.RANGE


def _parse_nack(body: bytes) -> Nack | Fault:
    term, max_term, flags = _NACK.unpack_from(body)
    if term >= MAX_TERM or max_term >= MAX_TERM:
        return Fault.RANGE
    return Nack(term, max_term, bool(flags & _CONTENDED))


def _pack_busy(busy: Busy) -> bytes:
    raw, port = (bytes(16), 0) if busy.address is None else _pack_address(busy.address)
    return _BUSY.pack(
        busy.echo,
        *_owner(busy.leader),
        0 if busy.address is None else _ADDRESS,
        raw,
        port,
        _number(busy.term),
        _number(busy.seq),
        _micros(busy.remaining, _MAX_U32 * _MICROSECOND),
        busy.rank.support,
        _number(-busy.rank.seniority),
        busy.rank.priority,
        busy.rank.id,
    )


def _parse_busy(body: bytes) -> Busy | Fault:
    echo, leader, incarnation, flags, raw, port, term, seq, remaining, *rank = _BUSY.unpack_from(
        body
    )
    support, tenure, priority, rank_id = rank
    if max(incarnation, term, seq, tenure) >= MAX_TERM:
        return Fault.RANGE
    if leader == 0:
        return Fault.BODY
    return Busy(
        echo=echo,
        leader=Owner(leader, incarnation),
        address=_parse_address(raw, port) if flags & _ADDRESS else None,
        term=term,
        seq=seq,
        remaining=remaining * _MICROSECOND,
        rank=Rank(support, -tenure, priority, rank_id),
    )


def _pack_heartbeat(heartbeat: Heartbeat) -> bytes:
    ensure(heartbeat.heartbeat >= MIN_HEARTBEAT, "a leader's pace is one that can be followed")
    return _HEARTBEAT.pack(
        _number(heartbeat.term),
        _number(heartbeat.seq),
        _number(heartbeat.tenure),
        heartbeat.support,
        _ESTABLISHED if heartbeat.established else 0,
        _micros(heartbeat.heartbeat, MAX_SPAN),
        _micros(heartbeat.lease, MAX_SPAN),
        _micros(heartbeat.stop_timeout, MAX_SPAN),
        heartbeat.echo,
        *(_NO_NOTICE if heartbeat.pause is None else _notice_fields(heartbeat.pause)),
    )


def _parse_heartbeat(body: bytes, offset: int = 0) -> Heartbeat | Fault:
    term, seq, tenure, support, flags, interval, lease, stop_timeout, echo, number, author, left = (
        _HEARTBEAT.unpack_from(body, offset)
    )
    if term >= MAX_TERM or seq >= MAX_TERM or tenure >= MAX_TERM:
        return Fault.RANGE
    if interval > _MAX_MICROS or lease > _MAX_MICROS or stop_timeout > _MAX_MICROS:
        return Fault.RANGE
    if interval < _MIN_MICROS:
        return Fault.BODY
    notice = _read_notice(number, author, left) if number else None
    if isinstance(notice, Fault):
        return notice
    return Heartbeat(
        term,
        seq,
        tenure,
        support,
        flags & _ESTABLISHED != 0,
        interval * _MICROSECOND,
        lease * _MICROSECOND,
        stop_timeout * _MICROSECOND,
        echo,
        notice,
    )


def _parse_ack(body: bytes) -> Ack | Fault:
    numbers = _ACK.unpack_from(body)
    return Ack(*numbers) if max(numbers) < MAX_TERM else Fault.RANGE


def _parse_challenge(body: bytes) -> Challenge | Fault:
    (nonce,) = _NONCE.unpack_from(body)
    heartbeat = _parse_heartbeat(body, _NONCE.size)
    return heartbeat if isinstance(heartbeat, Fault) else Challenge(nonce, heartbeat)


def _parse_release(body: bytes) -> Release | Fault:
    term, successor = _RELEASE.unpack_from(body)
    return Release(term, successor) if term < MAX_TERM else Fault.RANGE


def _parse_refute(body: bytes) -> Refute | Fault:
    old_id, incarnation, term = _REFUTE.unpack_from(body)
    if incarnation >= MAX_TERM or term >= MAX_TERM:
        return Fault.RANGE
    return Refute(Owner(old_id, incarnation), term) if old_id else Fault.BODY


def _parse_ask(body: bytes) -> Ask:
    return Ask(*_NONCE.unpack_from(body))


def _parse_bye(body: bytes) -> Bye:
    return Bye()


def _parse_handover(body: bytes) -> Handover:
    target, flags = _HANDOVER.unpack_from(body)
    return Handover(target, flags & _PREEMPTS != 0)


def _parse_pause(body: bytes) -> Pause | Fault:
    return _read_pause(_PAUSE.unpack_from(body))


def _read_pause(fields: Sequence[int]) -> Pause | Fault:
    number, author, left, holder, term = fields
    notice = _read_notice(number, author, left)
    if isinstance(notice, Fault):
        return notice
    return Pause(notice, holder, term) if term < MAX_TERM else Fault.RANGE


def _read_notice(number: int, author: int, left: int) -> Notice | Fault:
    if number == 0 or author == 0:
        return Fault.BODY
    return Notice(number, author, left * MS) if left * MS <= MAX_PAUSE else Fault.RANGE


_PACKERS: dict[type[Message], tuple[int, Callable[[Any], bytes]]] = {
    Heartbeat: (int(Type.HEARTBEAT), _pack_heartbeat),
    Ack: (int(Type.ACK), _pack_ack),
    Prepare: (int(Type.PREPARE), _pack_prepare),
    Promise: (int(Type.PROMISE), _pack_promise),
    Nack: (int(Type.NACK), _pack_nack),
    Busy: (int(Type.BUSY), _pack_busy),
    Challenge: (int(Type.CHALLENGE), _pack_challenge),
    Release: (int(Type.RELEASE), _pack_release),
    Refute: (int(Type.REFUTE), _pack_refute),
    Ask: (int(Type.ASK), _pack_ask),
    Bye: (int(Type.BYE), _pack_bye),
    Handover: (int(Type.HANDOVER), _pack_handover),
    Pause: (int(Type.PAUSE), _pack_pause),
}

_SHAPES: dict[int, tuple[int, Callable[[bytes], Message | Fault]]] = {
    Type.HELLO: (_HELLO.size, _parse_first_hello),
    Type.HELLO_ACK: (_HELLO.size, _parse_hello_ack),
    Type.PREPARE: (_PREPARE.size, _parse_prepare),
    Type.PROMISE: (_TERM.size, _parse_promise),
    Type.NACK: (_NACK.size, _parse_nack),
    Type.BUSY: (_BUSY.size, _parse_busy),
    Type.HEARTBEAT: (_HEARTBEAT.size, _parse_heartbeat),
    Type.RELEASE: (_RELEASE.size, _parse_release),
    Type.ACK: (_ACK.size, _parse_ack),
    Type.CHALLENGE: (_NONCE.size + _HEARTBEAT.size, _parse_challenge),
    Type.REFUTE: (_REFUTE.size, _parse_refute),
    Type.ASK: (_NONCE.size, _parse_ask),
    Type.BYE: (_NOTHING.size, _parse_bye),
    Type.HANDOVER: (_HANDOVER.size, _parse_handover),
    Type.PAUSE: (_PAUSE.size, _parse_pause),
}


def _number(value: int) -> int:
    if not 0 <= value < MAX_TERM:
        raise InvariantBroken(_TOO_HIGH)
    return value


def _id(node: int) -> int:
    ensure(node != 0, "a member's id is not 0")
    return node


def _owner(owner: Owner) -> tuple[int, int]:
    return _id(owner.id), _number(owner.incarnation)


def _micros(span: Span, most: Span) -> int:
    ensure(0 <= span <= most, "a span fits its field")
    return -(-span // _MICROSECOND)


def _pack_address(address: Address) -> tuple[bytes, int]:
    host, port = address
    try:
        literal = ip_address(host)
    except ValueError as error:
        raise InvariantBroken(f"an address is a literal: {error}") from error
    packed = literal.packed
    return (_MAPPED + packed if isinstance(literal, IPv4Address) else packed), port


def _parse_address(raw: bytes, port: int) -> Address:
    if raw.startswith(_MAPPED):
        return str(IPv4Address(raw[len(_MAPPED) :])), port
    return str(IPv6Address(raw)), port
