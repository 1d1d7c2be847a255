"""Leaving: the next one's job starts after the last one's has ended."""

from __future__ import annotations

import signal

import pytest

from agent.stand import Node, Stand, never_leads_twice


def order_of(stand: Stand, *wanted: tuple[str, str, str]) -> list[int]:
    """The places in the log of (node, event, phase), the last of each."""
    rows = [line[:3] for line in stand.lines()]
    return [len(rows) - 1 - rows[::-1].index(row) for row in wanted]


def hand_over(stand: Stand, old: Node, rest: list[Node], number: signal.Signals) -> Node:
    old.send(number)
    stand.wait(lambda: stand.begun(old)[-1:] == ["follower"], f"on_follower of {old.name}")
    old.send(signal.SIGTERM)  # once more, while it hands over
    assert old.wait_end() == 0
    new = stand.wait_one_leader(rest)
    events = (old.name, "follower", "end"), (new.name, "leader", "begin")
    places = order_of(stand, *events)
    assert places == sorted(places), stand.describe()
    return new


@pytest.mark.parametrize("kind", ["open", "quorum"])
def test_the_next_job_starts_after_the_last_has_ended(stand: Stand, kind: str) -> None:
    voters = {"voters": ["a", "b", "c"], "stop_timeout": "0s"} if kind == "quorum" else {}
    nodes = stand.group("abc", follower="sleep 0.1", **voters)
    for node in nodes:
        node.start()
    first = stand.wait_one_leader()
    rest = [node for node in nodes if node is not first]
    second = hand_over(stand, first, rest, signal.SIGTERM)
    if kind == "open":
        (last,) = [node for node in rest if node is not second]
        assert hand_over(stand, second, [last], signal.SIGINT) is last
    assert all(never_leads_twice(stand.begun(node)) for node in nodes)


def test_a_follower_says_goodbye(stand: Stand) -> None:
    a, b = stand.pair()
    change = a.status()["change"]
    b.send(signal.SIGTERM)
    assert b.wait_end(within=3) == 0
    stand.wait(lambda: f"member {b.name} left" in a.log, "the goodbye is heard")
    (member,) = a.status()["members"]
    assert (member["name"], member["alive"], member["heard_ms_ago"]) == (b.name, False, None)
    assert (a.role, a.status()["change"]) == ("leader", change)
