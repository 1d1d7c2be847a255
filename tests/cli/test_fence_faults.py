"""``fence`` and a file of tokens that is no such file, or cannot be written: nothing is run."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from cli.command import COMMAND, clean_environment, ftl_agent
from cli.share import LARGEST, RAN, Share

CANNOT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
AS_USER = CANNOT_OVERRIDE if os.geteuid() == 0 else ()

OWN_DISK = ("unshare", *(() if os.geteuid() == 0 else ("-r",)), "--mount", "sh", "-c")
SCRIPT = """
mount -t tmpfs -o size=64k none "$0" && cd "$0" && eval "$1" 2>/dev/null; shift
"$@"; echo "exit $?"; cat token 2>/dev/null
"""
FILL = "cat /dev/zero >filler"
READ_ONLY = 'mount -o remount,ro "$0"'

SYNC_FAILS = """
import os, stat, sys
real = os.fsync
def fsync(fd):
    if stat.S_ISDIR(os.fstat(fd).st_mode):
        raise OSError(number, os.strerror(number))
    real(fd)
os.fsync = fsync
"""
UNWATCHED = """
import os, sys
def pidfd_open(pid):
    raise OSError(number, os.strerror(number))
os.pidfd_open = pidfd_open
"""
RUN = """
from followtheleader.cli.main import main
sys.exit(main(sys.argv[1:]))
"""

GARBAGE = (
    *(b"garbage\n", b"\n", b" \n", b"7", b"7\n\n", b"7\n8\n", b" 7\n", b"-7\n", b"+7\n"),
    *(b"7\r\n", b"7\0\n", b"\0" * 21, b"0x7\n", b"1_0\n", "٧\n".encode(), b"\xff\n"),
    *(b"18446744073709551616\n", b"9" * 100 + b"\n", b"7" + b" " * 40 + b"\n", bytes(10**6)),
)


@pytest.fixture(name="share")
def fixture_share(place: str) -> Share:
    return Share(place)


@pytest.mark.parametrize("held", GARBAGE, ids=range(len(GARBAGE)))
def test_a_file_of_something_else_is_a_fault(share: Share, held: bytes) -> None:
    share.file.write_bytes(held)
    result = share(*RAN, token=LARGEST)
    assert (result.code, result.out) == (2, "")
    assert f"ftl-agent fence: {share.file}:1: '" in result.err
    assert (
        f"is not one decimal number up to {LARGEST} and a newline; write the newest" in result.err
    )
    assert len(result.err) < 500
    assert share.file.read_bytes() == held


def test_a_place_that_cannot_hold_it_is_told_with_its_cure(share: Share) -> None:
    top = share.directory
    os.mkfifo(top / "pipe")
    (top / "link").symlink_to("elsewhere")
    (top / "file").write_text("7\n")
    for path, says in (
        ("none/token", "No such file or directory; its directory is not there: make it, or mount"),
        ("file/token", "Not a directory; its directory is not there"),
        (".", "Is a directory; name a file in it"),
        ("link", "Too many levels of symbolic links; a symbolic link is not followed"),
        ("pipe", "is not a regular file; name another"),
        ("t" * 300, "File name too long; see to it, or name another file"),
    ):
        words = ("--token-file", f"{top}/{path}", "--token=7", "--", *RAN)
        result = ftl_agent("fence", *words)
        assert (result.code, result.out) == (2, "")
        assert f"ftl-agent fence: {top}/{path}: {says}" in result.err
    assert not (top / "elsewhere").exists()


def test_missing_rights_are_told_with_the_uid(share: Share) -> None:
    share.file.write_text("6\n")
    for path, mode in ((share.file, 0o444), (share.directory, 0o555)):
        path.chmod(mode)
        done = run_as_user(share, *RAN)
        path.chmod(0o755)
        share.file.unlink(missing_ok=True)
        assert (done.returncode, done.stdout) == (2, "")
        assert f"{share.file}: Permission denied; uid {os.geteuid()} must be allowed" in done.stderr
    share.file.write_text("6\n")
    share.directory.chmod(0o555)  # Only the note cannot be written, on which nothing depends.
    assert run_as_user(share, *RAN).stdout == "ran\n"
    share.directory.chmod(0o755)


def run_as_user(share: Share, *command: str) -> subprocess.CompletedProcess[str]:
    argv = [*AS_USER, *COMMAND, *share.words(7), *command]
    return subprocess.run(argv, capture_output=True, text=True, env=clean_environment())


@pytest.mark.parametrize("held", ["", "6\n", "6".ljust(20) + "\n"])
def test_half_a_write_leaves_what_was_there(share: Share, held: str) -> None:
    share.file.write_text(held)
    argv = [*COMMAND, *share.words(LARGEST), *RAN]
    limit = (3, 3)
    done = subprocess.run(
        ["prlimit", f"--fsize={limit[0]}:{limit[1]}", *argv],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{share.file}: No space left on device; make room for it" in done.stderr
    assert share.file.read_text() == held
    assert share(*RAN, token=7).code == 0


@pytest.mark.parametrize(
    ("disk", "ends", "says"),
    [
        (FILL, "exit 2\n", "No space left on device; make room for it"),
        (READ_ONLY, "exit 2\n", "Read-only file system; mount its file system for writing"),
        (f"echo 6 >token; {READ_ONLY}", "exit 2\n6\n", "Read-only file system; mount its"),
        # It has its room already; only the note of the holder has none.
        (f"echo 6 >token; {FILL}", f"ran\nexit 0\n{7:<20}\n", ""),
    ],
    ids=["full-new", "read-only-new", "read-only", "full"],
)
def test_a_disk_that_is_full_or_read_only(share: Share, disk: str, ends: str, says: str) -> None:
    argv = [*COMMAND, *share.words(7), *RAN]
    done = subprocess.run(
        [*OWN_DISK, SCRIPT, str(share.directory), disk, *argv],
        capture_output=True,
        text=True,
        env=clean_environment(),
    )
    assert done.stdout == ends
    assert says in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("held", ["", f"{6:<20}\n"], ids=["new", "old"])
def test_a_name_that_cannot_be_put_on_the_disk_is_a_fault(share: Share, held: str) -> None:
    """Also of a file that was there: whoever made it may have died too early."""
    share.file.write_text(held)
    done = run_where(share, SYNC_FAILS, errno.EIO)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"{share.file}: Input/output error; see to it" in done.stderr


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EOPNOTSUPP, errno.EACCES])
def test_a_file_system_that_does_not_sync_names_is_taken_as_it_is(
    share: Share, number: int
) -> None:
    assert run_where(share, SYNC_FAILS, number).stdout == "ran\n"


def test_without_a_keeper_nothing_is_run(share: Share) -> None:
    done = run_where(share, UNWATCHED, errno.ENOSYS)
    assert (done.returncode, done.stdout) == (126, "")
    assert "no keeper of the lock can be started: Function not implemented" in done.stderr
    assert not share.note.exists()
    assert share(*RAN, token=7).code == 0


def run_where(share: Share, fails: str, number: int) -> subprocess.CompletedProcess[str]:
    """Run it where the kernel answers something with that errno."""
    program = f"number = {number}\n{fails}{RUN}"
    argv = [sys.executable, "-P", "-c", program, *share.words(7), *RAN]
    return subprocess.run(argv, capture_output=True, text=True, env=clean_environment())
