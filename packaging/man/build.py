"""Write the man pages: ``python packaging/man/build.py DIRECTORY`` (`make man`).

The words are in ``*.in`` beside this file. What is known from a table comes from that table, the
parser's own: ``@KEYS@`` every key of the configuration, ``@COMMANDS@`` every command with its help,
``@VERSION@``.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "agent"))

from followtheleader import __version__  # noqa: E402
from followtheleader.cli import main as commands  # noqa: E402
from followtheleader.config.schema import KEYS, SECTIONS, Key  # noqa: E402


def pages() -> dict[str, str]:
    """Return each page's text by its file's name."""
    parts = {"@KEYS@": keys(), "@COMMANDS@": all_commands(), "@VERSION@": __version__}
    found = {}
    for template in sorted(HERE.glob("*.in")):
        text = template.read_text()
        for mark, part in parts.items():
            text = text.replace(mark, part)
        found[template.stem] = text
    return found


def keys() -> str:
    """Every key, a section's keys after its own words."""
    lines: list[str] = []
    section = ""
    for key in KEYS:
        if key.section != section:
            section = key.section
            if section:
                lines += [".SS " + section, escaped(SECTIONS[section])]
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
    """Every command's own help, word by word."""
    lines = []
    for name in commands.COMMANDS:
        usage, _ = commands.load(name)
        body = usage.removeprefix("usage: ").rstrip("\n").split("\n")
        lines += [f".SS {escaped(name)}", ".nf", *map(escaped, body), ".fi"]
    return "\n".join(lines)


def escaped(text: str) -> str:
    """Return text as roff takes it literally."""
    text = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
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
