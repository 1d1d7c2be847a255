"""What of the agent's facts becomes an argument or a variable of a hook.

Promise: root's programs get no words of the agent's choice. An argument is a name of ours, a number
or what the configuration says, never an option; a variable has the shape that its meaning has, or
is empty. Only ``FTL_REASON`` is free text, of one line.

The agent may have been taken over, and a name in its facts comes from the network. The facts as
such are one line of JSON on a hook's standard input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

ROLES = ("leader", "follower", "candidate")

_NAME = re.compile(r"[A-Za-z0-9._-]{1,63}")
# An address may carry the name of an interface: fe80::1%eth0. The port is not told.
_ADDRESS = re.compile(r"[0-9A-Za-z:.]{1,63}(%[A-Za-z0-9._@:-]{1,63})?")
_NUMBER = re.compile(r"[0-9]{1,20}")
_TEXT_LIMIT = 4000


def told(facts: dict[str, object]) -> dict[str, str]:
    """Each fact that hooks are told of, as they are told it."""
    return {key: shape(facts.get(key)) for key, shape in _SHAPES.items()}


def _role(value: object) -> str:
    return value if isinstance(value, str) and value in ROLES else ""


def _number(value: object) -> str:
    if isinstance(value, bool):
        return ""
    text = str(value) if isinstance(value, int | str) else ""
    return text if _NUMBER.fullmatch(text) else ""


def _name(value: object) -> str:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else ""


def _address(value: object) -> str:
    return value if isinstance(value, str) and _ADDRESS.fullmatch(value) else ""


def _text(value: object) -> str:
    """As one word of one line: a script may write it anywhere."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value)
    return "".join(char for char in text[:_TEXT_LIMIT] if char.isprintable())


_SHAPES: dict[str, Callable[[object], str]] = {
    "role": _role,
    "old_role": _role,
    "term": _number,
    "token": _number,
    "node": _name,
    "leader": _name,
    "leader_address": _address,
    "reason": _text,
}
