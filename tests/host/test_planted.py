"""What another user has put where we write: root's agent by hand writes into the unit's directory.

Pipes, links and files of other names: nothing of them is written, followed, opened to others or
waited for.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from followtheleader.cli import keygen
from followtheleader.config import keyfile
from followtheleader.errors import StateError
from followtheleader.host import files, sockets
from followtheleader.host.statefiles import StateFiles

PLANTS: dict[str, Callable[[Path, Path], object]] = {
    "link": lambda place, victim: place.symlink_to(victim),
    "dangling link": lambda place, victim: place.symlink_to(victim.with_name("new")),
    "other name": lambda place, victim: place.hardlink_to(victim),
    "pipe": lambda place, victim: os.mkfifo(place),
    "file": lambda place, victim: place.write_text("x" * 1000),
}


@pytest.fixture(name="victim")
def fixture_victim(tmp_path: Path) -> Path:
    victim = tmp_path / "victim"
    victim.write_text("secret\n")
    victim.chmod(0o600)
    return victim


def is_untouched(victim: Path) -> bool:
    mode = stat.S_IMODE(victim.stat().st_mode)
    fresh = victim.with_name("new").exists()
    return (victim.read_text(), mode, fresh) == ("secret\n", 0o600, False)


@pytest.mark.parametrize("plant", PLANTS)
@pytest.mark.parametrize("name", ["role", ".role.new", "leader", ".state.json.new"])
def test_state_files_are_new_files(tmp_path: Path, victim: Path, plant: str, name: str) -> None:
    place = tmp_path / "rt"
    place.mkdir()
    PLANTS[plant](place / name, victim)
    state = StateFiles(str(place))
    writer = threading.Thread(target=state.publish, args=("leader", {"term": 1}), daemon=True)
    writer.start()
    writer.join(10)
    assert not writer.is_alive(), "it waits for somebody who reads"
    assert {path.name: path.read_text() for path in place.iterdir()} == {
        "role": "leader\n",
        "leader": "",
        "state.json": '{"term":1}\n',
    }
    assert not any(stat.S_ISLNK(path.lstat().st_mode) for path in place.iterdir())
    assert {path.stat().st_nlink for path in place.iterdir()} == {1}
    assert is_untouched(victim)


@pytest.mark.parametrize("plant", ["link", "other name", "pipe"])
def test_a_socket_is_opened_to_others_itself(
    tmp_path: Path, victim: Path, plant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its making and its mode another may lie there."""
    path, real = tmp_path / "s", sockets._give_away

    def swapped(temporary: str, mode: int, gid: int | None) -> os.stat_result:
        os.unlink(temporary)
        PLANTS[plant](Path(temporary), victim)
        return real(temporary, mode, gid)

    monkeypatch.setattr(sockets, "_give_away", swapped)

    async def answer(request: dict[str, object]) -> dict[str, object]:
        return request

    async def serve() -> None:
        await sockets.serve(str(path), 0o666, None, answer)

    with pytest.raises(StateError, match="another file was put in its place"):
        asyncio.run(serve())
    assert is_untouched(victim)
    assert not path.exists()


def test_a_socket_of_somebody_else_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "s"))
        os.chmod(tmp_path / "s", 0o700)
        monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        with pytest.raises(OSError, match="another file"):
            sockets._give_away(str(tmp_path / "s"), 0o666, None)
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700


def test_a_file_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / ".role.new").mkdir()
    with pytest.raises(StateError, match="a directory is in the way"):
        files.replace(str(tmp_path / "role"), b"leader\n")


def test_a_key_is_given_to_the_group_by_its_descriptor(
    tmp_path: Path, victim: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory of somebody else's its name may lead elsewhere by then."""
    made = tempfile.mkstemp

    def swapped(prefix: str, dir: str) -> tuple[int, str]:
        fd, name = made(prefix=prefix, dir=dir)
        os.unlink(name)
        os.symlink(victim, name)
        return fd, name

    monkeypatch.setattr(tempfile, "mkstemp", swapped)
    monkeypatch.setattr(keyfile, "group_of_agent", os.getgid)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with suppress(PermissionError):  # not root: the owner cannot be changed at all
        keygen._write_new(str(tmp_path / "key"), b"secret of the group\n")
    assert is_untouched(victim)
