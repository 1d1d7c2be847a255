"""``ftl-agent example-config``: a configuration to start from, every key explained.

Promise: what is written is sound as it stands, and a file that exists is never overwritten.
"""

from __future__ import annotations

import os

from followtheleader import cli
from followtheleader.cli import options
from followtheleader.config.example import example_config

USAGE = """\
usage: ftl-agent example-config [-o FILE]

Print a complete configuration: every key with its meaning, its default, and what gets worse if it
is raised or lowered.

  -o, --output FILE  write it to FILE, which must not exist yet

Exit: 0 done, 2 wrong usage, or FILE cannot be written.

Example:
  ftl-agent example-config -o /etc/ftl/svc.yaml
"""


def main(argv: list[str]) -> int:
    """Print or write the example; return the exit code."""
    said = options.parse(argv, (), ("-o --output",), words=0)
    path = said.values.get("output")
    if path is None:
        print(example_config(), end="")
        return cli.YES
    try:
        _write_new(path, example_config().encode())
    except FileExistsError:
        raise options.WrongUsage(f"{path} exists; remove it, or choose another name") from None
    except OSError as error:
        raise options.WrongUsage(f"{path} cannot be written: {error.strerror}") from None
    return cli.YES


def _write_new(path: str, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
    except OSError:
        os.unlink(path)  # Half a configuration would stand in the way of the next attempt.
        raise
