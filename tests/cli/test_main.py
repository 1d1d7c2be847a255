"""Finding the command: names, help, version, and what wrong usage says."""

from __future__ import annotations

import pytest

from cli.command import ftl_agent
from followtheleader import __version__
from followtheleader.cli.main import COMMANDS


def test_without_a_word_it_shows_the_commands_and_is_no_yes() -> None:
    """A unit whose variable is empty must not take the overview for a yes."""
    result = ftl_agent()
    assert result.code == 2
    assert result.out == ""
    assert all(f"\n  {name} " in result.err for name in COMMANDS)


@pytest.mark.parametrize("words", [("--help",), ("-h",), ("help",)])
def test_help_shows_the_commands(words: tuple[str, ...]) -> None:
    result = ftl_agent(*words)
    assert (result.code, result.err) == (0, "")
    assert all(f"\n  {name} " in result.out for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_help_with_an_example(name: str) -> None:
    result = ftl_agent("help", name)
    assert (result.code, result.err) == (0, "")
    assert result.out.startswith(f"usage: ftl-agent {name}")
    assert "\nExit: 0 " in result.out
    assert "\nExample" in result.out
    assert result == ftl_agent(name, "--help")
    assert max(map(len, result.out.splitlines())) <= 100


def test_version() -> None:
    assert ftl_agent("--version") == (0, f"ftl-agent {__version__}\n", "")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["statsu"], "ftl-agent: no such command: statsu; did you mean status?"),
        (["--halp"], "ftl-agent: no such option: --halp"),
        (["help", "chekc"], "no such command: chekc; did you mean check?"),
        (["status", "--jsn"], "ftl-agent status: no such option: --jsn; did you mean --json?"),
        (["status", "a", "b"], "ftl-agent status: 'b' is one word too many"),
        (["status", "--json=yes"], "--json takes no value"),
        (["status", "--json", "--json"], "--json is given twice"),
        (["status", "--runtime-dir"], "--runtime-dir needs a value"),
        (["status", "../svc"], "'../svc' is not the name of an instance"),
        (["demo", "please"], "ftl-agent demo: takes no 'please'"),
        (["run"], "ftl-agent run: name the instance or its file"),
        (["run", "svc", "-c", "svc.yaml"], "an instance or -c, not both"),
    ],
)
def test_wrong_usage_says_what_would_be_right(words: list[str], says: str) -> None:
    result = ftl_agent(*words)
    assert result.code == 2
    assert result.out == ""
    assert says in result.err
    assert "Try: ftl-agent help" in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("spelling", [["--runtime-dir", "{}"], ["--runtime-dir={}"]])
def test_a_value_may_follow_or_stand_behind_an_equals_sign(spelling: list[str], place: str) -> None:
    result = ftl_agent("status", *(word.format(place) for word in spelling))
    assert result.code == 3
    assert f"{place}/status.sock" in result.err
