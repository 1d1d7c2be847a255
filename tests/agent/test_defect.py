"""A defect of our own stops the agent without a goodbye; the guardian does the rest."""

from __future__ import annotations

import pytest

from agent.stand import Stand

BREAK_STEP = """
import os, sys
from followtheleader.core.election import Election
from followtheleader.errors import ensure
whole = Election.step
def step(self, event, now):
    ensure(not os.path.exists({flag!r}), "the flag is not there")
    return whole(self, event, now)
Election.step = step
"""
BREAK_SUPERVISION = """
import os, sys
from followtheleader.supervision import Supervision
def extend(self, deadline):
    if os.path.exists({flag!r}): raise KeyError("broken")
    return whole(self, deadline)
whole, Supervision.extend = Supervision.extend, extend
"""


@pytest.mark.parametrize("code", [BREAK_STEP, BREAK_SUPERVISION], ids=["core", "shell"])
def test_a_defect_ends_the_agent_and_its_job(stand: Stand, code: str) -> None:
    node = stand.node()
    flag = node.folder / "flag"
    node.start(code=code.format(flag=str(flag)))
    node.wait_role("leader")
    stand.wait(lambda: len(stand.lines(node)) == 2, "on_leader")
    flag.touch()
    assert node.wait_end() == 70
    assert "Traceback" in node.log
    assert "this agent stops" in node.log
    stand.wait(lambda: stand.begun(node) == ["leader", "follower"], "on_follower")
    assert stand.lines(node)[-1].reason == "agent-died"
    assert node.role == ""


def test_a_defect_at_the_start(stand: Stand) -> None:
    node = stand.node()
    flag = node.folder / "flag"
    flag.touch()
    node.start(code=BREAK_STEP.format(flag=str(flag)))
    assert node.wait_end() == 70
    assert "Traceback" in node.log
    assert node.role == ""
