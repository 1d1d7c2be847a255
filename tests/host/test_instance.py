"""One agent per instance, also after a kill -9."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from followtheleader.errors import InstanceRunning, StateError
from followtheleader.host.instance import InstanceLock

HOLDER = """
import sys
from followtheleader.host.instance import InstanceLock
lock = InstanceLock.acquire(sys.argv[1])
print("held", flush=True)
sys.stdin.read()
"""


def test_nobody_else_can_read_it_and_so_hold_it(tmp_path: Path) -> None:
    """Else any local user could keep the next agent from starting. It was 0644 once."""
    path = tmp_path / "lock"
    path.write_text("4711\n")
    path.chmod(0o644)
    for _ in range(2):
        lock = InstanceLock.acquire(str(tmp_path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        lock.release()
        path.unlink()


def test_second_is_told_the_pid_of_the_first(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(InstanceRunning, match=f"held by the agent with pid {holder.pid};"):
            InstanceLock.acquire(str(tmp_path))
        holder.kill()
        holder.wait(timeout=10)
    lock = InstanceLock.acquire(str(tmp_path))
    lock.release()
    lock.release()
    InstanceLock.acquire(str(tmp_path)).release()


def test_a_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    lock = InstanceLock.acquire(str(tmp_path))
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE, close_fds=False):
        lock.release()
        InstanceLock.acquire(str(tmp_path)).release()


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="/none/lock: cannot be written"):
        InstanceLock.acquire(str(tmp_path / "none"))


def test_a_second_runtime_directory_does_not_make_a_second_voter(tmp_path: Path) -> None:
    one, other, state = (tmp_path / name for name in ("one", "other", "state"))
    for directory in (one, other, state):
        directory.mkdir()
    held = InstanceLock.acquire(str(one), str(state))
    with pytest.raises(InstanceRunning, match="state/lock"):
        InstanceLock.acquire(str(other), str(state))
    InstanceLock.acquire(str(other)).release()  # nothing is left half locked
    held.release()
    InstanceLock.acquire(str(other), str(state)).release()


def test_a_lock_that_somebody_removed_is_taken_again(tmp_path: Path) -> None:
    lock = InstanceLock.acquire(str(tmp_path))
    path = tmp_path / "lock"
    assert lock.missing() == []
    path.unlink()
    assert lock.missing() == [str(path)]
    lock.take_again()
    assert lock.missing() == []
    with pytest.raises(InstanceRunning):
        InstanceLock.acquire(str(tmp_path))
    path.unlink()
    other = InstanceLock.acquire(str(tmp_path))
    with pytest.raises(InstanceRunning):
        lock.take_again()
    other.release()
    lock.take_again()
    lock.release()
    InstanceLock.acquire(str(tmp_path)).release()
