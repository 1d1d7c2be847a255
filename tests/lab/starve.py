"""A limit of memory that a process cannot keep: the kernel kills it, as it would on a full host.

Where the memory controller is in the v2 tree a unit's own `MemoryMax=` does it. Where it is in a
tree of version 1, no systemd in a machine can: the process is put below a limit from outside.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.machines import Machine
from lab.net import PREFIX
from lab.waiting import wait_until

V1 = Path("/sys/fs/cgroup/memory")
TOO_LITTLE = 64 * 1024

_serial = itertools.count()


@contextmanager
def starving(machine: Machine, unit: str, pid: int) -> Iterator[Callable[[], None]]:
    """Hands out what starves the main process (``pid``) of that unit; takes the limit back."""
    if not V1.is_dir():
        yield lambda: _set_limit(machine, unit, str(TOO_LITTLE))
        _set_limit(machine, unit, "infinity")
        return
    group = V1 / f"{PREFIX}{os.getpid()}-{next(_serial)}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text(str(TOO_LITTLE))
        yield lambda: _move(group, pid)
    finally:
        wait_until(lambda: not (group / "cgroup.procs").read_text(), 5, f"{group} is empty")
        group.rmdir()


def _move(group: Path, pid: int) -> None:
    (group / "cgroup.procs").write_text(str(pid))


def _set_limit(machine: Machine, unit: str, limit: str) -> None:
    machine.run("systemctl", "set-property", "--runtime", unit, f"MemoryMax={limit}")
