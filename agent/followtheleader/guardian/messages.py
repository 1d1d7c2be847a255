"""The lines that agent and guardian exchange: one JSON object a line, UTF-8, at most 64 KiB.

`parse` turns a line of the agent into a checked value or raises `BadMessage`; it raises nothing
else, whatever the bytes are. The guardian logs such a line and drops it.

    agent -> guardian   hello, lease, event, will, reload, ping, bye
    guardian -> agent   ready, refused, started, output, ended, settled, expired, reloaded, pong

The deadline is an instant, ``stop_timeout`` a span; both are nanoseconds (CLOCK_BOOTTIME).
"""

from __future__ import annotations

import json

LINE_LIMIT = 64 * 1024
DEPTH_LIMIT = 32
EVENTS = ("leader", "follower", "reelection", "error")

_INT_LIMIT = 2**63
_PID_LIMIT = 2**31
_STOP_TIMEOUT_LIMIT = 24 * 3600 * 10**9


class BadMessage(ValueError):
    """A line that breaks the contract; the text says how."""


class Hello:
    """The first line: the process to watch."""

    __slots__ = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid


class LeaseGranted:
    """The leader may act until ``deadline``; its job may take ``stop_timeout`` more to end.

    ``quorum``: another may lead right after that, and counts on this job's end.
    """

    __slots__ = ("deadline", "quorum", "stop_timeout")

    def __init__(self, deadline: int, stop_timeout: int, quorum: bool) -> None:
        self.deadline = deadline
        self.stop_timeout = stop_timeout
        self.quorum = quorum


class EventHappened:
    """Something that hooks are run for. ``facts`` is what the hooks are told."""

    __slots__ = ("change", "event", "facts")

    def __init__(self, event: str, change: int, facts: dict[str, object]) -> None:
        self.event = event
        self.change = change
        self.facts = facts


class WillDeposited:
    """A new last will, not yet checked (`followtheleader.guardian.lastwill.check`)."""

    __slots__ = ("datagrams",)

    def __init__(self, datagrams: object) -> None:
        self.datagrams = datagrams


class Reload:
    """The hooks are to be read again. Answered by ``reloaded``."""

    __slots__ = ()


class Ping:
    """Is the guardian alive? Answered by ``pong`` at once."""

    __slots__ = ()


class Bye:
    """The agent has resigned properly and is leaving."""

    __slots__ = ()


Message = Hello | LeaseGranted | EventHappened | WillDeposited | Reload | Ping | Bye


def encode(kind: str, **fields: object) -> bytes:
    """One line, newline included. Raise `BadMessage` if it is too long or not JSON."""
    try:
        text = json.dumps({"m": kind, **fields}, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadMessage(f"a {kind} message that is not JSON: {error}") from None
    line = text.encode() + b"\n"
    if len(line) > LINE_LIMIT:
        raise BadMessage(f"a {kind} message of {len(line)} bytes: at most {LINE_LIMIT} are allowed")
    return line


def decode(line: bytes) -> dict[str, object]:
    """The JSON object on a line. Raise `BadMessage` if there is none."""
    try:
        value = json.loads(line, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise BadMessage(f"not JSON ({error}): {line[:60]!r}") from None
    if not isinstance(value, dict):
        raise BadMessage(f"not a JSON object: {line[:60]!r}")
    return value


def parse(line: bytes) -> Message:
    """The agent's message on a line. Raise `BadMessage` for anything else."""
    fields = decode(line)
    kind = fields.get("m")
    if kind == "hello":
        return Hello(_integer(fields, "pid", 1, _PID_LIMIT))
    if kind == "lease":
        return LeaseGranted(
            _integer(fields, "deadline", 0, _INT_LIMIT),
            _integer(fields, "stop_timeout", 0, _STOP_TIMEOUT_LIMIT),
            _truth(fields, "quorum"),
        )
    if kind == "event":
        return _event(fields)
    if kind == "will":
        return WillDeposited(fields.get("datagrams"))
    if kind == "reload":
        return Reload()
    if kind == "ping":
        return Ping()
    if kind == "bye":
        return Bye()
    raise BadMessage(f"unknown message {str(kind)[:40]!r}")


def _event(fields: dict[str, object]) -> EventHappened:
    event = fields.get("event")
    if not isinstance(event, str) or event not in EVENTS:
        raise BadMessage(f"unknown event {str(event)[:40]!r}: one of {', '.join(EVENTS)}")
    facts = fields.get("facts")
    if not isinstance(facts, dict):
        raise BadMessage(f"event {event}: facts must be an object")
    if _is_deep(facts):
        raise BadMessage(f"event {event}: facts are nested deeper than {DEPTH_LIMIT}")
    return EventHappened(event, _integer(fields, "change", 0, _INT_LIMIT), facts)


def _is_deep(value: object) -> bool:
    """Too deep to be sure that what could be read can be written, whatever calls that."""
    level: list[object] = [value]
    for _ in range(DEPTH_LIMIT):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return bool(level)


def _integer(fields: dict[str, object], key: str, low: int, limit: int) -> int:
    value = fields.get(key)
    # A bool is an int to Python, not to us.
    if type(value) is not int or not low <= value < limit:
        raise BadMessage(f"{fields['m']}: {key} must be an integer, is {str(value)[:40]!r}")
    return value


def _truth(fields: dict[str, object], key: str) -> bool:
    value = fields.get(key)
    if not isinstance(value, bool):
        raise BadMessage(f"{fields['m']}: {key} must be true or false, is {str(value)[:40]!r}")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")
