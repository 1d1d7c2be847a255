"""Who speaks in our name, and what a voter may not forget."""

from __future__ import annotations

import json
import time
from contextlib import suppress

from agent.stand import Node, Stand


def life(node: Node) -> int:
    """The incarnation that it has stored; 0 before it has."""
    with suppress(OSError):
        stored: int = json.loads((node.state / "floor.json").read_text())["incarnation"]
        return stored
    return 0


def test_two_nodes_with_one_identity_both_say_so(stand: Stand) -> None:
    soon = "from followtheleader import impostors; impostors.DOUBLED_FOR = 500_000_000"
    one, other = stand.group("ab", node="twin")
    one.start(code=soon)
    other.start(code=soon)
    # Clones start together: in one millisecond, and yet they are two.
    stand.wait(lambda: life(one) and life(other), "both have begun")
    assert life(one) != life(other)
    assert all(abs(life(node) - time.time_ns() // 1000) < 60_000_000 for node in (one, other))
    for node, twin in ((one, other), (other, one)):
        stand.wait(lambda n=node: "identity" in n.problems, f"{node.name} sees its twin")
        assert f"127.0.0.1:{twin.port}" in node.problems
        assert "Give one of them another `node`" in node.problems


def test_a_voter_with_a_damaged_floor_does_not_start(stand: Stand) -> None:
    node = stand.node(voters=["a", "b", "c"])
    node.start().wait_answer()
    assert node.stop() == 0
    floor = node.state / "floor.json"
    floor.write_text("{")
    for _ in range(2):  # nor at the second attempt, when nothing damaged is in its place any more
        assert node.start().wait_end() == 78
    assert f"{floor}.damaged: what this voter has promised is lost" in node.log

    (node.state / "floor.json.damaged").unlink()
    node.start().wait_answer()
