"""What is said of a hook that cannot run: what is wrong with it, and the cure."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from followtheleader.config.advice import hook_warnings, warnings
from followtheleader.config.loader import examine, parse
from followtheleader.guardian.hooks import Hooks
from followtheleader.hook_files import default_hooks, why_not


def program(path: Path, content: bytes = b"#!/bin/sh\n", mode: int = 0o755) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    "content",
    [b"#!/bin/sh\n", b"#! /bin/sh -e\n", b"#!\t/usr/bin/env python3\n", b"#!/bin/sh", b"\x7fELF"],
)
def test_nothing_is_wrong(content: bytes, tmp_path: Path) -> None:
    assert why_not(str(program(tmp_path / "hook", content))) is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"#!/no/sh -e\n", "begins with #!/no/sh, and /no/sh does not exist, install it or"),
        (b"#!/etc/passwd\n", "and /etc/passwd is not executable, correct the first line, or run"),
        (b"#!/etc\n", "begins with #!/etc, and /etc is not a program, correct the first line"),
        (b"#!/etc/passwd/sh\n", "and /etc/passwd/sh Not a directory, install it or correct"),
        (b"#!sh\n", "begins with #!sh, and sh is not an absolute path, write one, such as"),
        (b"#!/bin/\x1bsh\n", r"begins with #!/bin/\x1bsh, and /bin/\x1bsh does not exist"),
        (b"#!\n", "names no interpreter behind its #!, write its path, such as #!/bin/sh"),
        (b"#!/bin/sh\r\nexit\r\n", r"has Windows line ends (CR LF), run sed -i 's/\r$//' {}"),
        (b"#!/bin/sh -e\r\n", r"has Windows line ends (CR LF), run sed -i 's/\r$//' {}"),
        (b"#!/" + b"x" * 300 + b"\n", "has a first line longer than 256 bytes"),
        (b"\xef\xbb\xbf#!/bin/sh\n", "begins with a byte order mark that hides its #!, save it"),
        (b"echo hello\n", "does not begin with #!, its first line must name the interpreter"),
        (b"\n#!/bin/sh\n", "does not begin with #!, its first line must name the interpreter"),
        (b"", "is empty, write a program into it"),
    ],
)
def test_a_first_line_that_does_not_run(content: bytes, says: str, tmp_path: Path) -> None:
    path = str(program(tmp_path / "hook", content))
    told = why_not(path)
    assert told is not None
    assert told.isprintable()
    assert says.format(path) in told


@pytest.mark.parametrize(
    "content", [b"#!/no/sh\n", b"#!/bin/sh\r\n", b"#!\n", b"echo hello\n", b"", b"#!/etc/passwd\n"]
)
def test_the_system_agrees(content: bytes, tmp_path: Path) -> None:
    """What is foretold happens."""
    with pytest.raises(OSError, match=r"hook"):
        subprocess.run([program(tmp_path / "hook", content)], check=False)


def test_the_cure_for_windows_line_ends_helps(tmp_path: Path) -> None:
    path = str(program(tmp_path / "a hook", b"#!/bin/sh\r\nexit 0\r\n"))
    told = why_not(path)
    assert told is not None
    subprocess.run(["sh", "-c", told.partition("run ")[2]], check=True)
    assert why_not(path) is None
    assert subprocess.run([path], check=False).returncode == 0


def test_a_missing_file_and_what_is_there_instead(tmp_path: Path) -> None:
    missing = "does not exist, create it or correct the path"
    assert why_not(f"{tmp_path}/take-over") == missing
    there = program(tmp_path / "take-over.sh")
    program(tmp_path / "take-over~")
    assert why_not(f"{tmp_path}/take-over") == f"{missing}, did you mean {there}?"
    assert why_not(f"{tmp_path}/take-ovre.sh") == f"{missing}, did you mean {there}?"
    assert why_not(f"{tmp_path}/no/hook") == (
        f"does not exist, nor does the directory {tmp_path}/no, create it or correct the path"
    )
    (tmp_path / "link").symlink_to("nowhere")
    assert why_not(f"{tmp_path}/link") == (
        "is a link to nowhere, which does not exist, correct the link"
    )
    assert "Not a directory" in str(why_not(f"{there}/hook"))


def test_a_directory_names_a_program_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "hooks"
    folder.mkdir()
    assert why_not(str(folder)) == "is a directory, name a program; there is none in it"
    program(folder / "a", mode=0o644)
    there = program(folder / "b")
    assert why_not(str(folder)) == f"is a directory, name a program in it, such as {there}"
    os.mkfifo(tmp_path / "pipe", 0o777)
    assert why_not(str(tmp_path / "pipe")) == "is not a file, name a program"


def test_check_and_guardian_see_the_same_default_hooks(tmp_path: Path) -> None:
    folder = tmp_path / "on_leader.d"
    first = program(tmp_path / "on_leader.sh", b"", 0o644)
    for name in ("b", "a.orig", "a~", ".a", "a.bak", "a.sample", "a.dpkg-old", "a.rpmnew"):
        program(folder / name)
    program(folder / "plain", mode=0o644)
    (folder / "broken").symlink_to("nowhere")
    found = [str(first), f"{folder}/a.orig", f"{folder}/b"]
    assert default_hooks(str(tmp_path), "leader") == found
    hooks = Hooks({}, 1, "ignore", str(tmp_path))
    assert hooks.commands("leader") == tuple((path,) for path in found)
    assert hooks.commands("error") == ()
    assert Hooks({}, 1, "ignore", "").commands("leader") == ()


def test_check_says_it_of_set_and_of_default_hooks(tmp_path: Path) -> None:
    bad = program(tmp_path / "bad.sh", b"#!/no/sh\n")
    default = program(tmp_path / "svc" / "on_error.sh", b"exit\n")
    odd = program(tmp_path / "svc" / "on_follower.d")
    text = f"hooks: {{on_leader: {bad}, on_reelection: {tmp_path}}}"
    settings = parse(text.encode(), str(tmp_path / "svc.yaml"), host_name="host-a")
    assert warnings(settings) == [
        f"hooks.on_leader: {bad} begins with #!/no/sh, and /no/sh does not exist, install it or "
        "correct the first line",
        f"on_follower: {odd} is not a directory, make it one or remove it",
        f"hooks.on_reelection: {tmp_path} is a directory, name a program in it, such as {bad}",
        f"on_error: {default} does not begin with #!, its first line must name the interpreter, "
        "such as #!/bin/sh",
    ]


def test_a_file_name_cannot_steer_the_terminal(tmp_path: Path) -> None:
    settings = parse(b"", str(tmp_path / "svc.yaml"), host_name="host-a")
    (tmp_path / "svc").mkdir()
    program(tmp_path / "svc" / "on_leader.d" / "a\x1b[2J\n", b"")
    (told,) = warnings(settings)
    assert told.isprintable()


def test_what_a_faulty_file_still_says_of_its_hooks(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    program(tmp_path / "svc" / "on_leader.sh", mode=0o644)

    def told(text: str, instance: str | None = None) -> list[str]:
        path.write_text(text)
        found = examine(str(path), instance)
        assert found.settings is None
        assert found.faults
        return hook_warnings(found.commands, found.hooks_dir)

    (only,) = told("port: x\n")
    assert "on_leader.sh is not executable" in only
    of_both = told("port: x\nhooks: {on_follower: /no/hook}\n")
    assert [line.partition(":")[0] for line in of_both] == ["on_leader", "hooks.on_follower"]
    # What is not whole may have meant anything, also that the default hooks shall not run.
    assert told("hooks: {on_leader: relative.sh}\n") == []
    assert told("hooks: /bin/true\n") == []
    assert told("port: [\n") == []
    assert told("port: 1\n", "bad name") == []
    assert examine(str(tmp_path / "none.yaml")).commands == {}
