"""The JSON schema, held against a real validator, the parser and the sample files."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.test_good import EVERYTHING
from followtheleader.config.durations import PATTERN
from followtheleader.config.example import SCHEMA_URL, example_config, short_config
from followtheleader.config.json_schema import json_schema, schema_text
from followtheleader.config.kinds import Duration
from followtheleader.config.options import judge
from followtheleader.config.places import Commands, FilePath
from followtheleader.config.schema import BY_NAME, KEYS, Key

SCHEMA = json_schema()
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)
INSTALLED = Path(__file__).parents[2] / "etc/ftl/schema.json"
BAD = sorted((Path(__file__).parent / "bad").glob("*.yaml"))
COMMENTED = re.compile(r"^#(?=(?:  )?[a-z_]+:)", re.MULTILINE)

NO_YAML = (yaml.YAMLError, ValueError, OverflowError, RecursionError)
"""What PyYAML raises for a file that an editor marks without any schema."""

TWICE = "YAML merges what stands twice"
RANGE = "the range of a duration"
BETWEEN = "a rule between keys"
NOTATION = "a number or a truth in a notation of YAML 1.1"
ENCODING = "is valid YAML in an encoding that nobody writes"
INSTANCE = "depends on the instance's name"

PASSES = {
    "duplicate-key": TWICE,
    "duplicate-key-in-hooks": TWICE,
    "duplicate-section": TWICE,
    "duration-out-of-range": RANGE,
    "discovery-static-without-peers": BETWEEN,
    "host-and-interfaces": BETWEEN,
    "key-mode-alone": BETWEEN,
    "key-file-missing": "is asked of the disk",
    "key-file-of-no-unit": "is asked of the environment",
    "peers-without-static": BETWEEN,
    "timing-too-patient": BETWEEN,
    "timing-twice": BETWEEN,
    "voters-that-differ-in-case": BETWEEN,
    "witness-alone": BETWEEN,
    "witness-not-a-voter": BETWEEN,
    "witness-without-voters": BETWEEN,
    "role-file-is-the-role-file": INSTANCE,
    "utf-16": ENCODING,
    "yaml11-octal": NOTATION,
    "yaml11-yes-for-a-boolean": NOTATION,
}
"""Bad files that the schema lets pass, and what is beyond it."""


def read(text: str | bytes) -> Any:
    return yaml.safe_load(text)


def test_it_is_draft_7_itself() -> None:
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    jsonschema.Draft7Validator.check_schema(SCHEMA)


def test_the_installed_file_is_what_the_command_prints() -> None:
    if os.environ.get("FTL_GOLDEN") == "rewrite":
        INSTALLED.write_text(schema_text())
    assert INSTALLED.read_text() == schema_text()
    assert json.loads(schema_text()) == SCHEMA


@pytest.mark.parametrize("text", [example_config(), short_config()], ids=["example", "short"])
def test_the_examples_are_valid_and_name_the_schema(text: str) -> None:
    assert text.splitlines()[0] == f"# yaml-language-server: $schema={SCHEMA_URL}"
    VALIDATOR.validate(read(text))
    bare, count = COMMENTED.subn("", text)
    assert count == len(KEYS) + 1
    whole = read(bare)
    assert len(whole) + len(whole["hooks"]) == len(KEYS) + 1
    VALIDATOR.validate(whole)


@pytest.mark.parametrize("text", ["", "{}", "---\n...\n", EVERYTHING])
def test_what_is_good_is_valid(text: str) -> None:
    VALIDATOR.validate(read(text))


@pytest.mark.parametrize("path", BAD, ids=lambda path: str(path.stem))
def test_what_is_bad_is_not_valid_but_for_the_named(path: Path) -> None:
    try:
        found = read(path.read_bytes())
    except NO_YAML:
        assert path.stem not in PASSES
        return  # an editor says so itself
    if path.stem == "anchors-cycle":
        found = {"voters": ["a", []]}  # a list in itself: JSON has none
    assert VALIDATOR.is_valid(found) == (path.stem in PASSES)


def test_the_named_exceptions_exist() -> None:
    assert set(PASSES) <= {path.stem for path in BAD}


# -- every key against every value that stands in any sample


def leaves(value: Any) -> Iterator[Any]:
    """The value itself and all within it."""
    yield value
    if isinstance(value, dict):
        for key, within in value.items():
            yield from (key, *leaves(within))
    elif isinstance(value, list):
        for within in value:
            yield from leaves(within)


def plain(value: Any) -> bool:
    """Can `judge` and JSON both hold it?"""
    if isinstance(value, list):
        return all(plain(item) for item in value)
    return isinstance(value, str | bool | int | float)


def samples() -> list[Any]:
    found: list[Any] = [key.example for key in KEYS]
    texts: list[bytes] = [path.read_bytes() for path in BAD if "anchors" not in path.stem]
    texts += [EVERYTHING.encode(), COMMENTED.sub("", example_config()).encode()]
    for text in texts:
        try:
            found += leaves(read(text))
        except NO_YAML:
            continue
    found += ["0.0.0.0", "255.255.255.255", "255.255.255.254", "240.0.0.1", "1.2.3.4.", "1.2.3.04"]
    found += ["host-b.", "a." * 126 + "b", "a." * 127 + "b", "host-b:65535", "host-b:65536", "h:0"]
    found += ["x" * 63, "x" * 64, "/", "//", "/a/", "/a b", "/a ", " /a", "/" + "x" * 4094]
    found += [
        "/" + "x" * 4095,
        "1.12.3:9001",
        "1a.2",
        "a.2b",
        "2b:1",
        "[::1]:",
        "0.0.0.0:9001",
        "é",
    ]
    found += [[["/a", "b"], "/c"], ["/a", ["/b"]], [[]], ["/a b", "c"], [["/a b"], "/c d"], [["a"]]]
    found += [["/a"] * 256, ["/a"] * 257, ["mdns"], ["mdns", "static"], ["mdns", "mdns"], "9ms"]
    found += [
        "x\ty",
        "x\n",
        "/x\n",
        "a\n",
        "10.0.0.2\n",
        " x",
        "x ",
        "x y",
        "..",
        ".",
        "...",
        "eth0",
    ]
    distinct = {json.dumps(value): value for value in found if plain(value)}
    return list(distinct.values())


def looser(key: Key, value: Any) -> bool:
    """Is this where the schema is known to let more pass than the parser?"""
    words = [word for word in leaves(value) if isinstance(word, str)]
    match key.kind:
        case Duration():
            return re.fullmatch(PATTERN, value) is not None  # out of range
        case Commands() | FilePath():
            return any(not word.isprintable() for word in words)  # beyond ASCII's controls
    # Python's $ also matches before a newline at the end; an editor's does not.
    newline = any(word.endswith("\n") for word in words)
    # Within brackets, what an IPv6 address is; and one in sixteen bits of words.
    ipv6 = key.name == "peers" and any(word.startswith("[") for word in words)
    ipv6 = ipv6 or (key.name == "host" and ":" in str(value))
    number = isinstance(value, float) and value == int(value)
    return newline or ipv6 or number or any(not word.isascii() for word in words)


SAMPLES = samples()


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_the_parser_and_the_schema_agree_on_every_value(key: Key) -> None:
    validator = jsonschema.Draft7Validator(key.kind.schema)
    agreed = {True: 0, False: 0}
    for value in SAMPLES:
        _, faults = judge({key.name: value}, {key.name: key.kind})
        valid = validator.is_valid(value)
        if not faults:
            assert valid, f"stricter than the parser: {value!r}"
        elif valid:
            assert looser(key, value), f"looser than the parser: {value!r}: {faults}"
        agreed[valid] += not (valid and faults)
    assert min(agreed.values()) > 0, "nothing to agree on"


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_an_editor_shows_all_that_the_table_says(key: Key) -> None:
    at = SCHEMA["properties"]
    for section in [key.section] if key.section else []:
        at = at[section]["properties"]
    shown = at[key.word]
    said = shown["description"]
    for text in (key.meaning, key.shown_default, key.raised, key.lowered):
        assert text in said
    assert f"applied by a {'reload' if key.reload else 'restart'}." in said
    validator = jsonschema.Draft7Validator(shown)
    for value in [*shown["examples"], *([shown["default"]] if "default" in shown else [])]:
        validator.validate(value)
    assert ("default" in shown) == (key.default is not None)


def test_no_key_is_missing_and_none_is_let_in() -> None:
    hooks = SCHEMA["properties"]["hooks"]
    assert set(SCHEMA["properties"]) - {"hooks"} | {f"hooks.{w}" for w in hooks["properties"]} == (
        set(BY_NAME)
    )
    assert SCHEMA["additionalProperties"] is hooks["additionalProperties"] is False
