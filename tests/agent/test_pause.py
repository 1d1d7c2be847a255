"""Maintenance: pause and resume by the control socket, and what is shown of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.stand import Node, Stand

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
HOUR = 3_600_000


def ask(node: Node, command: str, **words: Any) -> dict[str, Any]:
    return node.ask(command, **words)


def state(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((node.runtime / "state.json").read_text())
    return found


def is_paused(node: Node) -> bool:
    return node.status().get("paused") is True and state(node)["paused"] is True


@EITHER_KIND
def test_the_leader_s_agent_is_restarted_in_peace(stand: Stand, quorum: bool) -> None:
    """Paused at a follower. The leader stops, and comes back; nobody else has led."""
    voters = {"voters": ["a", "b", "c"]} if quorum else {}
    nodes = stand.group("abc", follower='cat >> "$FTL_RUNTIME_DIR/../facts"', **voters)
    for node in nodes:
        node.start()
    leader = stand.wait_one_leader()
    rest = [node for node in nodes if node is not leader]
    assert ask(rest[0], "pause", for_ms=600_000) == {"done": True, "for_ms": 600_000}
    for node in nodes:
        stand.wait(lambda node=node: is_paused(node), f"{node.name} knows")
        status = node.status()
        assert 590_000 < status["pause_left_ms"] <= 600_000
        assert status["problems"][0].startswith("paused for ")
        assert f"paused for 600 s (asked at {rest[0].name}): nobody takes over" in node.log
    answer = ask(leader, "step-down")
    assert (answer["done"], "nobody would take over" in answer["error"]) == (False, True)

    assert leader.stop() == 0
    for node in rest:
        stand.wait(lambda node=node: node.role == "candidate", f"{node.name} has no leader")
    told = json.loads((leader.folder / "facts").read_text().splitlines()[-1])
    assert (told["reason"], told["paused"]) == ("stopped", True), "hooks are told"
    leader.start()
    assert stand.wait_one_leader() is leader
    stand.wait(lambda: is_paused(leader), "it has learned of the pause")
    assert all("leader" not in stand.begun(node) for node in rest)

    assert ask(rest[1], "resume") == {"done": True}
    for node in nodes:
        stand.wait(lambda node=node: not is_paused(node), f"{node.name} knows that it is over")
        assert node.status()["pause_left_ms"] is None
        assert "paused" not in node.problems
        assert f"the pause is over (asked at {rest[1].name})" in node.log


def test_nobody_takes_over_until_it_has_run_out(stand: Stand) -> None:
    leader, follower = stand.pair()
    assert ask(leader, "pause", for_ms=4000)["done"] is True
    stand.wait(lambda: is_paused(follower), "it knows")
    leader.kill()
    stand.wait(lambda: follower.role == "candidate", "nobody leads")
    left = follower.status()["pause_left_ms"]
    assert left is not None
    assert "leader" not in stand.begun(follower)
    stand.wait(lambda: follower.role == "leader", "the pause is over", within=left / 1000 + 5)
    assert "the pause has run out" in follower.log


def test_an_operator_moves_the_leadership_in_a_pause(stand: Stand) -> None:
    leader, follower = stand.pair()
    assert ask(follower, "pause") == {"done": True, "for_ms": HOUR}
    stand.wait(lambda: is_paused(leader), "it knows")
    assert ask(leader, "switchover", to=follower.name) == {"done": True}
    follower.wait_role("leader")
    assert stand.wait_one_leader() is follower


def test_a_mistyped_word_is_not_passed_over(stand: Stand) -> None:
    """It would have become a pause of an hour."""
    node = stand.node().start()
    node.wait_role("leader")
    assert ask(node, "pause", fro_ms=1000) == {"done": False, "error": "pause has no 'fro_ms'"}
    assert not is_paused(node)


@pytest.mark.parametrize("wrong", [0, -1, 86_400_001, "1h", 1.5, True, None])
def test_a_length_that_makes_no_sense_is_refused(stand: Stand, wrong: object) -> None:
    node = stand.node().start()
    node.wait_role("leader")
    answer = ask(node, "pause", for_ms=wrong)
    assert answer["done"] is False
    assert answer["error"] == f"for_ms {wrong!r}: 1 to 86400000 milliseconds (a day)"
    assert not is_paused(node)


def test_who_has_just_started_and_where_nobody_leads(stand: Stand) -> None:
    """Two voters of three are away: in a pause nobody would begin to lead."""
    node = stand.node(voters=["a", "b", "c"], heartbeat_interval="250ms").start()
    for command in ("pause", "resume"):
        answer = stand.wait(lambda c=command: ask(node, c), "it answers")
        assert answer["done"] is False
        assert "just started" in answer["error"]
    answer = stand.wait(
        lambda: "nobody leads" in ask(node, "pause").get("error", ""), "it has listened"
    )
    assert ask(node, "resume") == {"done": True}
