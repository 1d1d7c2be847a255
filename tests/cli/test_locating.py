"""Which instance is meant if none is named: the only one that runs, and never a guess."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from cli.command import ftl_agent
from cli.stand_in import StandIn, leave_stale_socket, listen
from followtheleader.cli import locating
from followtheleader.config import load
from followtheleader.errors import ConfigError
from followtheleader.host import places


@pytest.fixture(autouse=True)
def nobody_else_runs() -> None:
    """Agents of this machine would be found as well."""
    for root in ("/run/ftl", f"/tmp/ftl-{os.geteuid()}"):
        if list(Path(root).glob("*/status.sock")):
            pytest.skip(f"an agent runs in {root}")


def test_no_agent_at_all(place: str) -> None:
    result = ftl_agent("status", env={"XDG_RUNTIME_DIR": place})
    assert result.code == 3
    assert f"no agent runs here, looked in /run/ftl, {place}/ftl" in result.err


def test_the_only_one(place: str) -> None:
    with StandIn(f"{place}/ftl/alpha", "follower"):
        result = ftl_agent("is-leader", env={"XDG_RUNTIME_DIR": place})
    assert result == (1, "follower\n", "")


def test_a_dead_agents_socket_does_not_count(place: str) -> None:
    leave_stale_socket(f"{place}/ftl/alpha")
    with StandIn(f"{place}/ftl/beta", "leader"):
        result = ftl_agent("is-leader", env={"XDG_RUNTIME_DIR": place})
    assert result == (0, "leader\n", "")


def test_several_must_be_told_apart(place: str) -> None:
    env = {"XDG_RUNTIME_DIR": place}
    with StandIn(f"{place}/ftl/alpha", "leader"), StandIn(f"{place}/ftl/beta", "follower"):
        result = ftl_agent("is-leader", env=env)
        assert ftl_agent("is-leader", "beta", env=env).code == 1
    assert result.code == 2
    assert "several instances run, name one: alpha, beta" in result.err


@pytest.mark.parametrize("queue", ["empty", "full"])
def test_a_frozen_agent_still_runs(queue: str, place: str) -> None:
    """Or the answer about one service would become the answer about another in its trouble."""
    with contextlib.ExitStack() as stack:
        frozen = stack.enter_context(listen(f"{place}/ftl/alpha"))
        if queue == "full":
            fill(frozen.getsockname(), stack)
        stack.enter_context(StandIn(f"{place}/ftl/beta", "leader"))
        result = ftl_agent("is-leader", env={"XDG_RUNTIME_DIR": place})
    assert result.code == 2
    assert "alpha, beta" in result.err


def fill(path: str, stack: contextlib.ExitStack) -> None:
    """Connect until the listener's queue takes no more."""
    import socket

    for _ in range(10_000):
        client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        client.setblocking(False)
        try:
            client.connect(path)
        except BlockingIOError:
            return
    raise AssertionError("the queue never filled")


@pytest.mark.parametrize("name", ["svc", "a", "A-1_b.c", "x" * 63, "_x"])
def test_names_of_instances(name: str, tmp_path: Path) -> None:
    assert locating.wrong_name(name) is None
    assert loads(name, tmp_path)


@pytest.mark.parametrize(
    "name", ["", ".", "..", ".svc", "-svc", "a b", "ä", "x" * 64, "a/b", "a\n"]
)
def test_what_is_no_name_of_an_instance(name: str, tmp_path: Path) -> None:
    assert "is not the name of an instance" in str(locating.wrong_name(name))
    assert not loads(name, tmp_path)


def loads(name: str, tmp_path: Path) -> bool:
    """Whether a configuration takes ``name`` as its instance: the two rules must be one."""
    path = tmp_path / "empty.yaml"
    path.write_text("node: h1\n")
    try:
        return load(str(path), name).instance == name
    except ConfigError:
        return False


@pytest.mark.parametrize("runtime", ["", "/somewhere/else"])
def test_the_roots_are_where_agents_would_lie(
    runtime: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
    assert os.path.dirname(places.locate("svc")) in locating.roots()
