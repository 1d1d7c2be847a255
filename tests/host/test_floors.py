"""The durable numbers: they never go back, and damage is noticed and kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from followtheleader.errors import StateError
from followtheleader.host.floors import Floor, Floors, next_incarnation


def test_nothing_stored_yet(tmp_path: Path) -> None:
    floors = Floors.load(str(tmp_path))
    assert (floors.value, floors.damage) == (None, None)


def test_what_is_stored_is_read_again(tmp_path: Path) -> None:
    Floors.load(str(tmp_path)).store(floor=5, max_lock=10**9, incarnation=77, clean_until=3)
    floors = Floors.load(str(tmp_path))
    assert floors.value == Floor(5, 10**9, 77, 3)
    assert floors.store(floor=4, max_lock=1, incarnation=70) == Floor(5, 10**9, 77, 3)
    assert floors.store(floor=6, clean_until=0) == Floor(6, 10**9, 77, 0)
    assert json.loads((tmp_path / "floor.json").read_text()) == {
        "format": 1,
        "floor": 6,
        "max_lock": 10**9,
        "incarnation": 77,
        "clean_until": 0,
        "clean_boot": "",
    }


def test_nothing_is_written_when_nothing_changes(tmp_path: Path) -> None:
    floors = Floors.load(str(tmp_path))
    floors.store(floor=5)
    (tmp_path / "floor.json").unlink()
    floors.store(floor=5)
    assert os.listdir(tmp_path) == []


# strace is not everywhere: an audit hook and a wrapped os.fsync show the order instead.
DURABLE = """
import os, sys
from followtheleader.host.floors import Floors
real = os.fsync
def fsync(fd):
    print("fsync:" + os.path.basename(os.readlink(f"/proc/self/fd/{fd}")))
    real(fd)
os.fsync = fsync
sys.addaudithook(lambda event, a: event == "os.rename" and print("rename"))
Floors.load(sys.argv[1]).store(floor=1)
"""


def test_file_and_directory_reach_the_disk(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", DURABLE, str(tmp_path)], capture_output=True, text=True, timeout=20
    )
    assert run.stdout.split() == ["fsync:.floor.json.new", "rename", f"fsync:{tmp_path.name}"]


def stored(**changed: object) -> bytes:
    """A sound file but for what is changed."""
    sound = {"floor": 5, "max_lock": 1, "incarnation": 1, "clean_until": 0, "clean_boot": ""}
    return json.dumps({"format": 1, **sound, **changed}).encode()


def test_what_stored_makes_is_sound(tmp_path: Path) -> None:
    (tmp_path / "floor.json").write_bytes(stored())
    assert Floors.load(str(tmp_path)).value == Floor(5, 1, 1, 0)


@pytest.mark.parametrize(
    "damaged",
    [
        b"",
        b"\0" * 100,
        b"[]",
        b"{" * 10000,
        b'{"format": 1, "floor": 5, "max_lock": 1, "incarnation": 1}',
        stored(format=2),
        stored(floor=-5),
        stored(floor=True),
        stored(floor=float("inf")),
        stored(floor=2**63),
        stored(clean_boot=None),
    ],
)
def test_damage_is_reported_and_kept(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "floor.json").write_bytes(damaged)
    floors = Floors.load(str(tmp_path))
    assert floors.value is None
    assert floors.damage is not None
    assert floors.damage.startswith(f"{tmp_path}/floor.json: damaged")
    assert (tmp_path / "floor.json.damaged").read_bytes() == damaged
    assert not (tmp_path / "floor.json").exists()
    assert Floors.load(str(tmp_path)).damage is None


def test_unreadable_is_not_absent(tmp_path: Path) -> None:
    (tmp_path / "floor.json").mkdir()
    with pytest.raises(StateError, match=r"floor\.json: cannot be read by uid"):
        Floors.load(str(tmp_path))


def test_a_failed_write_changes_nothing(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    floors = Floors.load(str(directory))
    floors.store(floor=5)
    directory.rename(tmp_path / "moved")
    with pytest.raises(StateError, match=r"/state/floor\.json: cannot be written"):
        floors.store(floor=6)
    assert floors.value == Floor(floor=5)


@given(st.integers(0, 2**62), st.integers(0, 2**45))
def test_incarnations_grow(stored: int, wall: int) -> None:
    assert next_incarnation(stored, wall) > stored
    assert next_incarnation(stored, wall) >= wall
