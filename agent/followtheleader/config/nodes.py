"""YAML to values that know where they stand, and nothing more.

Promise: whatever the bytes, `read` ends soon, uses little memory, constructs no object of the
document's choosing, and returns either the root value or None, with the faults told to `Faults`.
A file is bounded in bytes, depth and number of values, aliases counted as often as they are used
(a "billion laughs" has 10⁹ values although it is short).

It works on PyYAML's parser events. The composer and constructor are not used: the first recurses
as deep as the document likes, the second turns ``on`` into True before anybody can object.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import yaml

from followtheleader.config import syntax
from followtheleader.config.faults import Faults, Place, show
from followtheleader.config.values import Broken, ListNode, MapNode, Node, Scalar
from followtheleader.errors import InvariantBroken

MAX_BYTES = 256 * 1024
MAX_DEPTH = 16
MAX_VALUES = 10_000


def read(data: bytes, faults: Faults) -> Node | None:
    """Return the root of the only document in ``data``; None if it is empty or beyond reading."""
    text = _decode(data, faults)
    if text is None:
        return None
    loader: yaml.SafeLoader | None = None
    try:
        loader = yaml.SafeLoader(text)
        return _Builder(loader, faults).document()
    except yaml.YAMLError as error:
        syntax.explain(error, text, faults)
    except (ValueError, OverflowError):
        # PyYAML lets these out for "\UFFFFFFFF" and for a %YAML version of thousands of digits.
        place = Place(loader.line + 1, loader.column + 1) if loader is not None else Place(1, 1)
        faults.add(place, "syntax", "a number here is beyond all bounds, write a smaller one")
    except _TooMuch:
        pass
    return None


class _TooMuch(Exception):
    """A bound was passed, and told: stop reading."""


def _decode(data: bytes, faults: Faults) -> str | None:
    if len(data) > MAX_BYTES:
        faults.add(
            Place(1, 1),
            "file",
            f"more than {MAX_BYTES // 1024} KiB, a configuration is a few lines: is it this file?",
        )
        return None
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        faults.add(Place(1, 1), "file", "is UTF-16, save it as UTF-8")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig", "replace")
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        byte = f"0x{data[error.start]:02x}"
        faults.add(Place(line, column), "file", f"byte {byte} is not UTF-8, save it as UTF-8")
        return None


class _Extent(NamedTuple):
    size: int
    height: int


class _Builder:
    """One document's events to nodes; every bound is checked while building."""

    def __init__(self, loader: yaml.SafeLoader, faults: Faults) -> None:
        self._loader = loader
        self._faults = faults
        self._anchors: dict[str, Node | None] = {}
        self._values = 0

    def document(self) -> Node | None:
        """Read the first document; a second one is a fault."""
        self._next()  # the stream's start
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        root = self._node(self._next(), 1)
        self._next()  # the document's end
        after = self._next()
        if not isinstance(after, yaml.StreamEndEvent):
            self._faults.add(
                _place(after),
                "file",
                "a second document begins here, keep one and remove the line `---`",
            )
        empty = isinstance(root, Scalar) and root.tag == "null" and not root.text
        return None if empty else root

    def _next(self) -> yaml.Event:
        event: yaml.Event = self._loader.get_event()  # type: ignore[no-untyped-call]
        return event

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event, depth)
        if not isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent):
            raise InvariantBroken(f"{type(event).__name__} where YAML's grammar has a value")
        place = _place(event)
        if depth > MAX_DEPTH:
            self._faults.add(place, "file", f"nested deeper than {MAX_DEPTH} levels, flatten it")
            raise _TooMuch
        self._count(1, place)
        self._open_anchor(event.anchor, place)
        node: Node
        if isinstance(event, yaml.ScalarEvent):
            node = self._scalar(event)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._list(place, depth)
        else:
            node = self._mapping(place, depth)
        if event.tag is not None:
            node = self._tagged(place, event.tag)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _count(self, values: int, place: Place) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            self._faults.add(
                place, "file", f"more than {MAX_VALUES} values (aliases expanded), write fewer"
            )
            raise _TooMuch

    def _scalar(self, event: yaml.ScalarEvent) -> Node:
        place = _place(event)
        if "\0" in event.value or any("\ud800" <= char <= "\udfff" for char in event.value):
            self._faults.add(
                place,
                "syntax",
                f"{show(event.value)} holds an escape that is no character, remove it",
            )
            return Broken(place)
        tag: str = self._loader.resolve(  # type: ignore[no-untyped-call]
            yaml.ScalarNode, event.value, event.implicit
        )
        return Scalar(place, event.value, tag.rpartition(":")[2], event.style is not None)

    def _list(self, place: Place, depth: int) -> ListNode:
        items = tuple(self._nodes_until(yaml.SequenceEndEvent, depth))
        return ListNode(place, items, *_measure(items))

    def _mapping(self, place: Place, depth: int) -> MapNode:
        nodes = list(self._nodes_until(yaml.MappingEndEvent, depth))
        pairs = []
        for key, value in zip(nodes[::2], nodes[1::2], strict=True):
            if isinstance(key, Scalar) and key.tag == "merge":
                self._faults.add(
                    key.place, "<<", "merge keys are not understood here, write the keys out"
                )
            else:
                pairs.append((key, value))
        return MapNode(place, tuple(pairs), *_measure(nodes))

    def _nodes_until(self, end: type[yaml.Event], depth: int) -> Iterator[Node]:
        while not isinstance(event := self._next(), end):
            yield self._node(event, depth + 1)

    def _open_anchor(self, anchor: str | None, place: Place) -> None:
        if anchor is None:
            return
        if anchor in self._anchors:
            text = f"the anchor {show(anchor)} is defined twice, rename one"
            self._faults.add(place, "syntax", text)
        # None until its value is complete: an alias within is a cycle.
        self._anchors[anchor] = None

    def _alias(self, event: yaml.AliasEvent, depth: int) -> Node:
        place = _place(event)
        name = show(f"*{event.anchor}")
        self._count(1, place)
        if event.anchor not in self._anchors:
            text = (
                f"{name} refers to an anchor that is not defined above, write the value out, or "
                "quote it if text is meant"
            )
            self._faults.add(place, "syntax", text)
            return Broken(place)
        node = self._anchors[event.anchor]
        if node is None:
            self._faults.add(place, "syntax", f"{name} lies within its own value, write it out")
            return Broken(place)
        size, height = _extent(node)
        if depth + height > MAX_DEPTH + 1:
            self._faults.add(place, "file", f"nested deeper than {MAX_DEPTH} levels, flatten it")
            raise _TooMuch
        self._count(size, place)
        return node

    def _tagged(self, place: Place, tag: str) -> Broken:
        short = tag.replace("tag:yaml.org,2002:", "!!")
        self._faults.add(
            place, "syntax", f"the tag {show(short)} is not understood here, remove it"
        )
        return Broken(place)


def _extent(node: Node) -> _Extent:
    if isinstance(node, ListNode | MapNode):
        return _Extent(node.size, node.height)
    return _Extent(1, 1)


def _measure(nodes: tuple[Node, ...] | list[Node]) -> _Extent:
    extents = [_extent(node) for node in nodes]
    return _Extent(
        1 + sum(extent.size for extent in extents),
        1 + max((extent.height for extent in extents), default=0),
    )


def _place(event: yaml.Event) -> Place:
    mark = event.start_mark
    if mark is None:
        raise InvariantBroken("an event of a parser has a mark")
    return Place(mark.line + 1, mark.column + 1)
