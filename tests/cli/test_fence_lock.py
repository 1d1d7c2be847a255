"""``fence`` and the lock: who has it, for how long, and what those do who wait for it."""

from __future__ import annotations

import fcntl
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from cli.command import SECONDS, clean_environment
from cli.share import RAN, Running, Share

F_SETOWN_EX, F_OWNER_TID = 15, 0
"""fcntl(2); Python does not name them."""
CLOSE_ALL = "exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-"
"""As sudo and daemons do with what they were started with."""
COUNTING = """
import signal, sys, time
got = []
signal.signal(signal.SIGTERM, lambda *_: got.append(1))
print("ready", flush=True)
while not got:
    time.sleep(0.01)
time.sleep(0.6)
print(len(got))
"""
OTHER_THREAD = """
import ctypes, os, sys, threading, time
os.closerange(3, 1000)
def go_on():
    time.sleep(0.1)
    if sys.argv[1] == "executes":
        os.execvp("sh", ["sh", "-c", "echo ready; exec sleep 1000"])
    print("ready", flush=True)
    time.sleep(1000)
threading.Thread(target=go_on).start()
ctypes.CDLL(None).pthread_exit(None) if sys.argv[1] == "stays" else time.sleep(100)
"""
NAMES_NEVER_FIT = """
import os, sys
real = os.lstat
def other(path):
    print("turn", flush=True)
    return os.stat_result([0, 0, *real(path)[2:]])
os.lstat = other
from followtheleader.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(name="share")
def fixture_share(place: str) -> Share:
    return Share(place)


# -- one at a time


def test_two_never_run_at_once_and_the_newest_stays(share: Share) -> None:
    alone = 'mkdir "$0/alone" && sleep 0.02 && rmdir "$0/alone" || exit 9'
    tokens = [3, 1, 8, 8, 2, 5, 7, 4]
    fences = [share.start("sh", "-c", alone, str(share.directory), token=n) for n in tokens]
    ends = {(n, fence.wait(SECONDS)) for n, fence in zip(tokens, fences, strict=True)}
    for fence in fences:
        fence.communicate()
    assert {code for _, code in ends} <= {0, 1}
    assert (8, 0) in ends
    assert (8, 1) not in ends
    assert share.newest == 8


def test_who_waits_in_vain_is_told_for_whom(share: Share) -> None:
    with share.busy(7) as running:
        result = share(*RAN, token=8, wait="200ms")
        pid = running.fence.pid
    assert (result.code, result.out) == (4, "")
    assert f"{share.file}: locked by another fence for more than 0.2 s ({pid}@" in result.err
    assert f" with token 7, says {share.note}); wait for its command" in result.err
    assert share.newest == 7


def test_a_frozen_command_is_waited_for(share: Share) -> None:
    """The older leader's host stands still in the middle of a write."""
    with share.busy(7) as running:
        for pid in (running.fence.pid, running.command):
            os.kill(pid, signal.SIGSTOP)
        assert share(*RAN, token=8, wait="200ms").code == 4
        newer = share.start(*RAN, token=8)
        for pid in (running.fence.pid, running.command):
            os.kill(pid, signal.SIGCONT)
        running.end()
        assert running.result() == (0, "over\n", "")
        assert newer.communicate(timeout=SECONDS) == ("ran\n", "")
        assert newer.returncode == 0


def test_who_is_older_does_not_wait_for_the_newer_ones_command(share: Share) -> None:
    with share.busy(7) as running:
        assert share(*RAN, token=6, wait="20m").code == 1
        assert running.fence.poll() is None


def test_what_a_command_leaves_behind_has_no_lock(share: Share) -> None:
    leave = "sleep 1000 >/dev/null 2>&1 & echo $!"
    left = share("sh", "-c", leave, token=7)
    try:
        assert left.code == 0
        os.kill(int(left.out), 0)
        assert share(*RAN, token=8, wait="0s") == (0, "ran\n", "")
    finally:
        os.kill(int(left.out), signal.SIGKILL)


def test_who_is_told_to_end_while_it_waits_runs_nothing(share: Share) -> None:
    with share.busy(7):
        waiting = share.start(*RAN, token=8)
        share.wait_open(waiting.pid)
        waiting.terminate()
        assert waiting.communicate(timeout=SECONDS)[0] == ""
        assert waiting.returncode == -signal.SIGTERM
    assert share.newest == 7


def test_the_file_that_has_the_name_counts(share: Share) -> None:
    """Somebody put another file in its place while we waited for the first one."""
    with share.busy(7) as running:
        waiting = share.start(*RAN, token=8)
        share.wait_open(waiting.pid)
        other = share.directory / "other"
        other.write_text("9\n")
        other.rename(share.file)
        running.end()
        assert "older than 9" in waiting.communicate(timeout=SECONDS)[1]
        assert waiting.returncode == 1
    assert share.newest == 9


# -- what the command, and others, do to it


def test_a_command_that_closes_all_it_has_keeps_the_lock(share: Share) -> None:
    with share.busy(7, CLOSE_ALL) as running:
        assert running.command not in share.opened_by()
        assert share(*RAN, token=8, wait="200ms").code == 4
        running.end()
        assert share(*RAN, token=8) == (0, "ran\n", "")


@pytest.mark.parametrize("first", [":", CLOSE_ALL], ids=["keeps", "closes"])
def test_no_kill_leaves_a_command_without_its_lock(share: Share, first: str) -> None:
    """Killed is what its caller knows: the process that was fence."""
    with share.busy(7, first) as running:
        running.fence.kill()
        running.fence.wait()
        code = share(*RAN, token=8, wait="200ms").code
        assert not (code == 0 and running.is_alive)
        assert code == 0


def test_a_group_that_is_killed_gives_the_lock_back(share: Share) -> None:
    with share.busy(7) as running:
        os.killpg(running.fence.pid, signal.SIGKILL)
        assert share(*RAN, token=8) == (0, "ran\n", "")


def test_the_keeper_heeds_no_signal_but_one_and_then_the_command_has_the_lock(share: Share) -> None:
    with share.busy(7) as running:
        keeper = keeper_of(share, running)
        assert os.getsid(keeper) not in (os.getsid(running.command), os.getsid(0))
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            os.kill(keeper, number)
        assert share(*RAN, token=8, wait="200ms").code == 4
        assert keeper_of(share, running) == keeper
        os.kill(keeper, signal.SIGKILL)
        assert share(*RAN, token=8, wait="200ms").code == 4
        running.end()
        assert share(*RAN, token=8) == (0, "ran\n", "")


def keeper_of(share: Share, running: Running) -> int:
    (keeper,) = share.opened_by() - {running.command}
    return keeper


def test_the_command_gets_a_signal_to_all_of_them_once(share: Share) -> None:
    """As a guardian signals the group of a hook, and systemd each process of a unit."""
    for to_each in (False, True):
        fence = share.start(sys.executable, "-c", COUNTING, token=7)
        assert fence.stdout is not None
        assert fence.stdout.readline() == "ready\n"
        if to_each:
            for pid in share.opened_by():
                os.kill(pid, signal.SIGTERM)
                time.sleep(0.1)  # two at the same time could be taken for one
        else:
            os.killpg(fence.pid, signal.SIGTERM)
        assert fence.communicate(timeout=SECONDS)[0] == "1\n"


@pytest.mark.parametrize("what", ["executes", "stays"])
def test_a_command_has_not_ended_with_its_first_thread(share: Share, what: str) -> None:
    fence = share.start(sys.executable, "-c", OTHER_THREAD, what, token=7)
    assert fence.stdout is not None
    assert fence.stdout.readline() == "ready\n"
    assert share(*RAN, token=8, wait="0s").code == 4
    fence.kill()
    fence.communicate(timeout=SECONDS)
    assert share(*RAN, token=8) == (0, "ran\n", "")


def test_a_command_has_no_child_that_it_does_not_know(share: Share) -> None:
    waits = "import os\ntry: os.wait()\nexcept ChildProcessError: print('none')"
    assert share(sys.executable, "-c", waits, token=7) == (0, "none\n", "")


def test_who_reads_what_it_prints_waits_for_nobody_else(share: Share) -> None:
    with share.busy(7, "exec 2>&-") as running:
        assert running.fence.stderr is not None
        assert running.fence.stderr.read() == ""
        assert running.is_alive


# -- what else is in the way


def test_a_lease_that_a_file_server_has_is_waited_for(share: Share) -> None:
    """As its client has read the file, NFS delegates it, and CIFS gives it an oplock."""
    share.file.write_text("6\n")
    with leased(share) as fd:
        result = share(*RAN, token=7, wait="200ms")
        assert (result.code, result.out) == (4, "")
        assert "has a lease of it (a delegation, an oplock) and has not given it bac" in result.err
        assert "for more than 0.2 s; wait with --wait, or see /proc/locks" in result.err
        assert share.newest == 6
        waiting = share.start(*RAN, token=7)
        assert signal.sigtimedwait([signal.SIGIO], SECONDS)
        time.sleep(0.1)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        assert waiting.communicate(timeout=SECONDS) == ("ran\n", "")


@contextmanager
def leased(share: Share) -> Iterator[int]:
    """While this process has a read lease of the file, and SIGIO for those who want to write."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGIO])
    fd = os.open(share.file, os.O_RDONLY)
    try:
        # To this thread, which has it blocked: a runner's other thread would die of it.
        fcntl.fcntl(fd, F_SETOWN_EX, struct.pack("ii", F_OWNER_TID, threading.get_native_id()))
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        yield fd
    finally:
        os.close(fd)
        while signal.sigtimedwait([signal.SIGIO], 0):
            pass
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def test_a_name_that_never_fits_is_given_up_in_time(share: Share) -> None:
    """Where files have no steady numbers, or somebody replaces it again and again."""
    argv = [sys.executable, "-c", NAMES_NEVER_FIT, *share.words(7, "300ms"), *RAN]
    done = subprocess.run(
        argv, capture_output=True, text=True, env=clean_environment(), timeout=SECONDS
    )
    assert done.returncode == 4
    assert "another file is in its place again and again, for more than 0.3 s" in done.stderr
    assert done.stdout.count("turn\n") < 20
    assert "ran" not in done.stdout
