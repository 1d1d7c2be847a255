"""The lines alone: every line is a checked value or a `BadMessage`, never anything else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from followtheleader.guardian import messages

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
KEYS = ["pid", "deadline", "stop_timeout", "quorum", "event", "change", "facts", "datagrams"]
KINDS = st.sampled_from(["hello", "lease", "event", "will", "bye"])
EVENTS = st.sampled_from(messages.EVENTS)


@given(st.binary())
def test_any_bytes(line: bytes) -> None:
    try:
        messages.parse(line)
    except messages.BadMessage:
        pass


@given(KINDS, st.fixed_dictionaries({}, optional=dict.fromkeys(KEYS, JSON | EVENTS)))
def test_any_fields(kind: str, fields: dict[str, object]) -> None:
    line = json.dumps({**fields, "m": kind}).encode()
    try:
        message = messages.parse(line)
    except messages.BadMessage:
        return
    if isinstance(message, messages.EventHappened):
        assert message.event in messages.EVENTS
        assert type(message.change) is int


def test_the_five_messages() -> None:
    hello = messages.parse(messages.encode("hello", pid=7))
    assert isinstance(hello, messages.Hello)
    assert hello.pid == 7
    lease = messages.parse(messages.encode("lease", deadline=10**15, stop_timeout=0, quorum=True))
    assert isinstance(lease, messages.LeaseGranted)
    assert (lease.deadline, lease.stop_timeout, lease.quorum) == (10**15, 0, True)
    event = messages.parse(messages.encode("event", event="error", change=3, facts={"a": 1}))
    assert isinstance(event, messages.EventHappened)
    assert (event.event, event.change, event.facts) == ("error", 3, {"a": 1})
    assert isinstance(messages.parse(messages.encode("will", datagrams=[])), messages.WillDeposited)
    assert isinstance(messages.parse(messages.encode("bye")), messages.Bye)


def test_a_line_too_long_is_not_made() -> None:
    with pytest.raises(messages.BadMessage, match="at most"):
        messages.encode("event", facts={"x": "y" * messages.LINE_LIMIT})
