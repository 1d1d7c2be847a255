"""The table of keys and the example files that are made from it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import pytest

from followtheleader.config import nodes
from followtheleader.config.example import example_config, short_config
from followtheleader.config.faults import Faults
from followtheleader.config.kinds import Duration, Integer, ListOf
from followtheleader.config.loader import default_of, parse
from followtheleader.config.schema import BY_NAME, KEYS, SECTIONS, Key
from followtheleader.config.settings import EVENTS, Settings

INSTALLED = Path(__file__).parents[2] / "etc/ftl/svc.yaml"
KEY_LINE = re.compile(r"^#(?=\s*[a-z_]+:)(?! )|^#(?=  [a-z_]+: )", re.MULTILINE)
TEXTS = [example_config, short_config]


def settings_of(text: str) -> Settings:
    """The settings of /etc/ftl/svc.yaml with this text."""
    return parse(text.encode(), "/etc/ftl/svc.yaml", host_name="host-a")


@pytest.mark.parametrize("text", TEXTS)
def test_loads_as_it_stands(text: Callable[[], str]) -> None:
    assert settings_of(text()) == settings_of("")


@pytest.mark.parametrize("text", TEXTS)
def test_every_key_is_there_once(text: Callable[[], str]) -> None:
    found = re.findall(r"^#(?:  )?([a-z_]+):(?: |$)", text(), re.MULTILINE)
    expected = [key.word for key in KEYS]
    expected.insert(expected.index("on_leader"), "hooks")
    assert found == expected


@pytest.mark.parametrize("text", TEXTS)
def test_loads_with_everything_uncommented(text: Callable[[], str]) -> None:
    bare, count = KEY_LINE.subn("", text())
    assert count == len(KEYS) + len(SECTIONS)
    settings, default = settings_of(bare), settings_of("")
    for key in KEYS:
        if key.default is not None and not key.section and key.name != "timing":
            assert getattr(settings, key.name) == getattr(default, key.name), key.name
    assert settings.hooks.timeout == default.hooks.timeout
    assert settings.service == BY_NAME["service"].example


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_loads_with_any_one_key_uncommented(key: Key) -> None:
    text = example_config()
    if key.section:
        text = text.replace(f"#{key.section}:", f"{key.section}:")
    indent = "  " if key.section else ""
    bare = text.replace(f"\n#{indent}{key.word}:", f"\n{indent}{key.word}:")
    if key.name == "key_mode":
        bare = bare.replace("\n#key_file:", "\nkey_file:")
    assert bare != text
    settings_of(bare)


def test_installed_file_is_made_from_the_table() -> None:
    if os.environ.get("FTL_GOLDEN") == "rewrite":
        INSTALLED.write_text(short_config())
    assert INSTALLED.read_text() == short_config()


def test_lines_are_short() -> None:
    for text in TEXTS:
        assert max(len(line) for line in text().splitlines()) <= 100


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_row_is_complete(key: Key) -> None:
    assert key.meaning.endswith(".")
    assert key.default is not None or key.default_says
    if isinstance(key.kind, Integer | Duration) and key.name != "port":
        assert key.raised
        assert key.lowered
    if isinstance(key.kind, ListOf) and not key.kind.single:
        assert key.raised
        assert key.lowered


@pytest.mark.parametrize("key", KEYS, ids=lambda key: str(key.name))
def test_example_and_default_are_accepted(key: Key) -> None:
    faults = Faults("schema")
    node = nodes.read(key.example.encode(), faults)
    assert node is not None
    value = key.kind.parse(node, lambda at, text: faults.add(at.place, key.name, text))
    assert value is not None
    faults.raise_if_any()
    assert (default_of(key.name) is None) == (key.default is None)


def test_every_key_has_its_setting() -> None:
    derived = {"instance", "path", "hooks", "keys"}
    top = {key.name for key in KEYS if not key.section} - {"timing"}
    assert {field.name for field in fields(Settings)} == top | derived
    hooks = {f"hooks.on_{event}" for event in EVENTS} | {"hooks.timeout", "hooks.on_failure"}
    assert {key.name for key in KEYS if key.section} == hooks
