"""The local sockets of a real agent: modes, answers, and clients of every kind."""

from __future__ import annotations

import os
import resource
import socket
import stat
from contextlib import ExitStack

from agent.stand import Node, Stand
from followtheleader.host import client

STATUS_KEYS = {
    *("instance", "service", "node", "id", "priority", "witness", "role", "term", "token"),
    *("leader", "members", "since", "since_ms", "reason", "lease_left_ms", "leaving", "quorum"),
    *("port", "interfaces", "last_hook", "counters", "problems", "pid", "version", "started"),
}
MEMBER_KEYS = {"name", "id", "address", "priority", "witness", "voter", "versions"}
MEMBER_KEYS |= {"other_voters", "doubled", "other_timing", "heard_ms_ago", "alive"}


def connect(node: Node, place: str = "status.sock") -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(10)
    connection.connect(str(node.runtime / place))
    return connection


def say(node: Node, data: bytes) -> bytes:
    with connect(node) as connection:
        connection.sendall(data)
        return connection.makefile("rb").readline()


def test_status_and_control(stand: Stand) -> None:
    leader, follower = stand.pair(voters=["a", "b"], stop_timeout="0s")
    for node in (leader, follower):
        status = node.status()
        assert set(status) >= STATUS_KEYS
        assert set(status["members"][0]) == MEMBER_KEYS
        assert (status["pid"], status["port"]) == (node.pid, node.port)
        assert status["quorum"]["support"] == status["quorum"]["needed"] == 2
    assert 0 < leader.status()["lease_left_ms"] <= 240
    assert follower.status()["lease_left_ms"] is None
    assert client.ask_role(str(leader.runtime / "status.sock")) == "leader"
    assert client.ask_role(str(follower.runtime / "status.sock")) == "follower"
    modes = [
        stat.S_IMODE(os.stat(leader.runtime / f"{n}.sock").st_mode) for n in ("status", "control")
    ]
    assert modes == [0o666, 0o660]

    accept_every_kind_of_client(follower)
    refused = follower.ask("step-down")
    assert refused == {"done": False, "error": "this node does not lead"}
    assert leader.ask("step-down") == {"done": True}
    stand.wait(lambda: follower.role == "leader", "the other takes over")
    unknown = follower.ask("switchover", to="nobody")
    assert unknown["done"] is False
    assert f"no member is named 'nobody'; known: {leader.name}" in unknown["error"]
    # Asked at the follower, of the leader: it moves back.
    assert leader.ask("switchover", to=leader.name) == {"done": True}
    stand.wait(lambda: leader.role == "leader", "it moves to whom was named")
    assert leader.status()["reason"] == "elected"
    assert "unknown command 'dance': step-down, switchover, pause" in leader.ask("dance")["error"]


def accept_every_kind_of_client(node: Node) -> None:
    change = node.status()["change"]
    assert b"unknown command 'sit': status, role" in say(node, b'{"command": "sit"}\n')
    assert b"error" in say(node, b'{"command": ["a", {}]}\n')
    for garbage in (b"\xff\xfe{\n", b"[]\n", b'"role"\n', b"\n", b"[" * 60_000 + b"\n"):
        assert b"a request is one line" in say(node, garbage)
    assert b"at most" in say(node, b"x" * 70_000 + b"\n")
    with ExitStack() as stack:
        half = stack.enter_context(connect(node))
        half.sendall(b'{"command": "sta')
        crowd = [stack.enter_context(connect(node)) for _ in range(100)]
        for one in crowd:
            one.sendall(b"role\n")
        answers = [one.makefile("rb").readline() for one in crowd]
        assert answers == [b"follower\n"] * 100
    assert node.status()["change"] == change


def test_an_agent_without_a_free_descriptor_goes_on(stand: Stand) -> None:
    node = stand.node().start(code="from followtheleader import agent; agent.LOOK_SECONDS = 0.1")
    node.wait_role("leader")
    stand.wait(lambda: len(stand.lines(node)) == 2, "on_leader has ended")
    before = resource.prlimit(node.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, (3, before[1]))  # it has those
    (node.runtime / "status.sock").unlink()
    told = f"{node.runtime}/status.sock: cannot be written by uid {os.geteuid()}: Too many open"
    stand.wait(lambda: told in node.log, "it says so")
    resource.prlimit(node.pid, resource.RLIMIT_NOFILE, before)
    stand.wait(lambda: node.status() and not node.problems, "all is well")
    assert node.stop() == 0
