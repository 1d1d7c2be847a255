"""Remembered members: bounded, and never a reason not to start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from followtheleader.host import members
from followtheleader.host.members import MOST_MEMBERS, Remembered, RememberedMember


def member(number: int, heard_ms: int = 0) -> RememberedMember:
    return RememberedMember(number, f"n{number}", ("10.0.0.2", 9001), heard_ms)


def test_round_trip(tmp_path: Path) -> None:
    assert members.load(str(tmp_path)) == Remembered()
    members.store(str(tmp_path), 9003, [member(2**64 - 1, 5), member(7, 9)])
    assert members.load(str(tmp_path)) == Remembered(9003, (member(7, 9), member(2**64 - 1, 5)))


def test_the_last_heard_are_kept(tmp_path: Path) -> None:
    members.store(str(tmp_path), None, [member(n, heard_ms=n) for n in range(1000)])
    kept = members.load(str(tmp_path)).members
    assert [m.heard_ms for m in kept] == list(range(999, 999 - MOST_MEMBERS, -1))


@pytest.mark.parametrize(
    "damaged", [b"", b"\xff\xfe", b"[1]", b'{"format": 9}', b'{"format": 1, "members": 5}']
)
def test_damage_is_ignored(damaged: bytes, tmp_path: Path) -> None:
    (tmp_path / "members.json").write_bytes(damaged)
    assert members.load(str(tmp_path)) == Remembered()


@pytest.mark.parametrize(
    "change",
    [
        {"id": 5},
        {"id": "xyz"},
        {"address": ["host-b", 9001]},
        {"address": ["10.0.0.2", 0]},
        {"address": ["10.0.0.2", 65536]},
        {"heard_ms": "now"},
        {"name": None},
    ],
)
def test_an_entry_without_sense_is_left_out(change: dict[str, object], tmp_path: Path) -> None:
    good = {"id": "0a", "name": "n10", "address": ["10.0.0.2", 9001], "heard_ms": 1}
    text = json.dumps({"format": 1, "port": "9001", "members": [{**good, **change}, good]})
    (tmp_path / "members.json").write_text(text)
    assert members.load(str(tmp_path)) == Remembered(None, (member(10, 1),))
