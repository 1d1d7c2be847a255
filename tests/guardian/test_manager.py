"""The guardian's word to systemd."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from followtheleader.guardian.clock import SECOND
from followtheleader.guardian.manager import ALIVE_EVERY, Manager
from guardian.stand import Stand


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(5)
        yield listener


def test_it_says_that_it_lives_now_and_then(systemd: socket.socket) -> None:
    manager = Manager(systemd.getsockname())
    manager.ready()
    assert systemd.recv(100) == b"READY=1"
    manager.beat(SECOND, stopping=False)
    assert systemd.recv(100) == b"WATCHDOG=1"
    assert manager.next_at == SECOND + ALIVE_EVERY
    manager.beat(SECOND + ALIVE_EVERY - 1, stopping=True)  # too early
    manager.beat(SECOND + ALIVE_EVERY, stopping=True)
    assert systemd.recv(100) == b"WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000"
    manager.close()
    assert manager.next_at is None


def test_a_socket_that_is_gone_is_no_trouble(tmp_path: Path) -> None:
    manager = Manager(str(tmp_path / "nothing"))
    manager.ready()
    manager.beat(0, stopping=False)
    assert manager.next_at == ALIVE_EVERY
    manager.close()


def test_the_child_of_an_agent_does_not_speak_for_it(
    tmp_path: Path, systemd: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would feed the watchdog of an agent that hangs."""
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.getsockname())
    stand = Stand(tmp_path / "stand")
    stand.configure()
    try:
        stand.start()
        systemd.setblocking(False)
        with pytest.raises(BlockingIOError):
            systemd.recv(100)
    finally:
        stand.close()
