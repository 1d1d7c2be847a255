"""The guardian killed: another takes its place, and hooks still follow the role."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from functools import partial

import pytest

from agent.stand import Node, Stand, never_leads_twice
from guardian.stand import is_alive
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
    # A guardian that dies before it has seen the hook's end cannot know of it: it would run again.
    stand.wait(lambda: "exit status 0" in b.log, "the end of on_follower of b is known")
    old, change = b.guardian, b.status()["change"]
    os.kill(old, signal.SIGKILL)
    stand.wait(loss_is_told(b), "the loss is told")
    wait_another(stand, b, old)
    assert (b.role, b.status()["change"]) == ("follower", change)
    assert a.stop() == 0
    b.wait_role("leader")
    stand.wait(lambda: stand.begun(b) == ["follower", "leader"], "once each, in order")


def test_one_that_hangs_is_replaced_and_the_job_goes_with_it(stand: Stand) -> None:
    node = stand.node(leader="sleep 1000 &\necho $! > job").start()
    node.wait_role("leader")
    stand.wait(lambda: has_begun(stand, node, ["leader"]), "on_leader")
    old = node.guardian
    os.kill(old, signal.SIGSTOP)
    stand.wait(lambda: "does not answer: replacing it" in node.log, "the silence is noticed")
    wait_another(stand, node, old)
    assert not is_alive(old)
    stand.wait(lambda: stand.begun(node)[:3] == ["leader", "follower", "leader"], "in order")
    assert never_leads_twice(stand.begun(node))


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
        assert node.role == "leader"
        # One that was told to end says that nothing runs here: this node steps down meanwhile.
        assert (node.status()["change"] == change) is (node is killed)
    replayed = [line.replay for line in stand.lines(killed) if line.event == "follower"]
    assert replayed == ["1", "1"]
    assert killed.stop() == 0
    assert stand.begun(killed) == [*expected, "follower"]


def test_one_that_cannot_start_is_tried_calmly(stand: Stand) -> None:
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    own = node.runtime / "guardian"
    own.chmod(0o755)
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: "refuses to work (exit status 78)" in node.problems, "told")
    tries = f"ftl-guardian[a]: {own}: belongs to uid"
    holds_for(lambda: node.log.count(tries) <= 6, 0.6, "not tried in a frenzy")
    own.chmod(0o700)
    stand.wait(lambda: not node.problems, "all is well again")
    assert stand.wait_one_leader() is node
    assert never_leads_twice(stand.begun(node))

    own.chmod(0o755)
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: node.log.count("starting another") > 2, "the loss is told")
    assert node.stop() == 0  # although nobody can run on_follower
    assert not (node.runtime / "role").exists()


def test_a_leader_without_one_hands_over(stand: Stand) -> None:
    soon = "from followtheleader import agent; agent.GUARDIAN_PATIENCE_SECONDS = 2.0"
    for node in stand.group("ab"):
        node.start(code=soon)
    a = stand.wait_one_leader()
    b = next(node for node in stand.nodes if node is not a)
    (a.runtime / "guardian").chmod(0o755)
    os.kill(a.guardian, signal.SIGKILL)
    b.wait_role("leader")
    assert a.role == "follower"
    assert "stepping down, not claiming for a minute" in a.log


def test_a_follower_without_one_does_not_claim(stand: Stand) -> None:
    soon = "from followtheleader import agent; agent.GUARDIAN_PATIENCE_SECONDS = 0.5"
    a, b = stand.pair()
    assert b.stop() == 0
    b.start(code=soon)
    b.wait_role("follower")
    stand.wait(lambda: b.guardian != 0 and not b.problems, "the guardian of b works")
    (b.runtime / "guardian").chmod(0o755)
    os.kill(b.guardian, signal.SIGKILL)
    stand.wait(lambda: b.log.count("belongs to uid") > 6, "no other comes, for a second")
    a.kill()
    b.wait_role("candidate")
    holds_for(lambda: b.role != "leader", 2.0, "b does not lead without a guardian")
    (b.runtime / "guardian").chmod(0o700)
    b.wait_role("leader")


def test_a_broken_configuration_does_not_end_the_leadership(stand: Stand) -> None:
    """A reload was refused; a guardian started anew goes on with the hooks of before."""
    node = stand.node().start()
    assert stand.wait_one_leader() is node
    kept = node.runtime / "guardian" / "hooks.json"
    stand.wait(kept.exists, "the hooks are kept")
    assert kept.stat().st_mode & 0o777 == 0o600
    good = node.config.read_text()
    node.config.write_text(json.dumps({**json.loads(good), "hokks": {}}))
    answer = node.ask("reload")
    assert answer["done"] is False
    old = node.guardian
    os.kill(old, signal.SIGKILL)
    stand.wait(lambda: stand.begun(node) == ["leader", "follower", "leader"], "the job runs again")
    assert node.role == "leader"
    assert "the hooks of before stay, until the configuration is mended" in node.log
    assert "hokks: is unknown" in node.log
    node.kill()
    stand.wait(lambda: not stand.processes(b"followtheleader.guardian"), "all is over")
    node.start()
    assert node.wait_end() == 78  # an agent of its own start has no hooks of before


def test_the_job_of_a_lost_guardian_is_asked_first(stand: Stand) -> None:
    """The agent leads on, and tells the next guardian so before anything is ended."""
    asked = stand.folder / "asked"
    job = f"trap 'sleep 0.4; touch {asked}; exit' TERM; say up; sleep 300 & wait"
    # So late that by what the lost one wrote down there would be no time to ask.
    late = "from followtheleader import supervision; supervision.RESPAWN_FIRST_SECONDS = 1.5"
    node = stand.node(leader=job, voters=["a"], stop_timeout="700ms").start(code=late)
    stand.wait(lambda: [line.phase for line in stand.lines()] == ["begin", "up"], "the job runs")
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: stand.begun(node) == ["leader", "follower", "leader"], "begun anew")
    assert asked.exists()


NO_OTHER = """
import os
from followtheleader import agent
from followtheleader.guardian import job
from followtheleader.guardian.link import GuardianLink
agent.GUARDIAN_PATIENCE_SECONDS = 0.3
spawn = GuardianLink._spawn
if {alone}:
    job.become_subreaper = lambda: False
def refuse(self, theirs):
    if os.path.exists({flag!r}):
        raise OSError(11, "no more processes")
    return spawn(self, theirs)
GuardianLink._spawn = refuse
"""


@pytest.mark.parametrize("reaper", [True, False], ids=["reaper", "no-reaper"])
def test_leaving_without_a_guardian_ends_the_job(stand: Stand, reaper: bool) -> None:
    """At once, where what the guardian leaves comes to the agent."""
    flag, polite = stand.folder / "none", stand.folder / "polite"
    pid_file = stand.folder / "pid"
    job = f"sleep 300 & trap 'touch {polite}; exit' TERM; echo $! > {pid_file}; wait"
    code = NO_OTHER.format(flag=str(flag), alone=not reaper)
    node = stand.node(leader=job).start(code=code)
    stand.wait(lambda: pid_file.exists() and pid_file.read_text().strip(), "the job runs")
    pid = int(pid_file.read_text())
    flag.touch()
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(loss_is_told(node), "the loss is told")
    if reaper:
        stand.wait(lambda: not is_alive(pid), "the job ends although no other guardian comes")
    else:
        assert is_alive(pid)
    assert node.stop() == 0
    assert not is_alive(pid)
    assert polite.exists()
    assert "no guardian: nothing of the job is left running" in node.log
