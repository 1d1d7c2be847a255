"""What must survive: terms never go back, and a disk that fails is told and survived."""

from __future__ import annotations

import json

from agent.stand import Stand

SOON = """
from followtheleader.core import context, proposer
context.RETRY_DISK_AFTER = proposer.RETRY_DISK_AFTER = 500_000_000
"""


def test_terms_grow_over_restarts_and_damage(stand: Stand) -> None:
    node = stand.node().start()
    terms = [node.wait_role("leader")["term"]]
    assert node.stop() == 0
    node.start()
    terms.append(node.wait_role("leader")["term"])
    node.kill()
    stand.wait(lambda: node.role == "", "the files are gone")
    floor = node.state / "floor.json"
    assert json.loads(floor.read_text())["floor"] == terms[-1]

    floor.write_text('{"format": 1, "floor":')
    node.start()
    terms.append(node.wait_role("leader")["term"])
    assert terms == sorted(set(terms))
    assert f"{floor}: damaged" in node.problems
    assert f"kept as {floor}.damaged" in node.log
    assert (node.state / "floor.json.damaged").read_text() == '{"format": 1, "floor":'
    assert json.loads(floor.read_text())["floor"] == terms[-1]


def test_a_disk_that_fails_keeps_a_voter_silent_until_it_works(stand: Stand) -> None:
    nodes = stand.group("ab", voters=["a", "b"], stop_timeout="0s")
    for node in nodes:
        node.start(code=SOON)
    bad = stand.wait_one_leader()
    other = next(node for node in nodes if node is not bad)
    aside = bad.state.rename(bad.folder / "aside")
    bad.state.touch()
    bad.ask("step-down")
    stand.wait(lambda: f"{bad.state}/floor.json: cannot be written" in bad.problems, "told")
    stand.wait(lambda: bad.role != "leader", "it does not lead")
    stand.wait(lambda: other.status()["leader"] is None, "without its vote nobody leads")

    bad.state.unlink()
    aside.rename(bad.state)
    stand.wait_one_leader()
    stand.wait(lambda: not bad.problems, "the problem is gone")
