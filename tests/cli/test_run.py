"""``run``: what keeps an agent from starting is told in words, and 78 (or 1: it may pass)."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from cli.command import COMMAND, clean_environment, ftl_agent

ALONE = 'node: h1\nhost: 127.0.0.1\nport: {port}\ndiscovery: [static]\npeers: ["127.0.0.1:9"]\n'


def configured(place: str, port: int) -> list[str]:
    """The words that run a lone agent on loopback."""
    path = Path(place, "svc.yaml")
    path.write_text(ALONE.format(port=port))
    return ["run", "-c", str(path), "--runtime-dir", f"{place}/run", "--state-dir", f"{place}/st"]


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(("127.0.0.1", 0))
        return int(endpoint.getsockname()[1])


def test_a_mistyped_instance_must_not_lead() -> None:
    result = ftl_agent("run", "no-such-instance-here")
    assert (result.code, result.out) == (78, "")
    assert result.err.startswith("/etc/ftl/no-such-instance-here.yaml:1:1: file: ")


@pytest.mark.parametrize("name", ["../etc/svc", "a b", ".svc"])
def test_a_bad_instance_name_is_a_fault_of_the_start(name: str) -> None:
    """A supervisor must not try again, so it is 78 and not 2."""
    result = ftl_agent("run", name)
    assert result.code == 78
    assert "is not the name of an instance" in result.err


def test_each_fault_of_the_configuration_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    path.write_text("prioritty: 1\nport: many\n")
    result = ftl_agent("run", "-c", str(path))
    assert (result.code, result.out) == (78, "")
    assert [line.split(": ")[1] for line in result.err.splitlines()] == ["prioritty", "port"]


@pytest.mark.parametrize(("number", "code"), [(errno.ENOSPC, 1), (errno.EIO, 1), (errno.EROFS, 78)])
def test_a_supervisor_tries_again_where_that_may_help(number: int, code: int, place: str) -> None:
    """A disk that is full today is not full for ever; the agent must not stay down."""
    words = configured(place, free_port())
    script = (
        "import os, sys\n"
        "from followtheleader.cli.main import main\n"
        "def refuse(*_):\n"
        f"    raise OSError({number}, os.strerror({number}))\n"
        "os.rename = refuse\n"
        f"sys.exit(main({words!r}))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code
    assert os.strerror(number) in done.stderr


def test_an_address_that_is_not_there_yet_is_tried_again(place: str) -> None:
    """From DHCP, or one that IPv6 still tests."""
    words = configured(place, free_port())
    Path(place, "svc.yaml").write_text("host: 192.0.2.1\n")
    result = ftl_agent(*words)
    assert result.code == 1
    assert "host: 192.0.2.1 is not an address of this host" in result.err


def test_signals_are_heeded_before_the_agent_is_there() -> None:
    """Told while it is still being imported and read."""
    script = (
        "import os, signal\n"
        "from followtheleader.cli import run\n"
        "def loading(*_):\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    print('still there', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    print('deaf', flush=True)\n"
        "    return 5\n"
        "run._run = loading\n"
        "raise SystemExit(run.main(['svc']))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "still there\n", "")


def test_a_directory_that_cannot_be_made(place: str) -> None:
    words = configured(place, free_port())
    Path(place, "run").write_text("in the way")
    result = ftl_agent(*words)
    assert result.code == 78
    assert f"{place}/run: " in result.err
    assert "--runtime-dir" in result.err


def test_a_port_that_is_taken(place: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        result = ftl_agent(*configured(place, port))
    assert result.code == 78
    assert str(port) in result.err
    assert "Traceback" not in result.err


def test_it_runs_answers_and_stops(place: str) -> None:
    """The whole way: a lone agent leads, says so, refuses a double, and leaves when told."""
    words = configured(place, free_port())
    log = Path(place, "log")
    with log.open("wb") as errors:
        agent = subprocess.Popen([*COMMAND, *words], stderr=errors, env=clean_environment())
    try:
        where = ("--runtime-dir", f"{place}/run")
        assert ftl_agent("is-leader", "--wait", "20s", *where) == (0, "leader\n", ""), (
            log.read_text()
        )
        status = ftl_agent("status", *where)
        second = ftl_agent(*words)
        agent.send_signal(signal.SIGTERM)
        code = agent.wait(20)
    finally:
        agent.kill()
        agent.wait()
    assert status.out.startswith("● svc on h1: leader, term ")
    assert second.code == 78
    assert f"{place}/run/lock: held by the agent with pid {agent.pid}" in second.err
    assert code == 0
    assert ftl_agent("is-leader", *where).code == 3
