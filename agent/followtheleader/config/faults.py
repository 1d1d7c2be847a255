"""Faults: collected while reading, told all at once in the order of the file.

A fault is one printable line, ``file:line:column: key: what is wrong, what would be right``.
Lines and columns count from 1. At most `MAX_TOLD` are told; the rest are counted.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import NamedTuple

from followtheleader.errors import ConfigError

MAX_TOLD = 50


class Place(NamedTuple):
    """Where something stands in the file; both count from 1."""

    line: int
    column: int


class Faults:
    """The faults of one file."""

    def __init__(self, path: str) -> None:
        self._path = printable(path)
        # A dict, for an aliased value is visited once for each use, and told once.
        self._told: dict[tuple[Place, str], None] = {}

    def __bool__(self) -> bool:
        return bool(self._told)

    def add(self, place: Place, key: str, text: str) -> None:
        """Note that at ``place`` the value of ``key`` (or the key) is wrong as ``text`` says."""
        self._told[place, f"{printable(key)}: {text}"] = None

    def raise_if_any(self) -> None:
        """Raise `ConfigError` with everything that was added, if anything was."""
        if self._told:
            raise self.error()

    def error(self) -> ConfigError:
        """Return everything that was added as one exception."""
        ordered = sorted(self._told, key=lambda fault: fault[0])
        lines = [f"{self._path}:{at.line}:{at.column}: {text}" for at, text in ordered[:MAX_TOLD]]
        more = len(ordered) - MAX_TOLD
        if more > 0:
            at = ordered[MAX_TOLD][0]
            lines.append(f"{self._path}:{at.line}:{at.column}: file: and {more} more faults")
        return ConfigError(lines)


def printable(text: str, most: int = 200) -> str:
    """Return ``text`` on one line, without control characters, not much longer than ``most``."""
    if len(text) > most:
        text = text[:most] + "…"
    return text if text.isprintable() else ascii(text)[1:-1]


def show(text: str) -> str:
    """Return ``text`` in single quotes, as a fault quotes what stands in the file."""
    return f"'{printable(text, 60)}'"


def near_miss(word: str, words: Iterable[str]) -> str:
    """Return ``, did you mean 'x'?`` for that of ``words`` which is like ``word``, or nothing."""
    if len(word) > 64:
        return ""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=0.6)
    return f", did you mean {show(found[0])}?" if found else ""
