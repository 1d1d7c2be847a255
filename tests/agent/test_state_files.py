"""The files by which other programs learn the role: right at every stage, never wrongly leader."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from agent.stand import CANNOT_OVERRIDE, Node, Stand


def files_of(node: Node) -> set[str]:
    return {name for name in ("role", "leader", "state.json") if (node.runtime / name).exists()}


def test_every_stage(stand: Stand) -> None:
    node = stand.node(follower="sleep 0.3").start()
    stand.wait((node.runtime / "state.json").exists, "a role file, then the state")
    before = files_of(node)
    state = json.loads((node.runtime / "state.json").read_text())
    if state["role"] == "candidate":
        assert before == {"role", "state.json"}
        assert state["leader"] is None
    node.wait_role("leader")
    stand.wait(lambda: "leader" in files_of(node), "the flag")
    state = json.loads((node.runtime / "state.json").read_text())
    assert (state["role"], state["reason"]) == ("leader", "elected")
    assert state["token"] == state["term"] == state["leader"]["term"]
    assert state["leader"]["address"] == "127.0.0.1"
    link = node.folder / "role-link"
    assert link.read_text() == "leader\n"

    node.send(signal.SIGTERM)
    node.wait_role("follower")
    assert "leader" not in files_of(node)
    assert json.loads((node.runtime / "state.json").read_text())["role"] == "follower"
    assert node.wait_end() == 0
    assert files_of(node) == set()
    assert not link.is_symlink()


def test_a_killed_agent_says_leader_no_longer(stand: Stand) -> None:
    node = stand.node()
    link = node.folder / "role-link"
    link.write_text("somebody's own\n")
    node.start().wait_role("leader")
    assert f"{link}: is not a link" in node.problems
    assert "remove it or set role_file" in node.problems
    stand.wait(lambda: stand.begun(node) == ["leader"], "on_leader")
    node.kill()
    stand.wait(lambda: files_of(node) == set(), "no file is left", within=5)
    stand.wait(lambda: stand.begun(node) == ["leader", "follower"], "on_follower")
    assert stand.lines(node)[-1].reason == "agent-died"
    assert link.read_text() == "somebody's own\n"


@pytest.mark.parametrize("which", ["runtime", "state"])
def test_a_directory_that_cannot_be_written_is_a_fault_at_start(stand: Stand, which: str) -> None:
    node = stand.node()
    path: Path = getattr(node, which)
    path.mkdir(mode=0o500)
    node.start(prefix=CANNOT_OVERRIDE)
    assert node.wait_end() == 78
    assert f"{path}: cannot be written by uid {os.geteuid()}; make it writable" in node.log
    assert f"--{which}-dir" in node.log
    assert "Traceback" not in node.log


def test_a_leader_whose_files_cannot_be_written_steps_down(stand: Stand) -> None:
    a, b = stand.group("ab")
    a.start().wait_role("leader")
    stand.wait(lambda: stand.begun(a) == ["leader"], "on_leader of a")
    in_the_way = a.runtime / "state.json"
    in_the_way.unlink()
    in_the_way.mkdir()
    b.start()  # who joins is to be written down
    b.wait_role("leader")
    assert files_of(a) == {"state.json"}
    assert f"{in_the_way}: cannot be written by uid" in a.problems
    assert "a directory is in the way; remove it" in a.problems
    assert stand.begun(a) == ["leader", "follower"]

    in_the_way.rmdir()
    a.wait_role("follower")
    stand.wait(lambda: not a.problems, "the problem is gone")
