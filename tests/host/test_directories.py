"""Where the files lie: from systemd's environment, for an ordinary user, and when nothing works."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from followtheleader.errors import StateError
from followtheleader.host import directories, places

AS_NOBODY = """
import os, sys
from followtheleader.errors import StateError
from followtheleader.host.directories import resolve
os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    print(*resolve(sys.argv[1], *sys.argv[2:]))
except StateError as error:
    print("StateError", error)
"""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user, which needs root")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("RUNTIME_DIRECTORY", "STATE_DIRECTORY", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(variable, raising=False)


def resolve_as_nobody(*arguments: str, **environment: str) -> str:
    run = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, *arguments],
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    )
    return run.stdout.strip()


def test_arguments_win_and_are_created(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(tmp_path / "other"))
    found = directories.resolve("svc", str(tmp_path / "a/b"), str(tmp_path / "c"))
    assert found == (str(tmp_path / "a/b"), str(tmp_path / "c"))
    assert os.path.isdir(found.runtime)
    assert os.path.isdir(found.state)
    assert not (tmp_path / "other").exists()


def test_first_of_what_systemd_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_DIRECTORY", f"{tmp_path}/run:{tmp_path}/second")
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}/state")
    assert directories.resolve("svc") == (f"{tmp_path}/run", f"{tmp_path}/state")


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(StateError, match=r"/run: is not a directory; .*--runtime-dir"):
        directories.resolve("svc", str(tmp_path / "run"), str(tmp_path / "state"))


@pytest.mark.parametrize("instance", ["", ".", "..", "../etc", "a/b", "a\0b"])
def test_an_instance_is_never_a_path(instance: str, tmp_path: Path) -> None:
    with pytest.raises(StateError, match="not the name of an instance"):
        directories.resolve(instance, str(tmp_path), str(tmp_path))
    with pytest.raises(StateError, match="not the name of an instance"):
        places.locate(instance)


@as_root
def test_ordinary_user_gets_xdg_directories(tmp_path: Path) -> None:
    base = Path("/tmp") / f"ftl-test-{os.getpid()}"
    base.mkdir()
    try:
        os.chown(base, 65534, 65534)
        printed = resolve_as_nobody("svc", XDG_RUNTIME_DIR=f"{base}", XDG_STATE_HOME=f"{base}/st")
        assert printed == f"{base}/ftl/svc {base}/st/ftl/svc"
    finally:
        subprocess.run(["rm", "-rf", str(base)], check=True)


@as_root
def test_prepared_directory_in_tmp_is_refused() -> None:
    trap = Path("/tmp/ftl-65534")
    trap.mkdir(mode=0o777)
    try:
        printed = resolve_as_nobody("svc", XDG_STATE_HOME="/tmp")
        assert printed.startswith("StateError /tmp/ftl-65534: must be a directory of uid 65534")
        assert "of uid 0" in printed
    finally:
        trap.rmdir()


@as_root
def test_unwritable_directory_names_path_uid_and_cure() -> None:
    printed = resolve_as_nobody("svc", "/proc/nowhere", "/etc")
    assert printed.startswith("StateError /proc/nowhere: cannot be created by uid 65534: ")
    printed = resolve_as_nobody("svc", "/dev/shm", "/etc")
    assert printed == (
        "StateError /etc: cannot be written by uid 65534; "
        "make it writable for this user, or choose another with --state-dir"
    )


def test_locate_trusts_the_environment_only_with_our_name_and_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    foreign = tmp_path / "nginx"
    ours = tmp_path / "svc"
    for directory in (foreign, ours):
        directory.mkdir()
        (directory / "status.sock").write_text("")
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(foreign))
    assert places.locate("svc-x") == "/run/ftl/svc-x"
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(ours))
    assert places.locate("svc") == str(ours)
    assert places.locate("svc", "rel") == os.path.abspath("rel")
