"""``ftl-agent schema``: the configuration for editors and validators.

Promise: what is printed is a JSON schema, draft-07, made from the same table as the parser.
"""

from __future__ import annotations

from followtheleader import cli
from followtheleader.cli import options
from followtheleader.config.json_schema import schema_text

USAGE = """\
usage: ftl-agent schema

Print the JSON schema (draft-07) of the configuration: every key with its type, default and
meaning, what gets worse if it is raised or lowered, and whether a reload applies a change. An
editor that knows YAML finds it by the first line of `ftl-agent example-config`. Some faults are
beyond a schema: `ftl-agent check` finds them all.

Exit: 0 done, 2 wrong usage.

Example:
  ftl-agent schema > schema.json
"""


def main(argv: list[str]) -> int:
    """Print the schema; return the exit code."""
    options.parse(argv, (), (), words=0)
    print(schema_text(), end="")
    return cli.YES
