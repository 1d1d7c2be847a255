"""What a key may hold. A kind turns a YAML value into a setting, or tells what is wrong with it.

Each kind is a small frozen value with its bounds in fields, so that the parser, the JSON schema,
the example file and the man page say the same. ``parse`` returns None exactly when it has told a
fault (or when the value is `Broken`, which was told before). ``expects`` completes the sentence
"write …". ``schema`` is what a validator of JSON schema draft-07 can know of the value: it may let
more pass than ``parse``, and never less.

Words are judged by what stands in the file, not by what YAML 1.1 makes of them: where a name is
meant, an unquoted ``on`` or ``12:30`` is a fault, never silently ``True`` or ``750``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from followtheleader.config import durations
from followtheleader.config.durations import format_duration, parse_duration
from followtheleader.config.faults import near_miss, show
from followtheleader.config.values import ListNode, MapNode, Node, Scalar

Tell = Callable[[Node, str], None]
"""Tell that the value at a node is wrong, as the text says."""

Schema = dict[str, Any]
"""A JSON schema, draft-07."""

_TRUTHS = {"true": "true", "yes": "true", "on": "true"}
_TRUTHS |= {"false": "false", "no": "false", "off": "false"}
_BARE_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,6})?")
_POWER = re.compile(r"\+?([0-9]{1,9})(?:\.0*)?[eE]\+?([0-9])")
CONTROL = r"\x00-\x1f\x7f"
"""For a class of characters in a pattern: what no name and no path holds."""
_FREE = rf"(?!\s)(?!.*\s$)[^{CONTROL}]+"
LONGEST_NUMBER = 20
"""More digits than this are told as they stand, not what they amount to."""


class Kind(Protocol):
    """The kind of a key's value."""

    @property
    def expects(self) -> str:
        """What to write, for the end of a fault and for the documentation."""

    @property
    def schema(self) -> Schema:
        """What a validator can know of the value."""

    def parse(self, node: Node, tell: Tell) -> object | None:
        """Return the setting, or None if a fault was told."""


@dataclass(frozen=True, slots=True)
class Text:
    """A name: printable text of at most ``most`` bytes that matches ``pattern`` in full."""

    expects: str
    pattern: str = _FREE
    most: int = 63

    @property
    def schema(self) -> Schema:
        """The pattern; characters are counted instead of bytes."""
        return {"type": "string", "pattern": anchored(self.pattern), "maxLength": self.most}

    def parse(self, node: Node, tell: Tell) -> str | None:
        """Return the text."""
        text = text_of(node, tell, self.expects, self._fits)
        if text is None:
            return None
        if not text:
            tell(node, f"is empty, write {self.expects}")
        elif text != text.strip() or not text.isprintable():
            tell(node, f"{show(text)} has white space or control characters, write {self.expects}")
        elif len(text.encode()) > self.most:
            tell(node, f"{show(text)} is longer than {self.most} bytes, write {self.expects}")
        elif not self._fits(text):
            tell(node, f"{show(text)} cannot be used, write {self.expects}")
        else:
            return text
        return None

    def _fits(self, text: str) -> bool:
        return re.fullmatch(self.pattern, text) is not None


NODE_NAME = Text("a name of letters, digits, '.', '_' and '-', at most 63", r"[A-Za-z0-9._-]+")
SERVICE_NAME = Text("a name of at most 63 bytes")
INTERFACE_NAME = Text(
    "the name of a network interface, such as eth0", r"(?!\.{1,2}$)[^/:\s]+", most=15
)


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    @property
    def expects(self) -> str:
        """The words."""
        return f"{', '.join(self.words[:-1])} or {self.words[-1]}"

    @property
    def schema(self) -> Schema:
        """The words."""
        return {"type": "string", "enum": list(self.words)}

    def parse(self, node: Node, tell: Tell) -> str | None:
        """Return the word."""
        text = text_of(node, tell, self.expects)
        if text is None or text in self.words:
            return text
        tell(
            node,
            f"{show(text)} is not known, write {self.expects}{near_miss(text.lower(), self.words)}",
        )
        return None


@dataclass(frozen=True, slots=True)
class Boolean:
    """True or false; the other words of YAML 1.1 (yes, on …) mean text in YAML 1.2."""

    expects: str = "true or false"

    @property
    def schema(self) -> Schema:
        """As it is."""
        return {"type": "boolean"}

    def parse(self, node: Node, tell: Tell) -> bool | None:
        """Return the truth."""
        scalar = scalar_of(node, tell, self.expects)
        if scalar is None:
            return None
        if not scalar.quoted and scalar.text in ("true", "True", "TRUE"):
            return True
        if not scalar.quoted and scalar.text in ("false", "False", "FALSE"):
            return False
        means = _TRUTHS.get(scalar.text.lower())
        if means is None:
            tell(node, f"{_as_written(scalar)} is neither true nor false, write {self.expects}")
        elif scalar.quoted:
            tell(node, f"{_as_written(scalar)} is text, write {means} without quotes")
        else:
            tell(node, f"{scalar.text} is {means} in YAML 1.1, text in YAML 1.2, write {means}")
        return None


@dataclass(frozen=True, slots=True)
class Integer:
    """A decimal number from ``low`` to ``high``."""

    low: int
    high: int

    @property
    def expects(self) -> str:
        """The range."""
        return f"a number from {self.low} to {self.high}"

    @property
    def schema(self) -> Schema:
        """The range."""
        return {"type": "integer", "minimum": self.low, "maximum": self.high}

    def parse(self, node: Node, tell: Tell) -> int | None:
        """Return the number."""
        scalar = scalar_of(node, tell, self.expects)
        if scalar is None:
            return None
        text = scalar.text
        if re.fullmatch(r"-?(0|[1-9][0-9]*)", text) is None:
            odd = surprise(scalar) if scalar.tag != "float" else _sexagesimal(scalar)
            wrong = odd or f"{_as_written(scalar)} is not a whole number in digits"
            tell(node, f"{wrong}, write {self._meant(scalar) or self.expects}")
        elif scalar.quoted:
            tell(node, f"{_as_written(scalar)} is text, write {text} without quotes")
        elif len(text) > 19 or not self.low <= int(text) <= self.high:
            tell(node, f"{show(text)[1:-1]} is out of range, write {self.expects}")
        else:
            return int(text)
        return None

    def _meant(self, scalar: Scalar) -> str:
        """Return the digits that a number in another notation stands for; empty if none fit."""
        meant = [] if ":" in scalar.text else [_value(scalar)]
        digits = scalar.text.lstrip("+")
        if digits.isascii() and digits.isdecimal() and len(digits) <= LONGEST_NUMBER:
            meant.append(int(digits))  # 010: few mean the octal number
        elif scalar.tag != "int" and (power := _POWER.fullmatch(scalar.text)):
            meant.append(int(power[1]) * 10 ** int(power[2]))
        fitting = [number for number in meant if number is not None]
        fitting = [number for number in fitting if self.low <= number <= self.high]
        return " or ".join(str(number) for number in dict.fromkeys(fitting))


@dataclass(frozen=True, slots=True)
class Duration:
    """A duration from ``low`` to ``high``, in nanoseconds."""

    low: int
    high: int

    @property
    def expects(self) -> str:
        """The range."""
        return f"a duration from {format_duration(self.low)} to {format_duration(self.high)}"

    @property
    def schema(self) -> Schema:
        """How it is written; the range is beyond a pattern."""
        return {"type": "string", "pattern": anchored(durations.PATTERN)}

    def parse(self, node: Node, tell: Tell) -> int | None:
        """Return the nanoseconds."""
        scalar = scalar_of(node, tell, self.expects)
        if scalar is None:
            return None
        odd = surprise(scalar) if scalar.tag not in ("int", "float") else _sexagesimal(scalar)
        if odd is not None:
            tell(node, f"{odd}, write {self.expects}")
            return None
        if _BARE_NUMBER.fullmatch(scalar.text):
            number = scalar.text.lstrip("0") or "0"
            number = f"0{number}" if number.startswith(".") else number
            tell(node, f"{scalar.text} has no unit, write {self._with_unit(number)}")
            return None
        try:
            span = parse_duration(scalar.text)
        except ValueError as error:
            tell(node, str(error))
            return None
        if not self.low <= span <= self.high:
            tell(node, f"{scalar.text} is out of range, write {self.expects}")
            return None
        return span

    def _with_unit(self, number: str) -> str:
        guesses = [number + unit for unit in ("ms", "s")] if number.strip("0.") else ["0s"]
        fitting = [text for text in guesses if self.low <= parse_duration(text) <= self.high]
        return " or ".join(fitting) or self.expects


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list of distinct values of one kind, at most ``most``; a single one only if ``single``."""

    kind: Kind
    example: str
    most: int
    single: bool = False
    empty: bool = True

    @property
    def expects(self) -> str:
        """The form."""
        form = f"a list such as {self.example}"
        return f"{self.kind.expects}, or {form}" if self.single else form

    @property
    def schema(self) -> Schema:
        """The list, or the single value."""
        items = {"type": "array", "items": self.kind.schema, "uniqueItems": True}
        items |= {"minItems": 0 if self.empty else 1, "maxItems": self.most}
        return {"anyOf": [self.kind.schema, items]} if self.single else items

    def parse(self, node: Node, tell: Tell) -> tuple[object, ...] | None:
        """Return the items in order."""
        items = self._items(node, tell)
        if items is None:
            return None
        parsed = [self.kind.parse(item, tell) for item in items]
        seen: dict[object, int] = {}
        for item, value in zip(items, parsed, strict=True):
            if value is not None and value in seen:
                tell(item, f"{_brief(item)} is named twice (first in line {seen[value]}), keep one")
            elif value is not None:
                seen[value] = item.place.line
        if len(items) > self.most:
            tell(items[self.most], f"more than {self.most} items, write at most {self.most}")
        if len(seen) < len(items) or len(items) > self.most:
            return None
        return tuple(parsed)

    def _items(self, node: Node, tell: Tell) -> tuple[Node, ...] | None:
        if isinstance(node, ListNode):
            if node.items or self.empty:
                return node.items
            tell(node, f"the list is empty, write {self.expects}")
            return None
        if self.single:
            return (node,)
        if isinstance(node, Scalar) and node.tag == "str" and node.text.strip():
            words = ", ".join(part.strip() for part in node.text.split(","))
            tell(node, f"{show(node.text)} is text, write a list: [{show(words)[1:-1]}]")
        elif isinstance(node, Scalar) and node.tag != "null":
            tell(node, f"{_as_written(node)} is not a list, write {self.expects}")
        else:
            scalar_of(node, tell, self.expects)
        return None


def anchored(pattern: str) -> str:
    """Return ``pattern`` for a schema, whose patterns match anywhere: now from end to end."""
    return f"^(?:{pattern})$"


def scalar_of(node: Node, tell: Tell, expects: str) -> Scalar | None:
    """Return ``node`` if it is one word or text; tell and return None if it is not."""
    if isinstance(node, Scalar):
        if node.tag != "null":
            return node
        tell(node, f"has no value, write {expects}, or remove the line for the default")
    elif isinstance(node, ListNode):
        tell(node, f"is a list, write {expects}")
    elif isinstance(node, MapNode):
        tell(node, f"is a mapping (`key: value`), write {expects}")
    return None


def text_of(
    node: Node, tell: Tell, expects: str, fits: Callable[[str], bool] | None = None
) -> str | None:
    """Return the text of ``node``; tell if YAML 1.1 takes it for anything but text.

    ``fits`` says whether quotes around it would be the cure.
    """
    scalar = scalar_of(node, tell, expects)
    if scalar is None:
        return None
    odd = surprise(scalar)
    if odd is not None:
        quotes = fits is not None and fits(scalar.text)
        right = f'it in quotes: "{show(scalar.text)[1:-1]}"' if quotes else expects
        tell(node, f"{odd}, write {right}")
        return None
    return scalar.text


def surprise(scalar: Scalar) -> str | None:
    """Return what YAML 1.1 makes of a word without quotes, or None if it stays text."""
    written = show(scalar.text)[1:-1]
    match scalar.tag:
        case "bool":
            truth = _TRUTHS[scalar.text.lower()]
            same = scalar.text.lower() == truth
            return f"{written} is a boolean" if same else f"YAML reads {written} as {truth}"
        case "int" | "float":
            return _sexagesimal(scalar) or _number(scalar)
        case "timestamp":
            return f"YAML reads {written} as a date"
        case "str":
            return None
        case _:
            return f"{written} has a meaning of its own in YAML"


def _number(scalar: Scalar) -> str:
    written = show(scalar.text)[1:-1]
    value = _value(scalar)
    if value is None or str(value) == scalar.text:
        return f"{written} is a number"
    plain = scalar.text.replace("_", "").lstrip("+-")
    octal = "octal " if plain.startswith("0") and plain.isdecimal() and len(plain) > 1 else ""
    return f"YAML reads {written} as the {octal}number {value}"


def _sexagesimal(scalar: Scalar) -> str | None:
    """Say what became of ``12:30``."""
    if scalar.tag not in ("int", "float") or ":" not in scalar.text:
        return None
    written = show(scalar.text)[1:-1]
    value = _value(scalar)
    if value is None:
        return f"YAML reads {written} as a number in base 60"
    return f"YAML reads {written} as the number {value} in base 60"


def _value(scalar: Scalar) -> int | None:
    """Return the whole number that YAML 1.1 reads; None if it is none, or absurdly long."""
    plain = scalar.text.replace("_", "").lstrip("+-")
    if scalar.tag != "int" or scalar.quoted or len(plain) > LONGEST_NUMBER:
        return None
    value = 0
    if ":" in plain:
        for part in plain.split(":"):
            value = value * 60 + int(part)
    else:
        base = {"0x": 16, "0b": 2}.get(plain[:2], 8 if plain.startswith("0") else 10)
        digits = plain[2:] if base in (2, 16) else plain
        if not digits:
            return None  # `0x_` is a number to YAML 1.1, and has none
        value = int(digits, base)
    return -value if scalar.text.startswith("-") else value


def _as_written(scalar: Scalar) -> str:
    return f'"{show(scalar.text)[1:-1]}"' if scalar.quoted else show(scalar.text)


def _brief(node: Node) -> str:
    return show(node.text) if isinstance(node, Scalar) else "the same"
