"""Whatever a file holds, loading it gives settings or `ConfigError`, and nothing else."""

from __future__ import annotations

import re

from hypothesis import example, given
from hypothesis import strategies as st

from followtheleader.config.loader import parse
from followtheleader.config.schema import KEYS, Key
from followtheleader.config.settings import Settings
from followtheleader.errors import ConfigError

FAULT = re.compile(r".+?:[1-9]\d*:[1-9]\d*: .+?: .+")

WORDS = st.sampled_from(
    [key.word for key in KEYS]
    + [
        "hooks",
        "on",
        "no",
        "~",
        "null",
        "010",
        "12:30",
        "1:2:3.4",
        "0x1F",
        "1_0",
        ".inf",
        "=",
        "<<",
    ]
    + ["*a", "&a", "&a x", "!!str", "!!python/name:os.system", "'", '"', "|", ">-", "%YAML 1.1"]
    + ["[", "]", "{", "}", ",", ":", "?", "-", "#", "---", "...", "\t", " ", "\n", "\n  ", "\ufeff"]
    + ["250ms", "1.5s", "0", "-1", "9001", "10.0.0.2", "[fe80::1]:9001", "/bin/true", "[[/a], [b]]"]
    + ['"\\ud800"', '"\\0"', '"\\UFFFFFFFF"', "\x85", "\u2028", "٣ms", "a" * 70, "mdns", "static"]
)
TEXTS = st.lists(st.one_of(WORDS, st.text(max_size=5)), max_size=30)
LINES = st.lists(st.tuples(WORDS, st.lists(WORDS, max_size=4)), max_size=8)


def settings_or_faults(data: bytes) -> None:
    """Parse ``data``; hold what is promised of either outcome."""
    try:
        outcome: Settings | ConfigError = parse(data, "svc.yaml", host_name="host-a")
    except ConfigError as error:
        outcome = error
    if isinstance(outcome, Settings):
        hold_the_bounds(outcome)
        return
    assert outcome.faults
    for fault in outcome.faults:
        assert FAULT.fullmatch(fault), fault
        assert fault.isprintable(), fault


def hold_the_bounds(settings: Settings) -> None:
    """What consumers rely on without asking again."""
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,63}", settings.node)
    assert 0 <= settings.priority <= 255
    assert settings.port is None or 1 <= settings.port <= 65535
    assert 0 < settings.timing.lease < settings.timing.lock <= 3600 * 10**9
    assert len(set(settings.voters)) == len(settings.voters) <= 31
    assert settings.voters or not settings.witness
    assert ("static" in settings.discovery) == bool(settings.peers)
    for commands in settings.hooks.commands.values():
        assert all(argv and argv[0].startswith("/") for argv in commands or ())


@given(st.binary(max_size=200))
@example(b"\xff\xfe")
@example(b"\xef\xbb\xbf\xef\xbb\xbf")
def test_any_bytes(data: bytes) -> None:
    settings_or_faults(data)


@given(TEXTS)
def test_any_mixture_of_yaml(words: list[str]) -> None:
    settings_or_faults(" ".join(words).encode("utf-8", "surrogatepass"))


@given(TEXTS)
def test_any_mixture_of_yaml_without_spaces(words: list[str]) -> None:
    settings_or_faults("".join(words).encode("utf-8", "surrogatepass"))


@given(LINES)
def test_any_keys_and_values(lines: list[tuple[str, list[str]]]) -> None:
    text = "\n".join(f"{key}: {' '.join(values)}" for key, values in lines)
    settings_or_faults(text.encode())


@given(st.sampled_from(KEYS), st.text(max_size=80))
def test_any_quoted_text_for_any_key(key: Key, text: str) -> None:
    name = key.name.split(".")
    quoted = '"' + "".join(f"\\U{ord(char):08x}" for char in text) + '"'
    line = f"{name[0]}: {quoted}" if len(name) == 1 else f"{name[0]}:\n  {name[1]}: {quoted}"
    settings_or_faults(line.encode())
