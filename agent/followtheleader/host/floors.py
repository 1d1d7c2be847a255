"""What must survive a power cut: numbers that may never go back.

Promise: when `Floors.store` returns, the numbers are on the disk (file and directory are fsynced),
and none of the first three is ever smaller than before. A damaged file is put aside and reported,
and counts as absent: the election then takes its terms from above the wall clock.
"""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from followtheleader.errors import StateError
from followtheleader.host import files

_FORMAT = 1
# The election's numbers end at 2**62, and a life begins one above the stored one.
_LARGEST = 2**62 - 2


class Floor(NamedTuple):
    """The durable numbers of one instance.

    ``floor``: no term up to it may be claimed again. ``max_lock``: the longest lock ever granted,
    in nanoseconds. ``incarnation``: the newest life that was begun. ``clean_until``: left by a
    clean stop, 0 otherwise; its meaning is the agent's, and holds in the boot ``clean_boot``.
    """

    floor: int = 0
    max_lock: int = 0
    incarnation: int = 0
    clean_until: int = 0
    clean_boot: str = ""


class Floors:
    """``floor.json`` in a state directory. Not for two threads at once."""

    def __init__(self, path: str, value: Floor | None, damage: str | None) -> None:
        self._path = path
        self.value = value
        """What is on the disk; None if there was no (sound) file."""
        self.damage = damage
        """For the log: why the file found was put aside; None if all was well."""

    @classmethod
    def load(cls, state_dir: str) -> Floors:
        """Read the store. Raises `StateError` if it exists and cannot be read.

        Unreadable is not absent: what may have been promised is still in there.
        """
        path = os.path.join(state_dir, "floor.json")
        try:
            with open(path, "rb") as file:
                raw = file.read(65536)
        except FileNotFoundError:
            return cls(path, None, None)
        except OSError as error:
            cure = "make it readable for this user"
            reason = f"cannot be read by uid {os.geteuid()}: {error.strerror}"
            passing = files.may_pass(error)
            raise StateError(f"{path}: {reason}; {cure}", passing=passing) from None
        value = _parse(raw)
        return cls(path, value, None if value is not None else _put_aside(path))

    def store(
        self,
        *,
        floor: int = 0,
        max_lock: int = 0,
        incarnation: int = 0,
        clean_until: int | None = None,
        clean_boot: str = "",
    ) -> Floor:
        """Raise the numbers given, keep the others, and return what is on the disk now.

        Blocks for an fsync; nothing is written when nothing changes. Raises `StateError`, and then
        ``value`` is as before.
        """
        old = self.value or Floor()
        new = Floor(
            max(old.floor, floor),
            max(old.max_lock, max_lock),
            max(old.incarnation, incarnation),
            old.clean_until if clean_until is None else clean_until,
            old.clean_boot if clean_until is None else clean_boot,
        )
        if new != self.value:
            text = json.dumps({"format": _FORMAT, **new._asdict()})
            files.replace(self._path, text.encode() + b"\n", mode=0o640, durable=True)
            self.value = new
        return new


def next_incarnation(stored: int, wall_us: int) -> int:
    """The number of this life: above every stored one, and above the wall clock at its start.

    In microseconds: two clones that start together must not take each other for themselves.
    """
    return max(stored + 1, wall_us)


def _parse(raw: bytes) -> Floor | None:
    try:
        read = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(read, dict) or read.get("format") != _FORMAT:
        return None
    boot = read.get("clean_boot")
    numbers = [read.get(name) for name in Floor._fields if name != "clean_boot"]
    sound = [n for n in numbers if type(n) is int and 0 <= n <= _LARGEST]
    if len(sound) < len(numbers) or not isinstance(boot, str):
        return None
    floor, max_lock, incarnation, clean_until = sound
    return Floor(floor, max_lock, incarnation, clean_until, boot)


def _put_aside(path: str) -> str:
    aside = f"{path}.damaged"
    try:
        os.replace(path, aside)
    except OSError as error:
        raise files.unwritable(aside, error) from None
    return f"{path}: damaged, so its numbers are lost; kept as {aside}, delete it when seen"
