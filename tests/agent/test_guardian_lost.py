"""The guardian killed: another takes its place, and hooks still follow the role."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

from agent.stand import Node, Stand, strictly_alternate  # noqa: TID251 - this folder
from lab.waiting import holds_for


def wait_another(stand: Stand, node: Node, old: int) -> None:
    def another() -> bool:
        return node.guardian not in (0, old) and not node.problems

    stand.wait(another, "another guardian, no problem left")


def collect_problems(node: Node) -> Callable[[], bool]:
    def seen() -> bool:
        return "starting another" in node.log

    return seen


def test_while_following(stand: Stand) -> None:
    a, b = stand.group("ab")
    a.start().wait_role("leader")
    b.start()
    assert stand.wait_one_leader() is a
    stand.wait(lambda: stand.begun(b) == ["follower"], "on_follower of b")
    stand.wait(lambda: stand.lines(b)[-1].phase == "end", "on_follower of b has ended")
    old, change = b.guardian, b.status()["change"]
    os.kill(old, signal.SIGKILL)
    stand.wait(collect_problems(b), "the loss is told")
    wait_another(stand, b, old)
    assert (b.role, b.status()["change"]) == ("follower", change)
    assert a.stop() == 0
    b.wait_role("leader")
    stand.wait(lambda: stand.begun(b) == ["follower", "leader"], "once each, in order")


def test_while_leading(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    old, change = node.guardian, node.status()["change"]
    os.kill(old, signal.SIGKILL)
    stand.wait(collect_problems(node), "the loss is told")
    wait_another(stand, node, old)
    expected = ["leader", "follower", "leader"]
    stand.wait(lambda: stand.begun(node) == expected, "the lost one's job made good, then anew")
    assert [line.replay for line in stand.lines(node) if line.event == "follower"] == ["1", "1"]
    assert (node.role, node.status()["change"]) == ("leader", change)
    assert node.stop() == 0
    assert strictly_alternate(stand.begun(node))
    assert stand.begun(node)[-1] == "follower"


def test_one_asked_to_end_is_replaced_and_the_files_are_back(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    old = node.guardian
    os.kill(old, signal.SIGTERM)
    wait_another(stand, node, old)
    stand.wait(lambda: (node.runtime / "leader").exists(), "the flag is back")
    stand.wait(lambda: stand.begun(node) == ["leader", "follower", "leader"], "strictly in order")
    assert node.role == "leader"


def test_one_that_cannot_start_is_tried_calmly(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    aside = node.config.rename(node.folder / "aside")
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: f"{node.config}" in node.problems or "exit" in node.problems, "told why")
    holds_for(lambda: node.log.count("starting another") < 12, 1.0, "not tried in a frenzy")
    aside.rename(node.config)
    stand.wait(lambda: not node.problems, "all is well again")
    assert stand.wait_one_leader() is node
    assert strictly_alternate(stand.begun(node))


def test_a_stop_does_not_wait_for_one_that_cannot_start(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    node.config.unlink()
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(collect_problems(node), "the loss is told")
    assert node.stop() == 0
    assert not (node.runtime / "role").exists()
