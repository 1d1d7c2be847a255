"""sd_notify over a real socket."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from followtheleader.host.notify import Notify


@pytest.fixture
def supervisor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield listener


def test_what_systemd_hears(supervisor: socket.socket) -> None:
    notify = Notify()
    assert notify.enabled
    notify.ready("leads, term 3")
    assert supervisor.recv(4096) == b"READY=1\nSTATUS=leads, term 3"
    notify.status("führt\nterm 4")
    assert supervisor.recv(4096).decode() == "STATUS=führt term 4"
    notify.watchdog()
    assert supervisor.recv(4096) == b"WATCHDOG=1"
    notify.watchdog_limit(2_000_000_000)
    assert supervisor.recv(4096) == b"WATCHDOG_USEC=2000000"
    notify.stopping()
    assert supervisor.recv(4096) == b"STOPPING=1"
    notify.close()
    assert not notify.enabled
    notify.watchdog()


def test_reloading_carries_the_monotonic_clock(supervisor: socket.socket) -> None:
    before = time.monotonic_ns() // 1000
    notify = Notify()
    notify.reloading()
    notify.close()
    found = re.fullmatch(rb"RELOADING=1\nMONOTONIC_USEC=(\d+)", supervisor.recv(4096))
    assert found is not None
    assert before <= int(found[1]) <= time.monotonic_ns() // 1000


def test_a_supervisor_that_does_not_read_stops_nobody(supervisor: socket.socket) -> None:
    notify = Notify()
    for _ in range(10_000):
        notify.watchdog()
    notify.close()
    assert supervisor.recv(4096) == b"WATCHDOG=1"


def test_without_supervisor_nothing_happens_and_nothing_is_imported() -> None:
    program = (
        "import sys; from followtheleader.host.notify import Notify; n = Notify(); n.ready('x');"
        "assert not n.enabled; assert 'sdnotify' not in sys.modules"
    )
    environment = {k: v for k, v in os.environ.items() if k != "NOTIFY_SOCKET"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=True, timeout=20)
