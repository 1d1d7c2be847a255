"""``demo``: it holds what it says, fails when a promise is broken, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.command import COMMAND, clean_environment
from followtheleader.cli.demo import BUSY, gap_table
from followtheleader.cli.demo_group import Group
from followtheleader.cli.demo_log import Log, Record, broken_promises
from followtheleader.cli.demo_story import ALLOWANCE, Gap
from followtheleader.cli.terminal import Paint
from followtheleader.config.durations import MS

ACTS = ["launch", "leader killed", "leader frozen", "leader stopped"]


def start(place: str) -> subprocess.Popen[str]:
    """The demo in a temporary directory of its own."""
    return subprocess.Popen(
        [*COMMAND, "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=clean_environment({"TMPDIR": place}),
    )


def attempts(place: str) -> Iterator[subprocess.Popen[str]]:
    """Demos, until one was not hindered by what else this machine does: it says so itself.

    That is excused twice; a job out of its tenure never is.
    """
    for _ in range(2):
        demo = start(place)
        yield demo
        if demo.returncode != 1:
            return
    yield start(place)


def processes_of(place: str) -> list[str]:
    """The commands that name ``place``."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes()
        except OSError:
            continue
        if os.fsencode(place) in command:
            found.append(command.decode())
    return found


def test_the_whole_demo(place: str) -> None:
    for demo in attempts(place):
        told, _ = demo.communicate(timeout=50)
        assert demo.returncode == 0 or BUSY in told, told
    assert demo.returncode == 0, told
    lines = [line.strip() for line in told.splitlines()]
    assert [act for act in ACTS if any(line.startswith(act) for line in lines)] == ACTS
    assert told.count(": on_leader, term ") == len(ACTS)
    assert "held: each job had ended before the next began" in told
    assert processes_of(place) == []
    assert os.listdir(place) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_demo_leaves_nothing_behind(number: signal.Signals, place: str) -> None:
    for demo in attempts(place):
        assert demo.stdout is not None
        told = ""
        for line in demo.stdout:
            told += line
            if "freeze" in line:  # with one agent dead and another frozen, all is in disorder
                demo.send_signal(number)
                break
        told += demo.communicate(timeout=30)[0]
        assert demo.returncode == 128 + number or BUSY in told, told
    assert demo.returncode == 128 + number, told
    assert "interrupted: all agents are stopped" in told
    assert processes_of(place) == []
    assert os.listdir(place) == []


def test_a_group_that_is_left_by_an_error_is_gone(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", place)
    monkeypatch.setattr("tempfile.tempdir", None)
    with contextlib.suppress(ZeroDivisionError), Group() as group:
        group.prepare()
        assert os.listdir(place) == [os.path.basename(group.place)]
        raise ZeroDivisionError
    assert os.listdir(place) == []
    assert group.left_behind == []


@contextlib.contextmanager
def names_it(place: str, *first: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process whose command line has the demo's directory in it, and steers terminals."""
    argv = [*first, "sh", "-c", "echo ready; read -r end", f"\x1b[2J{place}"]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_what_did_not_end_by_itself_is_ours_and_steers_no_terminal(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("followtheleader.cli.demo_group._private_directory", lambda: place)
    group = Group()
    with names_it(place) as ours:
        ((pid, shown),) = group._processes()
        assert pid == ours.pid
        assert shown.isprintable()


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")
def test_another_users_process_is_none_of_ours(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root's demo would end it, whatever it is."""
    monkeypatch.setattr("followtheleader.cli.demo_group._private_directory", lambda: place)
    group = Group()
    with names_it(place, "setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"):
        assert group._processes() == []


def test_an_agent_that_ends_by_itself_is_told_as_a_failure(place: str) -> None:
    demo = start(place)
    assert demo.stdout is not None
    started = next(line for line in demo.stdout if "start a (pid " in line)
    assert any("all are up" in line for line in demo.stdout)
    os.kill(int(started.partition("start a (pid ")[2].partition(")")[0]), signal.SIGKILL)
    told, _ = demo.communicate(timeout=30)
    assert demo.returncode == 1
    assert "failed: a ended by itself, exit status -9" in told
    assert "the log of b ends with" in told
    assert processes_of(place) == []
    assert os.listdir(place) == []


def test_the_log_keeps_whole_lines_in_order(place: str) -> None:
    log = Log(f"{place}/pipe")
    with open(log.path, "r+b", buffering=0) as hook:
        hook.write(b"a on_leader 7\na job 7\nb on_fol")
        first = log.read(1.0)
        hook.write(b"lower 7\n")
        second = log.read(1.0)
        nothing = log.read(0.0)
    log.close()
    assert [record[1:] for record in first] == [("a", "on_leader", "7"), ("a", "job", "7")]
    assert [record[1:] for record in second] == [("b", "on_follower", "7")]
    assert nothing == []
    assert log.records == first + second
    assert [record.at for record in log.records] == sorted(record.at for record in log.records)


def story(text: str) -> list[Record]:
    """Records of lines ``node what``."""
    words = [line.split() for line in text.split(",")]
    return [Record(at, node, what, "1") for at, (node, what) in enumerate(words)]


@pytest.mark.parametrize(
    "text",
    [
        "a on_leader, a job, a job-ended, a on_follower, b on_leader, b job",
        "b on_follower, a on_leader, a job, c on_follower, a job, a on_follower, a on_leader",
        # A frozen node tells on_follower once more when it comes back.
        "a on_leader, a on_follower, b on_leader, a on_follower, b job",
    ],
)
def test_promises_that_are_kept(text: str) -> None:
    assert broken_promises(story(text)) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a on_leader, a job, b on_leader", "on_leader of b (term 1) started while the job of a"),
        ("a on_leader, a on_leader", "on_leader of a (term 1) started while the job of a"),
        ("a on_leader, a on_follower, a job", "the job of a (term 1) worked out of its tenure"),
        (
            "a on_leader, a on_follower, b on_leader, a job",
            "the job of a (term 1) worked out of its tenure",
        ),
    ],
)
def test_promises_that_are_broken(text: str, says: str) -> None:
    (broken,) = broken_promises(story(text))
    assert broken.text.startswith(says)
    assert broken.excusable == (says.startswith("on_leader of b"))


def test_a_gap_beyond_its_promise_is_not_held() -> None:
    promised = 140 * MS
    assert Gap("killed", 900 * MS, promised + ALLOWANCE, promised).held
    assert not Gap("killed", 900 * MS, promised + ALLOWANCE + 1, promised).held


def test_the_table_shows_gaps_beside_promises() -> None:
    table = gap_table([Gap("leader killed", 35 * MS, 23 * MS, 140 * MS)], Paint(on=False))
    head, line, *_ = table.splitlines()
    assert head.split() == ["WHAT", "HAPPENED", "GAP", "ELECTION", "PROMISED"]
    assert line.split() == ["leader", "killed", "0.035", "s", "0.023", "s", "≤", "0.140", "s"]
