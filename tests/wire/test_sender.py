"""Counters are never used twice, and the will has the last word."""

from __future__ import annotations

from followtheleader.core.messages import Ack, Bye, Header, Message, Release
from followtheleader.core.types import Owner
from followtheleader.wire import RELEASE_TYPE, Codec, Rejected, Sender
from wire.samples import ME, PEER, SERVICE

OWNER = Owner(ME, 12)


def header(datagram: bytes, message: Message) -> Header:
    outcome = Codec(SERVICE, PEER).decode(datagram)
    assert not isinstance(outcome, Rejected), outcome
    assert outcome[1] == message
    return outcome[0]


def sender() -> Sender:
    return Sender(Codec(SERVICE, ME), OWNER, 150)


def test_every_datagram_has_the_next_counter() -> None:
    speaker = sender()
    counters = [
        header(speaker.datagram(Ack(1, 2, 3), PEER, 1), Ack(1, 2, 3)).counter for _ in range(5)
    ]
    assert counters == [1, 2, 3, 4, 5]


def test_the_header_says_who_speaks_to_whom() -> None:
    assert header(sender().datagram(Bye(), 0, 1), Bye()) == Header(OWNER, 1, 0, 150)


def test_a_changed_priority_is_told_from_then_on() -> None:
    speaker = sender()
    speaker.priority = 7
    assert header(speaker.datagram(Bye(), PEER, 1), Bye()).priority == 7


def test_the_will_is_the_last_word_however_often_it_is_made() -> None:
    speaker = sender()
    release = Release(9, successor=PEER)
    wills = [speaker.last_will(release, PEER, 1) for _ in range(2)]
    assert wills[0] == wills[1]
    assert wills[0][2] == RELEASE_TYPE
    assert header(wills[0], release) == Header(OWNER, 2**64 - 1, PEER, 150)
    assert header(speaker.datagram(Bye(), PEER, 1), Bye()).counter == 1
