"""Files that cannot be read at all, and files that are too much."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from followtheleader.config import load
from followtheleader.config.loader import parse
from followtheleader.errors import ConfigError


def fault(path: str) -> str:
    """The only fault of loading ``path``."""
    with pytest.raises(ConfigError) as caught:
        load(path)
    assert len(caught.value.faults) == 1
    return caught.value.faults[0]


def test_missing_file_names_the_near_miss(tmp_path: Path) -> None:
    (tmp_path / "svc.yaml").touch()
    path = str(tmp_path / "scv.yaml")
    assert fault(path) == (
        f"{path}:1:1: file: there is no such file, create it (an empty file is a valid "
        "configuration), did you mean 'svc.yaml'?"
    )
    assert "no such file" in fault(str(tmp_path / "nowhere" / "svc.yaml"))
    assert "no such file" in fault("")


def test_directory(tmp_path: Path) -> None:
    assert "is a directory, name a YAML file" in fault(str(tmp_path))


def test_pipe_is_refused_without_waiting_for_a_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "svc.yaml")
    assert "is not a regular file" in fault(str(tmp_path / "svc.yaml"))
    assert "is not a regular file" in fault("/dev/zero")


def test_path_through_a_file_or_in_a_loop(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "Not a directory" in fault(str(tmp_path / "file" / "svc.yaml"))
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    assert "symbolic links" in fault(str(tmp_path / "loop.yaml"))
    assert "NUL" in fault("/etc/ftl/a\0b.yaml")


def test_unreadable_file_names_uid_and_cure() -> None:
    # Not tmp_path: the user "nobody" must be able to reach the directory.
    with tempfile.TemporaryDirectory() as directory:
        os.chmod(directory, 0o755)
        path = Path(directory, "svc.yaml")
        path.touch()
        path.chmod(0)
        with without_privileges() as uid:
            told = fault(str(path))
    assert f"cannot be read by uid {uid} (Permission denied), give it read and" in told


@contextlib.contextmanager
def without_privileges() -> Iterator[int]:
    """Be an ordinary user: root may read everything."""
    own = os.geteuid()
    if own == 0:
        os.seteuid(65534)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(own)


def seconds_to_refuse(data: bytes) -> float:
    """The time that a faulty file takes, and proof that it is one."""
    begun = time.process_time()
    with pytest.raises(ConfigError):
        parse(data, "svc.yaml", host_name="host-a")
    return time.process_time() - begun


def test_huge_file_is_refused_unread() -> None:
    assert seconds_to_refuse(b"# " + b"x" * (256 * 1024)) < 0.1
    parse(b"# " + b"x" * (256 * 1024 - 2), "svc.yaml", host_name="host-a")


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,
        "{" * 200_000,
        "- " * 100_000,
        "? " * 100_000,
        "voters: [" + "a," * 100_000 + "]",
        "\n".join(f"key{number}: 1" for number in range(20_000)),
        "\n".join(" " * number + "- a:" for number in range(600)),
        "x: \t\n" + "\t a: b\n" * 40_000,
        "x: '" + "'" * 200_000,
        "%" * 200_000,
        "a: " + "1:" * 100_000 + "1",
        "\n" * 200_000 + "]",
        "a: |\n" + " " * 200_000,
        "x: &a [" + "*a," * 60_000 + "]",
    ],
    ids=lambda text: repr(str(text)[:12]),
)
def test_hostile_file_is_refused_soon(text: str) -> None:
    assert seconds_to_refuse(text.encode()) < 10


def test_faults_are_told_up_to_a_bound() -> None:
    text = "\n".join(f"key{number}: 1" for number in range(500))
    with pytest.raises(ConfigError) as caught:
        parse(text.encode(), "svc.yaml", host_name="host-a")
    assert len(caught.value.faults) == 51
    assert caught.value.faults[-1] == "svc.yaml:51:1: file: and 450 more faults"


def test_aliases_within_the_bound_are_accepted() -> None:
    lists = "hooks:\n  on_leader: &a [/bin/echo, x]\n  on_follower: [*a, *a, *a]\n"
    settings = parse(lists.encode(), "svc.yaml", host_name="host-a")
    assert settings.hooks.commands["follower"] == (("/bin/echo", "x"),) * 3
