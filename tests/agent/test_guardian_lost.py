"""The guardian killed: another takes its place, and hooks still follow the role."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from functools import partial

from agent.stand import Node, Stand, never_leads_twice  # noqa: TID251 - this folder
from lab.waiting import holds_for


def wait_another(stand: Stand, node: Node, old: int) -> None:
    def another() -> bool:
        return node.guardian not in (0, old) and not node.problems

    stand.wait(another, "another guardian, no problem left")


def has_begun(stand: Stand, node: Node, events: list[str]) -> bool:
    return stand.begun(node) == events


def loss_is_told(node: Node) -> Callable[[], bool]:
    return lambda: "starting another" in node.log


def test_while_following(stand: Stand) -> None:
    a, b = stand.pair()
    stand.wait(lambda: stand.begun(b) == ["follower"], "on_follower of b")
    stand.wait(lambda: stand.lines(b)[-1].phase == "end", "on_follower of b has ended")
    old, change = b.guardian, b.status()["change"]
    os.kill(old, signal.SIGKILL)
    stand.wait(loss_is_told(b), "the loss is told")
    wait_another(stand, b, old)
    assert (b.role, b.status()["change"]) == ("follower", change)
    assert a.stop() == 0
    b.wait_role("leader")
    stand.wait(lambda: stand.begun(b) == ["follower", "leader"], "once each, in order")


def test_while_leading(stand: Stand) -> None:
    killed, ended = stand.node("k", service="k"), stand.node("e", service="e")
    for node in (killed, ended):
        node.start()
    changes = {}
    for node, number in ((killed, signal.SIGKILL), (ended, signal.SIGTERM)):
        assert stand.wait_one_leader([node]) is node
        changes[node.name] = node.guardian, node.status()["change"]
        os.kill(node.guardian, number)
    for node in (killed, ended):
        old, change = changes[node.name]
        wait_another(stand, node, old)
        expected = ["leader", "follower", "leader"]
        # The lost one's job is made good, then begun anew.
        stand.wait(partial(has_begun, stand, node, expected), f"hooks of {node.name} in order")
        stand.wait((node.runtime / "leader").exists, f"the flag of {node.name}")
        assert (node.role, node.status()["change"]) == ("leader", change)
    replayed = [line.replay for line in stand.lines(killed) if line.event == "follower"]
    assert replayed == ["1", "1"]
    assert killed.stop() == 0
    assert stand.begun(killed) == [*expected, "follower"]


def test_one_that_cannot_start_is_tried_calmly(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    aside = node.config.rename(node.folder / "aside")
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: "refuses to work (exit status 78)" in node.problems, "told")
    tries = f"ftl-guardian[a]: {node.config}:1:1: file: there is no such file"
    holds_for(lambda: node.log.count(tries) <= 6, 0.6, "not tried in a frenzy")
    aside.rename(node.config)
    stand.wait(lambda: not node.problems, "all is well again")
    assert stand.wait_one_leader() is node
    assert never_leads_twice(stand.begun(node))

    node.config.unlink()
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: node.log.count("starting another") > 2, "the loss is told")
    assert node.stop() == 0  # although nobody can run on_follower
    assert not (node.runtime / "role").exists()


def test_a_leader_without_one_hands_over(stand: Stand) -> None:
    soon = "from followtheleader import agent; agent.GUARDIAN_PATIENCE_SECONDS = 0.5"
    for node in stand.group("ab"):
        node.start(code=soon)
    a = stand.wait_one_leader()
    b = next(node for node in stand.nodes if node is not a)
    a.config.unlink()
    os.kill(a.guardian, signal.SIGKILL)
    b.wait_role("leader")
    assert a.role == "follower"
    assert "stepping down, not claiming for a minute" in a.log
