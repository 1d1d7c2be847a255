"""The log: readable lines, journald's native records, and never a wait."""

from __future__ import annotations

import fcntl
import os
import re
import socket
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from followtheleader.host import journal
from followtheleader.host.journal import Journal, message_id


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read, write = os.pipe()
    os.set_blocking(read, False)
    yield read, write
    os.close(read)
    os.close(write)


def printed(fd: int) -> str:
    return os.read(fd, 1 << 20).decode()


@pytest.fixture
def journald(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pipe: tuple[int, int]
) -> Iterator[socket.socket]:
    """A journal at the other end: its socket, and our stderr as its stream."""
    path = str(tmp_path / "journal")
    monkeypatch.setattr(journal, "JOURNAL_SOCKET", path)
    found = os.fstat(pipe[1])
    monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(path)
        listener.settimeout(5)
        yield listener


def fields(datagram: bytes) -> dict[str, str]:
    """Parse journald's native format."""
    parsed = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        name, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + size], datagram[8 + size + 1 :]
        parsed[name.decode()] = value.decode()
    return parsed


def test_a_readable_line(pipe: tuple[int, int]) -> None:
    log = Journal.open("svc", fd=pipe[1])
    log.info("elected", "leads now", term=3, leader="node a", why=None, ok=True)
    line = printed(pipe[0])
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}"
    assert re.fullmatch(f'{stamp} info svc: leads now term=3 leader="node a" ok=true\n', line)


def test_debug_only_when_asked_for(pipe: tuple[int, int]) -> None:
    Journal.open("svc", fd=pipe[1]).debug("x", "hidden")
    Journal.open("svc", fd=pipe[1], debug=True).debug("x", "shown")
    assert printed(pipe[0]).endswith(" debug svc: shown\n")


def test_control_characters_are_shown_not_obeyed(pipe: tuple[int, int]) -> None:
    Journal.open("svc", fd=pipe[1]).warning("x", "from \x1b[2J peer", name="a\nb\x07", empty="")
    line = printed(pipe[0])
    assert line.endswith(r'from \x1b[2J peer name="a\nb\u0007" empty=""' + "\n")
    assert line.count("\n") == 1


def test_each_line_of_a_message_is_marked(pipe: tuple[int, int]) -> None:
    Journal.open("svc", fd=pipe[1]).error("x", "one\ntwo")
    assert [line.partition(" svc: ")[2] for line in printed(pipe[0]).splitlines()] == ["one", "two"]


def test_native_record(journald: socket.socket, pipe: tuple[int, int]) -> None:
    log = Journal.open("svc", fd=pipe[1])
    log.error("hook-failed", "first\nsecond", hook_rc=1, hook="on_leader")
    assert fields(journald.recv(65536)) == {
        "MESSAGE": "first\nsecond",
        "PRIORITY": "3",
        "SYSLOG_IDENTIFIER": "ftl-agent",
        "MESSAGE_ID": message_id("hook-failed"),
        "FTL_INSTANCE": "svc",
        "FTL_EVENT": "hook-failed",
        "FTL_HOOK_RC": "1",
        "FTL_HOOK": "on_leader",
    }
    with pytest.raises(BlockingIOError):
        printed(pipe[0])
    log.close()


def test_message_ids_are_stable_and_well_formed() -> None:
    assert message_id("elected") == "7b84c1d5e93e0ec9db68048b8265db37"
    assert message_id("elected") != message_id("lapsed")


def test_another_stream_is_not_the_journal(
    journald: socket.socket, pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "1:1")
    Journal.open("svc", fd=pipe[1]).info("x", "plain")
    assert printed(pipe[0]).endswith(" info svc: plain\n")


def test_too_large_for_a_datagram(journald: socket.socket, pipe: tuple[int, int]) -> None:
    log = Journal.open("svc", fd=pipe[1])
    log.info("x", "é" * 50_000)
    line = printed(pipe[0])
    assert line.startswith("<6>ééé")
    assert line.endswith(" ...\n")
    assert len(line.encode("utf-8", "backslashreplace")) <= 4096
    log.close()


def test_journald_that_restarts_loses_nothing(
    journald: socket.socket, pipe: tuple[int, int], tmp_path: Path
) -> None:
    log = Journal.open("svc", fd=pipe[1])
    journald.close()
    log.info("x", "while away", a=1)
    assert printed(pipe[0]) == "<6>while away a=1\n"
    os.unlink(tmp_path / "journal")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as again:
        again.bind(str(tmp_path / "journal"))
        again.settimeout(5)
        log.info("x", "first after")  # Finds the old connection dead and makes a new one.
        log.info("x", "second after")
        assert fields(again.recv(65536))["MESSAGE"] == "second after"
    assert printed(pipe[0]) == "<6>first after\n"
    log.close()


def test_a_log_nobody_reads_stops_nobody_and_losses_are_counted(pipe: tuple[int, int]) -> None:
    log = Journal.open("svc", fd=pipe[1])
    for number in range(5000):
        log.info("x", "y" * 100, number=number)
    written = printed(pipe[0]).count("\n")
    assert 0 < written < 5000
    log.info("x", "after")
    assert printed(pipe[0]).endswith(f" after lost={5000 - written}\n")


def test_at_most_one_of_a_kind_in_its_time(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Journal.open("svc", fd=pipe[1])
    now = 10**9
    monkeypatch.setattr(journal, "boottime", lambda: now)
    for _ in range(5):
        log.warning("lost", "no answer", limit=60 * 10**9)
        log.warning("other", "unlimited")
    lines = printed(pipe[0]).splitlines()
    assert sum("no answer" in line for line in lines) == 1
    assert sum("unlimited" in line for line in lines) == 5
    now += 60 * 10**9
    log.warning("lost", "no answer", limit=60 * 10**9)
    assert printed(pipe[0]).endswith("no answer suppressed=4\n")


def test_a_terminal_and_a_file(tmp_path: Path) -> None:
    screen, line = os.openpty()
    attributes = termios.tcgetattr(line)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(line, termios.TCSANOW, attributes)
    try:
        Journal.open("svc", fd=line).info("x", "on a terminal")
        assert os.read(screen, 4096).endswith(b"on a terminal\n")
    finally:
        os.close(screen)
        os.close(line)
    with open(tmp_path / "log", "ab") as file:
        Journal.open("svc", fd=file.fileno()).info("x", "in a file")
    assert (tmp_path / "log").read_text().endswith("in a file\n")


def test_a_closed_stderr_is_no_fault() -> None:
    read, write = os.pipe()
    os.close(read)
    os.close(write)
    with pytest.raises(OSError, match="Bad file descriptor"):
        fcntl.fcntl(write, fcntl.F_GETFD)
    Journal.open("svc", fd=write).error("x", "nobody hears")


def test_what_hooks_say_has_an_identifier_of_its_own(
    journald: socket.socket, pipe: tuple[int, int]
) -> None:
    log = Journal.open("svc", fd=pipe[1])
    log.info("hook-output", "hello", hook="/etc/ftl/svc/on_leader.sh")
    log.info("hook-ended", "done", hook="/etc/ftl/svc/on_leader.sh")
    said, ended = (fields(journald.recv(65536)) for _ in range(2))
    assert (said["SYSLOG_IDENTIFIER"], said["FTL_HOOK"]) == (
        "ftl-hook",
        "/etc/ftl/svc/on_leader.sh",
    )
    assert ended["SYSLOG_IDENTIFIER"] == "ftl-agent"
    log.close()
