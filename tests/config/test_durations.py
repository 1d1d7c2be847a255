"""Durations: exact both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from followtheleader.config.durations import format_duration, parse_duration
from followtheleader.errors import InvariantBroken


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("0s", 0),
        ("200ms", 200_000_000),
        ("2s", 2_000_000_000),
        ("1m", 60_000_000_000),
        ("1.5s", 1_500_000_000),
        ("0.25m", 15_000_000_000),
        ("0.000001ms", 1),
    ],
)
def test_parse(text: str, span: int) -> None:
    assert parse_duration(text) == span


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (0, "0s"),
        (1, "0.000001ms"),
        (800_000_000, "800ms"),
        (3_500_000_000, "3.5s"),
        (1_000_000_000, "1s"),
        (60_000_000_000, "1m"),
        (90_000_000_000, "90s"),
        (1_000_000_001, "1000.000001ms"),
    ],
)
def test_format(span: int, text: str) -> None:
    assert format_duration(span) == text


def test_less_than_nothing_is_no_duration() -> None:
    with pytest.raises(InvariantBroken):
        format_duration(-1)


@given(st.integers(0, 3600 * 10**9))
def test_round_trip(span: int) -> None:
    assert parse_duration(format_duration(span)) == span


@pytest.mark.parametrize(
    "text", ["", "s", "1", "1.s", ".5s", "1h", "1 s", "-1s", "1e3s", "1,5s", "٣s"]
)
def test_refused_with_a_cure(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|did you mean"):
        parse_duration(text)
