"""The leader target, with a systemctl that writes down what it is asked to do."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from followtheleader.guardian import clock, job, spawn
from followtheleader.guardian.clock import SECOND
from followtheleader.guardian.target import Target

FAKE = """#!/bin/sh
# Stands for systemctl, which needs a booted systemd (the lab has that). `stop` lasts until `kill`.
echo "$*" >> {log}
case $1 in
start) [ ! -e {log}.busy ];;
stop)
    while [ ! -e {log}.killed ]; do sleep 0.01; done
    exit "$(cat {log}.status 2>/dev/null || echo 0)"
    ;;
show) echo nginx.service my-job.service;;
kill) touch {log}.killed;;
esac
"""


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    fake = tmp_path / "systemctl"
    fake.write_text(FAKE.format(log=tmp_path / "log"))
    fake.chmod(0o755)
    monkeypatch.setattr(spawn, "PATH", f"{tmp_path}:{spawn.PATH}")
    return tmp_path / "log"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def target(log: Path, said: list[str]) -> Iterator[Target]:
    register = job.Register(f"{os.getpid()}-", adopts=False)
    yield Target("ftl-leader@svc.target", register, said.append)
    (log.parent / "log.killed").touch()


def reap(target: Target) -> None:
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        target.on_exit(pid, os.waitstatus_to_exitcode(status))


def run_until_ended(target: Target, kill_at: int) -> int:
    """Step as the guardian does; return the instant of the end."""
    until = clock.now() + 20 * SECOND
    while clock.now() < until:
        reap(target)
        now = clock.now()
        if target.step(now, kill_at):
            return now
        time.sleep(0.005)
    raise AssertionError("it does not end")


def asked(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def test_without_a_name_there_is_nothing_to_do() -> None:
    target = Target("", job.Register("x-", adopts=False), lambda text: None)
    target.start()
    target.end(1)
    assert target.step(2, 3)
    assert target.next_at is None


def test_what_is_bound_gets_its_time_and_then_sigkill(target: Target, log: Path) -> None:
    target.start()
    target.end(clock.now())
    kill_at = clock.now() + SECOND // 2
    assert run_until_ended(target, kill_at) >= kill_at
    assert asked(log) == [
        "start --no-block --job-mode=fail ftl-leader@svc.target",
        "stop ftl-leader@svc.target",
        "show --property=BoundBy --value ftl-leader@svc.target",
        "kill --signal=KILL nginx.service my-job.service",
    ]
    assert target.next_at is None


def test_a_stop_that_ends_by_itself_kills_nobody(target: Target, log: Path) -> None:
    (log.parent / "log.killed").touch()
    target.start()
    target.end(clock.now())
    run_until_ended(target, clock.now() + 10 * SECOND)
    assert [line.split()[0] for line in asked(log)] == ["start", "stop"]


def test_it_may_lead_and_end_again(target: Target, log: Path) -> None:
    (log.parent / "log.killed").touch()
    for _ in range(2):
        target.start()
        target.end(clock.now())
        run_until_ended(target, clock.now() + 10 * SECOND)
    assert [line.split()[0] for line in asked(log)] == ["start", "stop"] * 2


def test_a_start_that_something_stands_against_is_told_once_and_tried_again(
    target: Target, log: Path, said: list[str]
) -> None:
    """Somebody stops the agent: then it is not started in place of that. Or a bound unit ends yet:
    then a little later."""
    (log.parent / "log.busy").touch()
    target.start()
    began = clock.now()
    while len(asked(log)) < 3:
        reap(target)
        target.go_on(clock.now())
        assert clock.now() < began + 10 * SECOND
        time.sleep(0.005)
    assert clock.now() >= began + SECOND, "not as fast as it fails"
    assert said == ["ftl-leader@svc.target: could not be started: systemctl ended with status 1"]
    (log.parent / "log.busy").unlink()
    while len(asked(log)) < 4:
        reap(target)
        target.go_on(clock.now())
        time.sleep(0.005)
    (log.parent / "log.killed").touch()
    target.end(clock.now())
    run_until_ended(target, clock.now() + 10 * SECOND)
    assert [line.split()[0] for line in asked(log)] == ["start"] * 4 + ["stop"]


def test_a_start_that_failed_is_not_tried_after_the_end_has_begun(
    target: Target, log: Path
) -> None:
    for name in ("log.busy", "log.killed"):
        (log.parent / name).touch()
    target.start()
    until = clock.now() + 10 * SECOND
    while target._start_at is None and clock.now() < until:
        reap(target)
    target.end(clock.now())
    run_until_ended(target, clock.now() + 10 * SECOND)
    target.go_on(clock.now() + SECOND)
    assert [line.split()[0] for line in asked(log)] == ["start", "stop"]


def test_a_systemctl_that_fails_is_told_and_asked_again(
    target: Target, log: Path, said: list[str]
) -> None:
    (log.parent / "log.killed").touch()
    (log.parent / "log.status").write_text("1")
    target.end(clock.now())
    began = clock.now()
    while not said:
        reap(target)
        assert not target.step(clock.now(), clock.now() + SECOND)
        assert clock.now() < began + 10 * SECOND
    (log.parent / "log.status").unlink()
    run_until_ended(target, clock.now() + 10 * SECOND)
    assert said == ["ftl-leader@svc.target: could not be stopped: systemctl ended with status 1"]
    # Not as fast as it fails.
    assert len(asked(log)) <= 3
