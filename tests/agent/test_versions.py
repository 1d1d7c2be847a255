"""Agents of different builds on one host: together where they can, named where they cannot."""

from __future__ import annotations

import pytest

from agent.stand import Node, Stand
from lab.newer_build import prelude


def rejected(node: Node, why: str) -> int:
    count: int = node.status()["counters"].get(f"rejected-{why}", 0)
    return count


@pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
def test_an_older_and_a_newer_build_elect_together(stand: Stand, quorum: bool) -> None:
    """What only the newer one knows is counted and changes nothing."""
    a, b, c = stand.group("abc", **({"voters": ["a", "b", "c"]} if quorum else {}))
    a.start()
    b.start(code=prelude("newer"))
    c.start(code=prelude("newer"))
    stand.wait_one_leader()
    stand.wait(lambda: rejected(a, "unknown-type"), "it is spoken to in words that it knows not")
    before = [node.status()["change"] for node in stand.nodes]
    assert rejected(a, "version") == 0
    assert {m["name"]: m["versions"] for m in a.status()["members"]} == {"b": [1, 2], "c": [1, 2]}
    stand.wait(lambda: rejected(a, "unknown-type") > 3, "it goes on")
    assert [node.status()["change"] for node in stand.nodes] == before
    assert a.problems == b.problems == ""


def test_builds_without_a_common_version_name_each_other(stand: Stand) -> None:
    """Each leads its own; both say why, and that it is over once one of them is replaced."""
    a, b = stand.group("ab")
    a.start()
    b.start(code=prelude("only-newer"))
    a.wait_role("leader")
    b.wait_role("leader")
    theirs = f"b at 127.0.0.1:{b.port} speaks version 2 of the protocol, this node version 1: "
    ours = f"a at 127.0.0.1:{a.port} speaks version 1 of the protocol, this node version 2: "
    stand.wait(lambda: theirs in a.problems, "the older names the newer")
    stand.wait(lambda: ours in b.problems, "the newer names the older")
    assert "upgrade this node" in a.problems
    assert "upgrade that member" in b.problems
    assert theirs in a.log
    assert a.log.count(theirs) == 1
    assert [(m["name"], m["versions"]) for m in a.status()["members"]] == [("b", [2, 2])]

    assert b.stop() == 0
    b.start(code=prelude("newer"))
    stand.wait_one_leader()
    stand.wait(lambda: a.problems == b.problems == "", "nothing is left to complain of")
    assert "member b works again" in a.log
