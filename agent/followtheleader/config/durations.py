"""Durations as people write them, ``200ms``, ``2s``, ``1.5s``, ``1m``: nanoseconds inside.

Exact: no floating point, and `parse_duration` of `format_duration` gives the same number back.
"""

from __future__ import annotations

import re

from followtheleader.errors import ensure

US = 1_000
MS = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND

UNITS = {"ms": MS, "s": SECOND, "m": MINUTE}

# Six decimals of a millisecond are whole nanoseconds, so nothing is ever rounded.
PATTERN = r"([0-9]{1,9})(?:\.([0-9]{1,6}))?(ms|s|m)"
"""A duration as it is written; its groups are the whole part, the decimals and the unit."""

_DURATION = re.compile(PATTERN)
_LOOSE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([A-Za-zµ]+)")
_NUMBER = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,6})?")
_OTHER_NAMES = {
    "msec": "ms",
    "msecs": "ms",
    "millisecond": "ms",
    "milliseconds": "ms",
    "sec": "s",
    "secs": "s",
    "second": "s",
    "seconds": "s",
    "min": "m",
    "mins": "m",
    "minute": "m",
    "minutes": "m",
}


def parse_duration(text: str) -> int:
    """Return the nanoseconds that ``text`` says.

    Raises `ValueError` whose text is ``what is wrong, what would be right``.
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(_complaint(text))
    whole, fraction, unit = match.groups()
    span = int(whole) * UNITS[unit]
    if fraction:
        span += int(fraction) * UNITS[unit] // 10 ** len(fraction)
    return span


def format_duration(span: int) -> str:
    """Write ``span`` (nanoseconds, not negative) as an operator would, without loss."""
    ensure(span >= 0, "a duration is not less than nothing")
    if span and span % MINUTE == 0:
        return f"{span // MINUTE}m"
    if span == 0 or (span >= SECOND and span % MS == 0):
        return _decimal(span, SECOND) + "s"
    return _decimal(span, MS) + "ms"


def _decimal(span: int, unit: int) -> str:
    whole, rest = divmod(span, unit)
    digits = len(str(unit)) - 1
    return f"{whole}.{rest:0{digits}}".rstrip("0").rstrip(".")


def _complaint(text: str) -> str:
    text = text.strip()
    if _NUMBER.fullmatch(text):
        return f"{text} has no unit, write {text}ms or {text}s"
    if text.startswith("-"):
        return f"{text!a} is less than nothing, write a duration such as 200ms, 2s or 1m"
    loose = _LOOSE.fullmatch(text)
    if loose is not None:
        number, unit = loose.groups()
        known = unit.lower() if unit.lower() in UNITS else _OTHER_NAMES.get(unit.lower())
        if known is not None:
            return f"{text!a} is not a duration, did you mean {number}{known}?"
        if unit in ("h", "hour", "hours") and number.isdigit():
            return f"{text!a} is not a duration, did you mean {int(number) * 60}m?"
        return f"{text!a} has a unit that is not known, write it in ms, s or m"
    return f"{text[:40]!a} is not a duration, write one such as 200ms, 2s or 1m"
