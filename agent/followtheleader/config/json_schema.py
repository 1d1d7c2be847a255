"""The JSON schema (draft-07) of a configuration, made from the table of keys.

Promise: what the parser accepts is valid. What is valid may still be a fault for the parser: a
schema knows neither the rules between keys nor the ranges of durations nor what YAML 1.1 makes of a
word, and ``ftl-agent check`` knows them all.
"""

from __future__ import annotations

import json
from typing import Any

from followtheleader.config import nodes
from followtheleader.config.faults import Faults
from followtheleader.config.kinds import Schema
from followtheleader.config.schema import KEYS, SECTIONS, Key
from followtheleader.config.values import ListNode, Node, Scalar
from followtheleader.errors import InvariantBroken, ensure

DRAFT = "http://json-schema.org/draft-07/schema#"


def json_schema() -> Schema:
    """Return the schema of a whole file; an empty one is null to a validator."""
    root: Schema = {
        "$schema": DRAFT,
        "title": "ftl-agent: the configuration of one instance",
        "description": "An empty file is valid: every key has a default. Durations are written "
        "200ms, 2s, 1m. `ftl-agent check` finds also what a schema cannot.",
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {},
    }
    for key in KEYS:
        _home(root, key.section)[key.word] = _described(key)
    return root


def schema_text() -> str:
    """Return what ``ftl-agent schema`` prints."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _home(root: Schema, section: str) -> Schema:
    """The properties among which the keys of ``section`` are."""
    top: Schema = root["properties"]
    if not section:
        return top
    if section not in top:
        top[section] = {
            "description": SECTIONS[section],
            "type": "object",
            "additionalProperties": False,
            "properties": {},
        }
    found: Schema = top[section]["properties"]
    return found


def _described(key: Key) -> Schema:
    fragment = {"description": " ".join(key.explained()), **key.kind.schema}
    if key.default is not None:
        fragment["default"] = _plain(key, key.default)
    return fragment | {"examples": [_plain(key, key.example)]}


def _plain(key: Key, text: str) -> Any:
    """Return what a validator sees where ``text`` stands in a file."""
    faults = Faults("schema")
    node = nodes.read(text.encode(), faults)
    ensure(node is not None and not faults, f"the texts of {key.name} are YAML")
    return None if node is None else _value(node)


def _value(node: Node) -> Any:
    match node:
        case ListNode():
            return [_value(item) for item in node.items]
        case Scalar(tag="bool"):
            return node.text == "true"
        case Scalar(tag="int"):
            return int(node.text)
        case Scalar(tag="str"):
            return node.text
        case _:
            raise InvariantBroken("defaults and examples are words, numbers and lists")
