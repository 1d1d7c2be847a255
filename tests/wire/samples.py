"""One of each message, with every field different from its neighbours and from its default."""

from __future__ import annotations

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
from followtheleader.core.types import MS, Owner, Rank

SERVICE = "MyServiceName"
ME = 0x1122334455667788
PEER = 0x99AABBCCDDEEFF01
HEADER = Header(
    sender=Owner(ME, 1_700_000_000_000), counter=0x0102030405060708, receiver=PEER, priority=200
)
"""From ME to PEER."""

HEARTBEAT = Heartbeat(
    term=41,
    seq=42,
    tenure=40,
    support=4,
    established=True,
    heartbeat=250 * MS,
    lease=800 * MS,
    stop_timeout=2_000 * MS,
    echo=0xE0E1E2E3E4E5E6E7,
    pause=Notice(number=21, author=0x41, remaining=1_234_567 * MS),
)
HELLO = Hello(
    ack=False,
    nonce=0xA0A1A2A3A4A5A6A7,
    echo=0xB0B1B2B3B4B5B6B7,
    seen=1_600_000_000_000,
    name="host-a.example_1",
    quorum=True,
    voters_digest=0xC0C1C2C3C4C5C6C7,
    timing_digest=0xD0D1D2D3D4D5D6D7,
    witness=False,
    versions=(1, 3),
    pause=Pause(Notice(number=22, author=0x42, remaining=7 * MS), holder=0x43, term=39),
    members=((0x51, ("10.77.0.3", 9001)), (0x52, ("2001:db8::7", 9002))),
)
HELLO_ACK = Hello(
    ack=True,
    nonce=1,
    echo=2,
    seen=0,
    name="b",
    quorum=False,
    voters_digest=3,
    timing_digest=4,
    witness=True,
)

SAMPLES: dict[str, Message] = {
    "hello": HELLO,
    "hello-ack": HELLO_ACK,
    "prepare": Prepare(term=43),
    "prepare-after": Prepare(term=43, after=(Owner(0x61, 1_500_000_000_000), 42)),
    "promise": Promise(term=44),
    "nack": Nack(term=45, max_term=46, contended=True),
    "busy": Busy(
        echo=0xF0F1F2F3F4F5F6F7,
        leader=Owner(0x71, 1_400_000_000_000),
        address=("192.0.2.9", 9003),
        term=47,
        seq=48,
        remaining=640 * MS,
        rank=Rank(support=5, seniority=-49, priority=150, id=0x72),
    ),
    "busy-no-address": Busy(
        echo=1,
        leader=Owner(2, 3),
        address=None,
        term=4,
        seq=5,
        remaining=0,
        rank=Rank(support=6, seniority=0, priority=8, id=9),
    ),
    "heartbeat": HEARTBEAT,
    "release": Release(term=50, successor=0x81),
    "ack": Ack(term=51, seq=52, incarnation=53),
    "challenge": Challenge(nonce=0x9091929394959697, heartbeat=HEARTBEAT),
    "refute": Refute(old=Owner(0x91, 1_300_000_000_000), term=53),
    "ask": Ask(nonce=0x1011121314151617),
    "bye": Bye(),
    "handover": Handover(target=0xA1, preempts=True),
    "pause": Pause(Notice(number=23, author=0xB1, remaining=86_400_000 * MS), holder=0xB2, term=54),
    "resume": Pause(Notice(number=24, author=0xB3, remaining=0), holder=0, term=0),
    "handover-to-anybody": Handover(target=0, preempts=False),
}
