"""What is kept as a last will, and what is not."""

from __future__ import annotations

import base64
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from followtheleader.guardian import lastwill
from followtheleader.wire import RELEASE_TYPE

GOOD = bytes([lastwill.MAGIC, 1, lastwill.RELEASE_TYPE]) + b"x" * 157


def entry(host: object = "10.0.0.2", port: object = 9001, data: bytes = GOOD) -> dict[str, object]:
    return {"to": [host, port], "data": base64.b64encode(data).decode()}


@pytest.mark.parametrize("host", ["10.0.0.2", "::1", "fe80::1%eth0", "2001:db8::1"])
def test_what_is_kept(host: str) -> None:
    assert lastwill.check([entry(host)]) == [(host, 9001, GOOD)]
    assert lastwill.check([]) == []
    assert len(lastwill.check([entry()] * lastwill.ADDRESS_LIMIT)) == lastwill.ADDRESS_LIMIT


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ([entry()] * 65, "65 addresses"),
        ([entry(data=GOOD + b"x")], "161 bytes"),
        ([entry(data=b"\xf1" + GOOD[1:])], "not a RELEASE"),
        ([entry(data=GOOD[:2] + b"\x07")], "not a RELEASE"),
        ([entry(data=GOOD[:2])], "not a RELEASE"),
        ([entry("example.org")], "not a name"),
        ([entry("10.0.0")], "not a name"),
        ([entry("::1\0")], "not a name"),
        ([entry("é")], "not a name"),
        ([entry(7)], "to must be"),
        ([entry(port=0)], "port"),
        ([entry(port=65536)], "port"),
        ([entry(port=True)], "port"),
        ([{"to": ["::1", 1], "data": "*"}], "base64"),
        ([{"to": ["::1", 1], "data": None}], "base64"),
        ([{}], "to must be"),
        ([None], "object"),
        ({}, "list"),
        (None, "list"),
    ],
)
def test_what_is_refused(value: object, words: str) -> None:
    with pytest.raises(lastwill.BadWill, match=words):
        lastwill.check(value)


@given(st.text(), st.integers(), st.binary(max_size=200))
def test_anything(host: str, port: int, data: bytes) -> None:
    try:
        ((kept, _, payload),) = lastwill.check([entry(host, port, data)])
    except lastwill.BadWill:
        return
    assert socket.getaddrinfo(kept, None, flags=socket.AI_NUMERICHOST)
    assert payload == data


def test_the_type_is_the_codecs() -> None:
    assert lastwill.RELEASE_TYPE == RELEASE_TYPE


@pytest.mark.parametrize(
    ("host", "family"), [("127.0.0.1", socket.AF_INET), ("::1", socket.AF_INET6)]
)
def test_it_is_sent_by_both_families(host: str, family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_DGRAM) as heir:
        heir.bind((host, 0))
        heir.settimeout(5)
        assert lastwill._send(host, heir.getsockname()[1], GOOD) == set()
        assert heir.recv(200) == GOOD
