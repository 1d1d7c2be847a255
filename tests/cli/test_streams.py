"""What a command does when nobody takes what it prints: words, an exit code, and no traceback."""

from __future__ import annotations

import errno
import io
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.command import COMMAND, Result, clean_environment
from cli.stand_in import StandIn
from followtheleader import __version__
from followtheleader.cli.main import main
from followtheleader.cli.streams import Guard

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


class Full(io.StringIO):
    """A stream without a descriptor that takes nothing."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_host_program_keeps_its_descriptors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its stdout is a file of its own, or none at all; descriptor 1 is not ours to silence."""
    with open("/dev/full", "w") as full, monkeypatch.context() as host:
        host.setattr(sys, "stdout", full)
        assert main(["--version"]) == 1
        assert sys.stdout is full
        assert os.readlink(f"/proc/self/fd/{full.fileno()}") == "/dev/full"
        assert not os.get_inheritable(full.fileno())
        host.setattr(sys, "stdout", Full())
        assert main(["--version"]) == 1
    os.write(1, b"of the host\n")
    assert capfd.readouterr() == ("of the host\n", 2 * NO_SPACE)

    heard = io.StringIO()
    monkeypatch.setattr(sys, "stdout", heard)
    assert main(["--version"]) == 0
    assert heard.getvalue() == f"ftl-agent {__version__}\n"


@pytest.mark.parametrize(
    "words", [["--version"], ["check", "svc.yaml"]], ids=lambda words: words[0]
)
def test_a_stream_that_the_host_has_closed(
    words: list[str],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TERM", "xterm")  # a terminal would be asked whether it is one
    for closed in (io.StringIO(), (folder / "out").open("w")):
        closed.close()
        monkeypatch.setattr(sys, "stdout", closed)
        assert main(words) == 1
        said = capsys.readouterr().err.rstrip(".\n")
        assert said == "ftl-agent: standard output: I/O operation on closed file"
        with monkeypatch.context() as silent:  # nothing was to be said there
            silent.setattr(sys, "stdout", io.StringIO())
            silent.setattr(sys, "stderr", closed)
            assert main(words) == 0


def test_the_streams_are_left_as_they_were_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "out").open("w", encoding="ascii", errors="strict") as out:
        monkeypatch.setattr(sys, "stdout", out)
        with Guard() as outer:
            assert sys.stdout is outer
            with Guard() as inner:
                assert inner is outer
            assert main(["--version"]) == 0
            assert sys.stdout is outer
            assert out.errors == "backslashreplace"
            print("é")
        found: object = sys.stdout
        assert found is out
        assert out.errors == "strict"
    said = (tmp_path / "out").read_text()
    assert said == f"ftl-agent {__version__}\n\\xe9\n"
