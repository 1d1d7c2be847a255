"""A reload applies what it can: no role changes by it, no hook runs."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from agent.stand import Node, Stand
from followtheleader.config import reload as reload_module
from followtheleader.config.reload import LOOK_SECONDS, at_rest

NOTHING: dict[str, Any] = {"done": True, "applied": [], "hooks": [], "restart": []}


def reload(node: Node, **keys: Any) -> dict[str, Any]:
    """Write another configuration and have it read; the answer."""
    node.configure(**keys)
    return node.ask("reload")


def members(node: Node) -> dict[str, int]:
    """Whom it knows, with their priorities."""
    return {m["name"]: m["priority"] for m in node.status().get("members", [])}


def changes(stand: Stand) -> list[int]:
    return [node.status()["change"] for node in stand.nodes]


@pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
def test_priority_and_preemption(stand: Stand, quorum: bool) -> None:
    voters: dict[str, Any] = {"voters": ["a", "b"]} if quorum else {}
    leader, follower = stand.pair(**voters)
    stand.wait(
        lambda: [line[1:3] for line in stand.lines(follower)][-1:] == [("follower", "end")],
        "its on_follower has ended as well",
    )
    lines, before = stand.lines(), changes(stand)

    answer = reload(follower, priority=200, **voters)
    assert answer == NOTHING | {"applied": ["priority"]}
    stand.wait(lambda: members(leader)[follower.name] == 200, "the leader knows")
    assert follower.status()["priority"] == 200
    assert "applied without a restart: priority" in follower.log

    answer = reload(leader, priority=50, start_patience="1s", **voters)
    assert answer == NOTHING | {"applied": ["priority", "start_patience"]}
    stand.wait(lambda: members(follower)[leader.name] == 50, "the follower knows")
    assert reload(leader, priority=50, start_patience="1s", **voters) == NOTHING
    stand.wait(lambda: "no key has changed" in leader.log, "it says so")
    assert (stand.lines(), changes(stand)) == (lines, before)
    assert (leader.role, follower.role) == ("leader", "follower")

    answer = reload(follower, priority=200, preempt=True, preempt_delay="1s", **voters)
    assert answer == NOTHING | {"applied": ["preempt", "preempt_delay"]}
    stand.wait(lambda: stand.begun(follower)[-1:] == ["leader"], "the better node takes over")
    assert leader.wait_role("follower")["leader"]["name"] == follower.name


def test_a_leader_that_gets_priority_0_hands_over(stand: Stand) -> None:
    leader, follower = stand.pair()
    assert reload(leader, priority=0)["applied"] == ["priority"]
    stand.wait(lambda: follower.role == "leader", "the other takes over")
    assert stand.begun(leader)[-1:] == ["follower"]


def test_peers_that_come_and_go(stand: Stand) -> None:
    """a and b are a group; c knows nobody, and a hears of it by a reload."""
    a, b, c = stand.group("abc")
    alone = {node: [f"127.0.0.1:{node.port}"] for node in (a, b, c)}
    a.configure(peers=[f"127.0.0.1:{b.port}"])
    b.configure(peers=[f"127.0.0.1:{a.port}"])
    c.configure(peers=alone[c])
    for node in (a, b, c):
        node.start()
    stand.wait_one_leader([a, b])
    c.wait_role("leader")

    everybody = [f"127.0.0.1:{b.port}", f"127.0.0.1:{c.port}"]
    assert reload(a, peers=everybody) == NOTHING | {"applied": ["peers"]}
    # Who of the two leaders gives way is the election's business (c may, or the one of the pair).
    stand.wait_one_leader()
    before = changes(stand)

    assert reload(a, peers=alone[a]) == NOTHING | {"applied": ["peers"]}
    stand.wait(lambda: set(members(a)) == {"b", "c"}, "who is a member stays one")
    assert changes(stand) == before


def test_discovery_is_switched(stand: Stand) -> None:
    """On loopback mDNS has nowhere to go: it says so while it is switched on, and only then.

    The heartbeat is one that a machine without time does not miss.
    """
    slow = {"heartbeat_interval": "500ms"}
    node = stand.node(**slow).start()
    node.wait_role("leader")
    before = node.status()["change"]
    for _ in range(2):
        answer = reload(node, discovery=["mdns"], peers=[], **slow)
        assert answer["applied"] == ["discovery", "peers"]
        stand.wait(lambda: "mDNS" in node.problems, "mDNS does not work here")
        reload(node, **slow)
        stand.wait(lambda: "mDNS" not in node.problems, "nobody asks for it")
    assert node.status()["change"] == before


def test_the_role_link_moves(stand: Stand) -> None:
    node = stand.node().start()
    node.wait_role("leader")
    first, second = node.folder / "role-link", node.folder / "elsewhere"
    stand.wait(first.exists, "the link")
    assert reload(node, role_file=str(second), primary=True) == (
        NOTHING | {"applied": ["role_file", "primary"]}
    )
    stand.wait(second.exists, "the new link")
    assert second.read_text() == "leader\n"
    assert not first.is_symlink()
    assert node.stop() == 0
    assert not second.is_symlink()


def test_a_file_that_is_being_written_is_not_read_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An editor that empties it first: nothing in it would be valid, and mean the defaults."""
    path = tmp_path / "svc.yaml"

    async def main() -> str:
        path.write_text("")
        asyncio.get_running_loop().call_later(LOOK_SECONDS / 2, path.write_text, "priority: 7\n")
        async with asyncio.timeout(30):
            await at_rest(str(path))
        return path.read_text()

    assert asyncio.run(main()) == "priority: 7\n"
    path.unlink()
    asyncio.run(asyncio.wait_for(at_rest(str(path)), 30))  # that it is missing is said by others

    monkeypatch.setattr(reload_module, "LOOK_SECONDS", 0.001)
    looks = iter(range(10**6))
    monkeypatch.setattr(reload_module, "_stamp", lambda _: (0, 0, next(looks)))
    asyncio.run(asyncio.wait_for(at_rest(str(path)), 30))  # written to all the time


def test_a_signal_says_in_the_log_what_waits_for_a_restart(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    lines = stand.lines()
    other: dict[str, Any] = {"heartbeat_interval": "90ms", "voters": ["a"]}
    other |= {"service": "other", "node": "z"}
    node.configure(priority=101, stop_timeout="1s", port=node.port + 1, **other)
    node.send(signal.SIGHUP)
    fixed = "service, node, voters, heartbeat_interval, stop_timeout, port"
    text = f"{fixed}: changed, but applied only by a restart"
    stand.wait(lambda: text in node.log, "the warning")
    assert "applied without a restart: priority" in node.log
    status = node.status()
    assert (status["node"], status["priority"], status["port"]) == ("a", 101, node.port)
    assert node.ask("reload")["restart"] == fixed.split(", "), "as long as it is so"
    assert stand.lines() == lines
