"""``is-leader``: its exit codes are a contract with units and scripts."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.command import COMMAND, clean_environment, ftl_agent
from cli.stand_in import StandIn, leave_stale_socket, listen

SLOW_MACHINE = 3.0


@pytest.mark.parametrize(("role", "code"), [("leader", 0), ("follower", 1), ("candidate", 1)])
def test_the_exit_code_is_the_answer(role: str, code: int, place: str) -> None:
    with StandIn(place, role):
        where = ("--runtime-dir", place)
        assert ftl_agent("is-leader", *where) == (code, f"{role}\n", "")
        assert ftl_agent("is-leader", "svc", "-q", *where) == (code, "", "")
        said = ftl_agent("is-leader", "svc", "--json", *where)
    assert said.code == code
    assert json.loads(said.out) == {"instance": "svc", "role": role, "leader": code == 0}


def test_an_absent_agent_is_no_answer(place: str) -> None:
    result = ftl_agent("is-leader", "--runtime-dir", f"{place}/none")
    assert (result.code, result.out) == (3, "")
    assert f"{place}/none/status.sock: no agent answers" in result.err
    assert ftl_agent("is-leader", "-q", "--runtime-dir", place) == (3, "", "")


def test_a_dead_agents_socket_is_no_answer(place: str) -> None:
    leave_stale_socket(place)
    result = ftl_agent("is-leader", "--json", "--runtime-dir", place)
    answer = json.loads(result.out)
    assert result.code == 3
    assert answer["leader"] is False
    assert answer["role"] is None
    assert "no agent answers" in answer["error"]


def test_a_frozen_agent_is_no_answer_within_a_second(place: str) -> None:
    with listen(place):
        began = time.monotonic()
        result = ftl_agent("is-leader", "--runtime-dir", place)
        took = time.monotonic() - began
    assert result.code == 3
    assert "no answer within 1 s; the agent hangs" in result.err
    assert 1.0 <= took < 1.0 + SLOW_MACHINE


@pytest.mark.parametrize("answer", ["", "LEADER", '{"error": "too many clients"}', "leader or so"])
def test_only_the_very_word_is_a_yes(answer: str, place: str) -> None:
    with StandIn(place, answer):
        result = ftl_agent("is-leader", "--runtime-dir", place)
    assert result.code == 3
    assert "is not a role" in result.err


def test_json_names_the_instance_that_was_not_named(place: str) -> None:
    with StandIn(place, "leader", status={"instance": "svc", "role": "leader"}):
        result = ftl_agent("is-leader", "--json", "--runtime-dir", place)
    assert json.loads(result.out) == {"instance": "svc", "role": "leader", "leader": True}


def test_it_waits_until_it_leads(place: str) -> None:
    with StandIn(place, "follower") as agent:
        command = start("is-leader", "--wait", "30s", "--runtime-dir", place)
        agent.wait_asked(2)
        agent.role = "leader"
        assert command.communicate() == ("leader\n", "")
    assert command.returncode == 0


def test_it_waits_for_an_agent_that_is_yet_to_start(place: str) -> None:
    leave_stale_socket(f"{place}/ftl/svc")
    command = start("is-leader", "svc", "--wait=30s", env={"XDG_RUNTIME_DIR": place})
    Path(place, "ftl/svc/status.sock").unlink()
    with StandIn(f"{place}/ftl/svc", "leader"):
        assert command.communicate() == ("leader\n", "")
    assert command.returncode == 0


def test_the_end_of_the_wait_is_a_no(place: str) -> None:
    with StandIn(place, "follower") as agent:
        began = time.monotonic()
        result = ftl_agent("is-leader", "--wait", "300ms", "--runtime-dir", place)
        took = time.monotonic() - began
    assert result == (1, "follower\n", "")
    assert 0.3 <= took < 0.3 + SLOW_MACHINE
    assert len(agent.requests) > 2


def test_the_end_of_the_wait_without_an_answer_is_no_answer(place: str) -> None:
    assert ftl_agent("is-leader", "--wait", "200ms", "--runtime-dir", place).code == 3


@pytest.mark.parametrize(
    ("span", "says"),
    [("3", "3 has no unit, write 3ms or 3s"), ("soon", "is not a duration"), ("", "needs a value")],
)
def test_the_wait_is_a_duration(span: str, says: str) -> None:
    result = ftl_agent("is-leader", "--wait", span)
    assert result.code == 2
    assert says in result.err


def test_it_imports_next_to_nothing(place: str) -> None:
    """Shell loops and ExecCondition= call it: what is dear to import must stay out."""
    dear = {"argparse", "json", "pathlib", "dataclasses", "inspect", "logging", "datetime"}
    dear |= {"asyncio", "yaml", "zeroconf", "subprocess", "tempfile", "shutil"}
    program = "import sys; from followtheleader.cli.main import main; sys.exit(main(sys.argv[1:]))"
    python = [sys.executable, "-X", "importtime", "-c", program]
    with StandIn(place):
        done = subprocess.run(
            [*python, "is-leader", "--runtime-dir", place],
            capture_output=True,
            text=True,
            env=clean_environment(),
        )
    modules = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "followtheleader.cli.is_leader" in modules
    assert not dear & modules
    parts = {module.split(".")[1] for module in modules if module.startswith("followtheleader.")}
    assert parts == {"cli", "errors", "host"}


def start(*words: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """The command, still running."""
    return subprocess.Popen(
        [*COMMAND, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=clean_environment(env),
    )
