"""What a command does when nobody takes what it prints: words, an exit code, and no traceback."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest

from cli.command import COMMAND, Result, clean_environment
from cli.stand_in import StandIn

NO_SPACE = "ftl-agent: standard output: No space left on device\n"
BUFFERED = pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])

# Words, and the exit code if everything is heard.
PRINTING = [
    (["example-config"], 0),
    (["--version"], 0),
    (["check", "svc.yaml"], 0),
    (["check", "none.yaml"], 2),
    (["is-leader", "--json", "--runtime-dir", "none"], 3),
]
COMPLAINING = [
    (["statsu"], 2),
    (["is-leader", "--runtime-dir", "none"], 3),
    (["run", "-c", "none.yaml"], 78),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "svc.yaml").write_text("node: h1\n")
    return tmp_path


def shell(words: list[str], redirection: str, unbuffered: str, folder: Path) -> Result:
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{shlex.join([*COMMAND, *words])} {redirection}"],
        capture_output=True,
        text=True,
        env=clean_environment({"PYTHONUNBUFFERED": unbuffered}),
        cwd=folder,
        timeout=30,
    )
    return Result(done.returncode, done.stdout, done.stderr)


@BUFFERED
@pytest.mark.parametrize(("words", "code"), PRINTING, ids=lambda value: str(value))
def test_a_full_disk_is_told_and_is_no_success(
    words: list[str], code: int, unbuffered: str, folder: Path
) -> None:
    assert shell(words, ">/dev/full", unbuffered, folder) == (code or 1, "", NO_SPACE)
    assert shell(words, ">/dev/full 2>&1", unbuffered, folder) == (code or 1, "", "")


@BUFFERED
@pytest.mark.parametrize(("words", "code"), PRINTING, ids=lambda value: str(value))
def test_a_reader_that_has_left_or_never_was_changes_nothing(
    words: list[str], code: int, unbuffered: str, folder: Path
) -> None:
    assert shell(words, ">&-", unbuffered, folder) == (code, "", "")
    assert shell(words, ">&- 2>&- <&-", unbuffered, folder) == (code, "", "")
    reader = subprocess.Popen(["true"], stdin=subprocess.PIPE)
    reader.wait()
    assert reader.stdin is not None
    done = subprocess.run(
        [*COMMAND, *words],
        stdout=reader.stdin,
        stderr=subprocess.PIPE,
        env=clean_environment({"PYTHONUNBUFFERED": unbuffered}),
        cwd=folder,
        timeout=30,
    )
    reader.stdin.close()
    assert (done.returncode, done.stderr) == (code, b"")


@BUFFERED
@pytest.mark.parametrize(("words", "code"), COMPLAINING, ids=lambda value: str(value))
def test_a_complaint_that_nobody_hears_keeps_its_exit_code(
    words: list[str], code: int, unbuffered: str, folder: Path
) -> None:
    for redirection in ("2>/dev/full", "2>&-", ">&- 2>&-", ">/dev/full 2>/dev/full"):
        # Above all, it does not go to stdout instead, which a script may read.
        assert shell(words, redirection, unbuffered, folder) == (code, "", ""), redirection
    assert shell(words, ">&-", unbuffered, folder).err != ""


@BUFFERED
@pytest.mark.parametrize(("role", "code"), [("leader", 0), ("follower", 1)])
def test_the_exit_code_of_is_leader_is_the_answer(
    role: str, code: int, unbuffered: str, place: str, folder: Path
) -> None:
    with StandIn(place, role):
        words = ["is-leader", "--runtime-dir", place]
        assert shell(words, ">/dev/full", unbuffered, folder) == (code, "", NO_SPACE)
        assert shell(words, ">&-", unbuffered, folder) == (code, "", "")


def test_a_demo_without_an_audience_ends_soon(folder: Path) -> None:
    begun = time.monotonic()
    result = shell(["demo"], "| head -c 1", "", folder)
    assert result.code == 128 + 13
    assert "Traceback" not in result.err
    assert time.monotonic() - begun < 20
