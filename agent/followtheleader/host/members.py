"""What helps a start and may be lost: the members last heard, and the port last used.

Nothing here is fsynced and nothing raises for a damaged or missing file: a start without it takes
longer, that is all.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from followtheleader.host import files

MOST_MEMBERS = 256
_FORMAT = 1


class RememberedMember(NamedTuple):
    """A member of an earlier run; ``heard_ms`` is when, by the wall clock."""

    id: int
    name: str
    address: tuple[str, int]
    heard_ms: int


class Remembered(NamedTuple):
    """The content of ``members.json``; ``port`` is None if none was used yet."""

    port: int | None = None
    members: tuple[RememberedMember, ...] = ()


def load(state_dir: str) -> Remembered:
    """Read ``members.json``; entries that make no sense are left out."""
    try:
        with open(_path(state_dir), "rb") as file:
            read = json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return Remembered()
    if not isinstance(read, dict) or read.get("format") != _FORMAT:
        return Remembered()
    port, listed = read.get("port"), read.get("members")
    found = [_member(entry) for entry in listed] if isinstance(listed, list) else []
    members = tuple(m for m in found if m is not None)[:MOST_MEMBERS]
    return Remembered(port if _is_port(port) else None, members)


def store(state_dir: str, port: int | None, members: Iterable[RememberedMember]) -> None:
    """Replace ``members.json``, keeping the 256 members heard last. Raises `StateError`."""
    newest = sorted(members, key=lambda member: -member.heard_ms)[:MOST_MEMBERS]
    text = json.dumps(
        {
            "format": _FORMAT,
            "port": port,
            "members": [
                {"id": f"{m.id:016x}", "name": m.name, "address": m.address, "heard_ms": m.heard_ms}
                for m in newest
            ],
        }
    )
    files.replace(_path(state_dir), text.encode() + b"\n", mode=0o640)


def _path(state_dir: str) -> str:
    return os.path.join(state_dir, "members.json")


def _member(entry: object) -> RememberedMember | None:
    match entry:
        case {
            "id": str(id_text),
            "name": str(name),
            "address": [str(host), int(port)],
            "heard_ms": int(heard_ms),
        } if _is_port(port) and len(name) <= 255:
            try:
                return RememberedMember(
                    int(id_text, 16), name, (str(ipaddress.ip_address(host)), port), heard_ms
                )
            except ValueError:
                return None
        case _:
            return None


def _is_port(value: object) -> bool:
    return type(value) is int and 0 < value < 65536
