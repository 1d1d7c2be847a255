"""The example file, made from the table of keys.

Promise: the text is a valid configuration as it stands, and stays one when any of its ``#key:``
lines, or all, lose their ``#`` (key_mode not without key_file). A comment that is not a key has a
space after its ``#``. The first line names the JSON schema to editors.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable

from followtheleader.config.schema import KEYS, SECTIONS, Key

SCHEMA_URL = "file:///usr/share/ftl-agent/schema.json"
"""Where a package puts what `ftl-agent schema` prints."""

_MODELINE = f"# yaml-language-server: $schema={SCHEMA_URL}"
_WIDTH = 96


def example_config() -> str:
    """Return a complete file in which every key is explained, with its default as a comment."""
    head = (
        "The configuration of one instance of ftl-agent. An empty file is valid: every key has a "
        "default. The commented keys below show it, or an example where it depends on something. "
        "Durations are written 200ms, 2s, 1m. `ftl-agent check` finds every fault."
    )
    return _render(head, _explained)


def short_config() -> str:
    """Return the file that is installed as ``/etc/ftl/svc.yaml``: a line or two for each key."""
    head = (
        "ftl-agent, instance svc. An empty file is valid; the commented keys show the defaults, or "
        "examples. `ftl-agent example-config` explains each, `ftl-agent check` finds every fault."
    )
    return _render(head, _short)


def _render(head: str, explain: Callable[[Key], list[str]]) -> str:
    blocks = [f"{_MODELINE}\n\n{_comment(head)}"]
    section = ""
    for key in KEYS:
        if key.section and key.section != section:
            blocks.append(f"{_comment(SECTIONS[key.section])}\n#{key.section}:")
        section = key.section
        indent = "  " if section else ""
        shown = f"{key.example}  # an example" if key.default is None else key.default
        lines = [_comment(text, indent) for text in explain(key)]
        blocks.append("\n".join([*lines, f"#{indent}{key.word}: {shown}"]))
    return "\n\n".join(blocks) + "\n"


def _explained(key: Key) -> list[str]:
    texts = key.explained()
    if key.default is not None and key.example != key.default:
        texts.append(f"Example: {key.word}: {key.example}")
    return texts


def _short(key: Key) -> list[str]:
    default = f" Default: {key.default_says}." if key.default_says else ""
    return [f"{key.meaning}{default}"]


def _comment(text: str, indent: str = "") -> str:
    prefix = f"# {indent}"
    return textwrap.fill(
        text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False
    )
