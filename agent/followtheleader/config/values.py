"""What may stand in a configuration, whatever it was written in, with its place.

Made from YAML by ``nodes`` and from the options of a Python program by ``options``; judged by the
kinds of the keys.
"""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.config.faults import Place


@dataclass(frozen=True, slots=True)
class Scalar:
    """One word or text. ``text`` is what stands in the file, quotes and escapes resolved.

    ``tag`` is what YAML 1.1 takes it for: str, int, float, bool, null, timestamp, merge, value.
    """

    place: Place
    text: str
    tag: str
    quoted: bool


@dataclass(frozen=True, slots=True)
class ListNode:
    """A list. ``size`` counts all values within, ``height`` the levels of nesting."""

    place: Place
    items: tuple[Node, ...]
    size: int
    height: int


@dataclass(frozen=True, slots=True)
class MapNode:
    """A mapping in the order of the file, duplicate keys included."""

    place: Place
    pairs: tuple[tuple[Node, Node], ...]
    size: int
    height: int


@dataclass(frozen=True, slots=True)
class Broken:
    """Something is wrong with this value, and it has been told."""

    place: Place


Node = Scalar | ListNode | MapNode | Broken
