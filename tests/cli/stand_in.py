"""A stand-in agent: it answers on a real status socket, or misbehaves on it as told."""

from __future__ import annotations

import json
import os
import socket
import threading
from types import TracebackType
from typing import Any


class StandIn:
    """Serves ``directory/status.sock`` while the ``with`` block lasts.

    ``role`` (which may be changed meanwhile) answers the word ``role``, ``status`` everything else.
    """

    def __init__(self, directory: str, role: str = "leader", status: object = None) -> None:
        self.role = role
        self.status = status
        self.requests: list[bytes] = []
        self.asked = threading.Condition()
        self._listener = listen(directory)
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> StandIn:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        # Wakes the accept(), which closing alone would not.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def wait_asked(self, times: int) -> None:
        """Wait until it was asked so often; AssertionError after 20 s."""
        with self.asked:
            enough = self.asked.wait_for(lambda: len(self.requests) >= times, timeout=20)
        assert enough, f"asked only {len(self.requests)} times"

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        with connection.makefile("rb") as lines:
            request = lines.readline()
        if not request:
            return  # only looked whether somebody listens
        with self.asked:
            self.requests.append(request)
            self.asked.notify_all()
        answer = self.role if request == b"role\n" else self._told()
        connection.sendall(f"{answer}\n".encode())

    def _told(self) -> str:
        return json.dumps(self.status)


class RawStandIn(StandIn):
    """Answers with this very text."""

    def __init__(self, directory: str, text: str) -> None:
        super().__init__(directory)
        self._text = text

    def _told(self) -> str:
        return self._text


def listen(directory: str) -> socket.socket:
    """A socket that listens and never answers: what a frozen agent looks like."""
    os.makedirs(directory, exist_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(f"{directory}/status.sock")
    listener.listen()
    return listener


def leave_stale_socket(directory: str) -> None:
    """What a killed agent leaves: the file of a socket that nobody holds."""
    listen(directory).close()


def status_of_leader() -> dict[str, Any]:
    """An answer in which everything stands that an answer may hold."""
    return {
        "instance": "svc",
        "service": "web",
        "node": "h1",
        "id": "00000000000000a1",
        "role": "leader",
        "term": 7,
        "token": 7,
        "leader": {
            "name": "h1",
            "id": "00000000000000a1",
            "address": "10.0.0.1",
            "term": 7,
            "direct": True,
        },
        "members": [
            member("h2", "00000000000000a2", "10.0.0.2:9001", heard_ms_ago=120),
            member(
                "h3",
                "00000000000000a3",
                "10.0.0.3:9001",
                heard_ms_ago=240_000,
                alive=False,
                doubled=True,
            ),
            member("h4", "00000000000000a4", "10.0.0.4:9001", voter=False, other_timing=True),
            member("h5", "00000000000000a6", "10.0.0.6:9001", voter=False, other_voters=True),
            member("w", "00000000000000a5", "10.0.0.5:9001", heard_ms_ago=10, witness=True),
        ],
        "since": "2026-01-02T03:04:05.678+00:00",
        "since_ms": 185_000,
        "reason": "elected",
        "lease_left_ms": 612,
        "paused": False,
        "pause_left_ms": None,
        "quorum": {"voters": ["h1", "h2", "w"], "needed": 2, "support": 3, "quarantined": False},
        "port": 9001,
        "interfaces": ["eth0 10.0.0.1", "eth1 10.1.0.1"],
        "last_hook": {
            "event": "leader",
            "hook": "/etc/ftl/svc/on_leader.sh",
            "rc": 0,
            "ms": 12.4,
            "why": "exit",
            "at": 1_767_323_045_700,
        },
        "counters": {"sent": 11, "received": 8},
        "problems": ["mdns: no multicast on eth1; set peers"],
        "pid": 4242,
        "version": "0.1.0",
        "started": "2026-01-02T03:04:00.000+00:00",
    }


def member(name: str, id: str, address: str, **more: object) -> dict[str, Any]:
    """Another member as status tells it; ``more`` replaces what it says by default."""
    facts = {"name": name, "id": id, "address": address, "priority": 100, "witness": False}
    facts |= {
        "voter": True,
        "other_voters": False,
        "doubled": False,
        "other_timing": False,
        "versions": [1, 1],
        "heard_ms_ago": None,
    }
    return {**facts, "alive": True, **more}
