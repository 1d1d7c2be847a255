"""Write the man pages: ``python packaging/man/build.py DIRECTORY`` (`make man`).

The words are in ``*.in`` beside this file. What is known from a table comes from that table, the
parser's own: ``@KEYS@`` every key of the configuration, ``@COMMANDS@`` every command with its help;
``@VERSION@`` and ``@DATE@`` are those of the newest entry of the package's changelog.

Promise: the same tree gives the same pages; what they hold is ASCII.
"""

from __future__ import annotations

import re
import sys
from email.utils import parsedate_to_datetime
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "agent"))

from followtheleader import __version__  # noqa: E402
from followtheleader.cli import main as commands  # noqa: E402
from followtheleader.config.schema import KEYS, SECTIONS, Key  # noqa: E402

CHANGELOG = HERE.parent / "debian" / "changelog"
SIGNED = re.compile(r"^ -- .*>  (.*)$", re.MULTILINE)
OPTION = re.compile(r"  (-\S.*?)  +(.*)")
USAGE = "usage: "


def pages() -> dict[str, str]:
    """Return each page's text by its file's name."""
    parts = {
        "@KEYS@": keys(),
        "@COMMANDS@": all_commands(),
        "@VERSION@": __version__,
        "@DATE@": date(),
    }
    found = {}
    for template in sorted(HERE.glob("*.in")):
        text = template.read_text()
        for mark, part in parts.items():
            text = text.replace(mark, part)
        found[template.stem] = text
    return found


def date() -> str:
    """The day of the newest entry of the changelog."""
    signed = SIGNED.search(CHANGELOG.read_text())
    if signed is None:
        raise SystemExit(f"{CHANGELOG}: its newest entry has no date")
    return parsedate_to_datetime(signed[1]).date().isoformat()


def keys() -> str:
    """Every key, a section's keys after its own words."""
    lines: list[str] = []
    section = ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            lines += (f".SS {section}", escaped(SECTIONS[section])) if section else (".SS Others",)
        lines += _key(key)
    return "\n".join(lines)


def _key(key: Key) -> list[str]:
    meaning, *more = key.explained()
    return [
        ".TP",
        f".B {escaped(key.name)}",
        escaped(meaning),
        *(line for text in more for line in (".br", escaped(text))),
        ".br",
        f"Example: {escaped(f'{key.word}: {key.example}')}",
    ]


def all_commands() -> str:
    """Every command's own help, its paragraphs set for the reader's width."""
    lines = []
    for name in commands.COMMANDS:
        usage, _ = commands.load(name)
        lines += [f".SS {escaped(name)}", *_help(usage)]
    return "\n".join(lines)


def _help(usage: str) -> list[str]:
    """A help text: how it is called, then words, options and examples, an empty line between."""
    synopsis, *blocks = usage.rstrip("\n").split("\n\n")
    calls = [line[len(USAGE) :] for line in synopsis.split("\n")]
    lines = [".nf", *(f".B {escaped(call)}" for call in calls), ".fi"]
    for block in blocks:
        lines += _block(block.split("\n"))
    return lines


def _block(block: list[str]) -> list[str]:
    if all(OPTION.fullmatch(line) for line in block):
        return [line for option in block for line in _option(option)]
    words = [escaped(line) for line in block if not line.startswith("  ")]
    shown = [escaped(line[2:]) for line in block if line.startswith("  ")]
    lines = [".PP", *words] if words else []
    return [*lines, ".PP", ".RS", ".nf", *shown, ".fi", ".RE"] if shown else lines


def _option(line: str) -> list[str]:
    option = OPTION.fullmatch(line)
    return [".TP", f".B {escaped(option[1])}", escaped(option[2])] if option else []


def escaped(text: str) -> str:
    """Return text as roff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    text = text.replace("…", "...").replace("×", "\\(mu")
    if not text.isascii():
        raise SystemExit(f"no roff is known for a character of {text!r}")
    return f"\\&{text}" if text.startswith(".") else text


def main(argv: list[str]) -> int:
    """Write the pages into the directory ``argv[0]``."""
    place = Path(argv[0])
    place.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (place / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
