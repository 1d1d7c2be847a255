"""The options of a Python program, judged by the same table as the keys of a file.

Promise: what a file may not say, an option may not say either, and the words about it are the same.
Nothing is read and yaml is not imported.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from followtheleader.config.faults import Place, near_miss, printable
from followtheleader.config.kinds import Kind
from followtheleader.config.schema import BY_NAME
from followtheleader.config.values import ListNode, Node, Scalar

_NOWHERE = Place(1, 1)


def judge(
    given: Mapping[str, object], kinds: Mapping[str, Kind]
) -> tuple[dict[str, Any], list[str]]:
    """Return the setting of each option that is whole, and a line for every fault.

    ``kinds`` says what each of the options ``given`` may hold; `kind_of` a key is one.
    """
    values: dict[str, Any] = {}
    faults: list[str] = []
    for name, value in given.items():
        wrong: list[str] = []
        parsed = _parse(value, kinds[name], wrong)
        if not wrong:
            values[name] = parsed
        faults += [f"{name}: {text}" for text in wrong]
    return values, faults


def _parse(value: object, kind: Kind, wrong: list[str]) -> object:
    if value is None:
        wrong.append(f"is None, write {kind.expects}, or leave it out for the default")
        return None
    node = _node(value)
    if node is None:
        odd = _stranger(value)
        text = f"{printable(repr(odd), 60)} is of type {type(odd).__name__}"
        wrong.append(f"{text}, write {kind.expects}")
        return None
    return kind.parse(node, lambda _, text: wrong.append(text))


def kind_of(key: str) -> Kind:
    """Return what the key of that name may hold."""
    return BY_NAME[key].kind


def unknown_option(word: str, options: Iterable[str]) -> str:
    """Return the fault of an option that is none of ``options``."""
    options = list(options)
    among = f", write one of {', '.join(options)}"
    if word in BY_NAME:
        return f"{word}: is a key of the agent and no option of the library{among}"
    return f"{printable(word)}: is unknown{near_miss(word, options) or among}"


def _node(value: object) -> Node | None:
    """Return ``value`` as it would stand in a file; None if it could not."""
    match value:
        case None:
            return Scalar(_NOWHERE, "None", "null", quoted=False)
        case bool():
            return Scalar(_NOWHERE, str(value).lower(), "bool", quoted=False)
        case int() | float():
            tag = "int" if isinstance(value, int) else "float"
            return Scalar(_NOWHERE, str(value), tag, quoted=False)
        case str():
            return Scalar(_NOWHERE, value, "str", quoted=True)
        case list() | tuple():
            items = [_node(item) for item in value]
            whole = tuple(item for item in items if item is not None)
            return ListNode(_NOWHERE, whole, 0, 0) if len(whole) == len(items) else None
        case _:
            return None


def _stranger(value: object) -> object:
    """Return what it is in ``value`` that no file could hold."""
    if not isinstance(value, list | tuple):
        return value
    return next(_stranger(item) for item in value if _node(item) is None)
