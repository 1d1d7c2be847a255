"""What is written for people: colour, tables, and spans of time.

Promise: colour only on a terminal that wants it, and no byte of what another host said can steer
the terminal.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
DEFAULT_WIDTH = 100


class Paint:
    """Puts colour on words, or leaves them as they are."""

    def __init__(self, on: bool) -> None:
        self._on = on

    def __call__(self, colour: str, text: str) -> str:
        """Return ``text`` in bold, dim, red, green or yellow."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self._on else text


def paint_for(stream: TextIO) -> Paint:
    """Colour if ``stream`` is a terminal that can, and the user did not say no (no-color.org)."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM", "dumb") == "dumb"
    return Paint(not plain and stream.isatty())


def width_of(stream: TextIO) -> int:
    """The columns of the terminal behind ``stream``, else `DEFAULT_WIDTH`."""
    try:
        return max(40, os.get_terminal_size(stream.fileno()).columns or DEFAULT_WIDTH)
    except OSError:
        return DEFAULT_WIDTH


def clean(value: object) -> str:
    """``value`` as printable text on one line."""
    text = str(value)
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def cleaned(value: Any) -> Any:
    """The same of every text in a JSON value, names of fields included."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [cleaned(each) for each in value]
    if isinstance(value, dict):
        return {clean(key): cleaned(each) for key, each in value.items()}
    return value


def span(milliseconds: float) -> str:
    """Say a span of time with its two leading units: ``250 ms``, ``1.2 s``, ``3 min 4 s``."""
    milliseconds = max(0.0, milliseconds)
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 10_000:
        return f"{milliseconds / 1000:.1f} s"
    rest, said = int(milliseconds / 1000), []
    for unit, size in _UNITS:
        count, rest = divmod(rest, size)
        if count:
            said.append(f"{count} {unit}")
    return " ".join(said[:2])


def table(rows: Sequence[Sequence[str]], indent: str = "  ", right: Sequence[int] = ()) -> str:
    """Align ``rows`` in columns; those numbered in ``right`` to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in right else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{indent}{'  '.join(cells)}".rstrip())
    return "\n".join(lines)
