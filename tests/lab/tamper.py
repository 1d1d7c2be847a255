"""A host whose wall clock can be set and whose disk can stall, while its agent runs.

    tamper = Tamper(host)          # before the agent's start
    tamper.set_clock(days=-365)
    tamper.stall_disk(seconds=3)

Promise: only the processes of that host's agent see it (and its guardian, and hooks); BOOTTIME and
MONOTONIC stay true. See `tamper.c`.
"""

from __future__ import annotations

import mmap
import struct
import subprocess
from pathlib import Path

from lab.hosts import Host

SOURCE = Path(__file__).with_name("tamper.c")
DAY = 86_400
_NUMBERS = struct.Struct("=4q")
_CLOCK, _DISK, _READ, _STALLED = range(4)


def build_tamper(directory: Path) -> tuple[Path, Path]:
    """Make the library and the file that it obeys; both are in ``directory`` then."""
    library, told = directory / "tamper.so", directory / "tamper"
    flags = ("-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror")
    subprocess.run(["gcc", *flags, "-o", library, SOURCE, "-ldl"], check=True)
    told.write_bytes(bytes(_NUMBERS.size))
    return library, told


class Tamper:
    """What is wrong with one host; all is well at first."""

    def __init__(self, host: Host) -> None:
        self._host = host
        library, told = build_tamper(host.directory)
        with told.open("r+b") as file:
            self._told = mmap.mmap(file.fileno(), _NUMBERS.size)
        host.inside = [
            *("env", f"LD_PRELOAD={library}", f"FTL_TAMPER={told}"),
            f"FTL_TAMPER_DISK={host.state_dir}",
        ]

    def set_clock(self, days: int) -> int:
        """Set the wall clock so many days off; return the instant before."""
        at = self._host.log.note(self._host.name, "fault", f"clock-{days}-days")
        self._put(_CLOCK, days * DAY)
        return at

    def stall_disk(self, seconds: float) -> int:
        """Let every sync and rename in the state directory take so long; 0: the disk is well."""
        at = self._host.log.note(self._host.name, "fault", f"disk-stalls-{seconds}")
        self._put(_DISK, int(seconds * 1000))
        return at

    @property
    def clock_was_read(self) -> int:
        """How often a clock that is off has been read."""
        return self._get(_READ)

    @property
    def disk_has_stalled(self) -> int:
        """How often somebody had to wait for the disk."""
        return self._get(_STALLED)

    def _put(self, which: int, number: int) -> None:
        struct.pack_into("=q", self._told, 8 * which, number)

    def _get(self, which: int) -> int:
        number: int = struct.unpack_from("=q", self._told, 8 * which)[0]
        return number
