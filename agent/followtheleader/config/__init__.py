"""The configuration of an instance: from a file to `Settings`, or to every fault in it at once.

Promise: `load` returns settings that are complete and agree with each other, or raises
`ConfigError` with one line for each fault, ``file:line:column: key: what is wrong, what would be
right``. Nothing else comes out of it, whatever bytes the file holds. It reads that one file and the
key file that it names, looks up the host's name, and touches nothing else: whether a hook exists is
asked by ``advice``.

    schema    the one table of every key: parser, example file, check and man page follow it
    kinds     what a key may hold: a number, a duration, a list of names … (places: addresses,
              paths, commands; durations: how they are written)
    values    what may stand in a file, with its line and column
    nodes     YAML to bounded values; constructs nothing (syntax tells what is not YAML, faults
              collects everything that is told)
    loader    values to `Settings`; the rules between keys
    keyfile   the keys that sign: read, judged, and never shown
    stages    how far a group has come from unsigned to signed, in words
    options   the options of a Python program, judged by the same table
    settings  the result, without a trace of YAML
    advice    what is allowed but perhaps not meant
    timeline  what happens when, if a leader fails; whether its job has ended in time
    promises  what a group promises, and what it cannot
    reload    which changes a reload applies
    example   the commented example file
    json_schema  the table as a JSON schema, for editors
    hooks     a program: the hooks of a file as JSON, for the guardian

Importing this package or ``settings`` does not import yaml.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from followtheleader.config.settings import Settings


def load(path: str, instance: str | None = None) -> Settings:
    """Read the file at ``path`` as the configuration of ``instance`` (default: the file's stem).

    Raises `ConfigError` with every fault.
    """
    # A function and not a re-export: the guardian imports this package and must not pay for yaml.
    from followtheleader.config import loader

    return loader.load(path, instance)
