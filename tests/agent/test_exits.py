"""How an agent refuses to start, and what it knows when it starts again."""

from __future__ import annotations

import json
import socket

from agent.stand import Stand


def test_every_fault_of_the_configuration_at_once(stand: Stand) -> None:
    node = stand.node()
    node.config.write_text("porrt: 1\nheartbeat_interval: 5\nvoters: [a, a]\n")
    node.start()
    assert node.wait_end() == 78
    faults = node.log.splitlines()
    assert [fault.split(": ")[1] for fault in faults] == ["porrt", "heartbeat_interval", "voters"]
    assert all(fault.startswith(f"{node.config}:{n}:") for n, fault in enumerate(faults, 1))
    assert "did you mean 'port'?" in faults[0]


def test_a_missing_configuration(stand: Stand) -> None:
    node = stand.node()
    node.config.unlink()
    node.start()
    assert node.wait_end() == 78
    assert str(node.config) in node.log
    assert "Traceback" not in node.log


def test_a_port_that_is_taken(stand: Stand) -> None:
    node = stand.node()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", node.port))
        node.start()
        assert node.wait_end() == 78
    assert f"port: {node.port} is taken on 127.0.0.1" in node.log
    assert "set another `port`" in node.log
    assert "Traceback" not in node.log


def test_a_second_agent_of_the_instance(stand: Stand) -> None:
    node = stand.node().start()
    first = node.process
    node.wait_role("leader")
    node.start()
    assert node.wait_end() == 78
    assert f"held by the agent with pid {first.pid if first else 0}; stop that one" in node.log
    assert node.role == "leader"
    node.process = first
    assert node.stop() == 0


def test_remembered_members_are_found_without_peers(stand: Stand) -> None:
    pair = stand.pair()
    for node in pair:
        assert node.stop() == 0
        # An address at which nobody is: what finds the others is what was remembered.
        settings = json.loads(node.config.read_text())
        settings["peers"] = ["127.0.0.1:9"]
        node.config.write_text(json.dumps(settings))
    for node in pair:
        node.start()
    stand.wait_one_leader()


def test_a_clean_stop_spares_the_quarantine(stand: Stand) -> None:
    node = stand.node(voters=["a", "b", "c"], stop_timeout="300ms").start()

    def quarantined() -> bool:
        found: bool = node.status()["quorum"]["quarantined"]
        return found

    node.wait_answer()
    assert quarantined()
    stand.wait(lambda: not quarantined(), "the first quarantine is over")
    assert node.stop() == 0
    node.start().wait_answer()
    assert not quarantined()
    node.kill()
    stand.wait(lambda: not node.status(), "the killed one answers no longer")
    node.start().wait_answer()
    assert quarantined()
