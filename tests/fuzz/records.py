"""mDNS as it comes from the network: which of it zeroconf is let see, and what becomes of the
records of a member, in zeroconf's own parser, cache and `ServiceInfo`, and in ours behind it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

from zeroconf import Error, ServiceInfo, Zeroconf, current_time_millis
from zeroconf._cache import DNSCache
from zeroconf._protocol.incoming import DNSIncoming

from followtheleader.core.types import Address
from followtheleader.net.mdns import MEMBER_TYPE, Announcement
from followtheleader.net.mdns_session import Session
from followtheleader.net.mdns_sieve import LARGEST, OF_A_HOST, MdnsSieve
from lab import mdns_words

SERVICE = "svc"
MOST_TOLD = 16
WHO = Announcement(SERVICE, "h1", 0xA1, 9001, "1.0")
LABEL, SERVER = "h2-00000000000000a2", "ftl-00000000000000a2.local."
TXT = (b"service=svc", b"node=h2", b"id=00000000000000a2", b"version=1.0")


def seeds() -> list[bytes]:
    """Announcements and goodbyes, whole and odd."""
    four, six = bytes((10, 0, 0, 2)), bytes.fromhex("fe80000000000000000000000000000a")
    whole = mdns_words.texts(*TXT)
    say = mdns_words.announcement
    return [
        say(LABEL, SERVER, four, whole),
        say(LABEL, SERVER, four, whole, ttl=0),
        say(LABEL, SERVER, four, whole, port=0),
        say(LABEL, SERVER, six, whole),
        say(LABEL, SERVER, bytes((224, 0, 0, 1)), mdns_words.texts(b"service=other")),
        say(LABEL, SERVER, four, mdns_words.texts(b"service=svc", b"node=\xff\x1b[2J" * 20)),
        say(LABEL, SERVER, four, b"\x05ab"),
        say(LABEL, SERVER, four, b""),
        say("x" * 63, SERVER, b"", whole),
        say(LABEL, SERVER, four, whole)[:70],
        b"\0\0\x84\0\0\0\0\1\0\0\0\0\xc0\x0c\0\x0c\0\1\0\0\0\1\0\2\xc0\x0c",
    ]


def one(data: bytes) -> None:
    """Hear it from one host."""
    heard(data)


def heard(data: bytes) -> list[tuple[Address, str]]:
    """Hear it; return which addresses are tried for it, and whose they are said to be."""
    sieve = MdnsSieve(lambda: None, lambda: 5.0)
    if not sieve.admits(data, "10.0.0.2"):
        assert b"ftl" not in data.lower() or len(data) > LARGEST, "ours, and not heard"
        return []
    admitted = 1 + sum(sieve.admits(data, "10.0.0.2") for _ in range(OF_A_HOST))
    assert admitted <= OF_A_HOST, "more of one host than it may say in a second"
    message = DNSIncoming(data)
    if not message.valid:
        return []
    cache = DNSCache()
    try:
        answers = message.answers() if callable(message.answers) else message.answers
    except Error:
        return []
    cache.async_add_records(answers)
    told: list[tuple[Address, str]] = []
    session = Session(WHO, [], lambda address, node: told.append((address, node)), lambda _: None)
    zeroconf = cast("Zeroconf", SimpleNamespace(cache=cache))
    for record in answers:
        alias = getattr(record, "alias", None)
        if record.name.lower() == MEMBER_TYPE.lower() and alias:
            _resolve(session, zeroconf, alias)
    for (host, port), node in told:
        assert 0 < port < 65536
        assert host
        assert isinstance(node, str)
    assert len(told) <= MOST_TOLD * max(len(answers), 1)
    return told


def _resolve(session: Session, zeroconf: Zeroconf, name: str) -> None:
    """As a session does once zeroconf has the records."""
    try:
        info: Any = ServiceInfo(MEMBER_TYPE, name)
        info.load_from_cache(zeroconf, current_time_millis())
        session._tell(info)
    except (Error, OSError, RuntimeError, AssertionError):
        pass  # what the session takes for a name that breaks the rules
