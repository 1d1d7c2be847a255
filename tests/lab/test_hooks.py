"""Hooks that misbehave: they may end a leadership, they may never stall it or overlap."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import checker
from lab.group import Group
from lab.hosts import Host
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab


def start_with_leader(group: Group, hook: str, **hooks: object) -> tuple[Host, list[Host]]:
    """Let h1 lead with that on_leader, and the others follow it with good hooks."""
    leader, *rest = group.hosts
    group.configure(leader, {"leader": hook}, hooks=hooks)
    group.start([leader])
    group.wait_hook(leader, "leader")
    group.start(rest)
    return leader, rest


def test_on_leader_that_hangs_is_ended_and_another_leads(build: Callable[..., Group]) -> None:
    group = build(3)
    bad, good = start_with_leader(group, "hang", timeout="3s")
    wait_until(lambda: len(group.followers()) == 2, 5, "others follow while it hangs")
    assert bad.role == "leader"  # a hook cannot stall heartbeats
    group.wait_one_leader(good, within=20)
    wait_until(lambda: bad.role != "leader", 5, "the failed leader has stepped down")
    group.wait_hook(bad, "follower", "end")
    group.check()


def test_on_leader_that_fails_steps_down(build: Callable[..., Group]) -> None:
    group = build(3, hook="ok")
    bad, good = start_with_leader(group, "fail 1")
    group.wait_one_leader(good, within=20)
    group.wait_hook(bad, "follower", "end")
    winner = group.wait_one_leader()
    assert winner is not bad
    holds_for(lambda: winner.role == "leader", 2, "the failed host sits out")
    group.check()


def test_failures_are_ignored_if_told_so(build: Callable[..., Group]) -> None:
    group = build(2, hook="ok")
    leader, _ = start_with_leader(group, "fail 1", on_failure="ignore")
    assert group.wait_one_leader() is leader
    holds_for(lambda: leader.role == "leader", 2, f"{leader} leads on")
    group.check()


def test_on_leader_that_daemonizes_holds_nobody_up(build: Callable[..., Group]) -> None:
    """Its child keeps the pipes open in a session of its own; the hook has ended all the same."""
    group = build(3, hook="ok")
    leader, rest = start_with_leader(group, "daemon")
    assert group.wait_one_leader() is leader
    at = leader.stop()
    group.wait_one_leader(rest)
    assert leader.wait_stopped() == 0
    assert checker.handover_gap(group.records(), at, leader.name) >= 0
    group.check()


def test_what_on_leader_forks_ends_with_the_leadership(build: Callable[..., Group]) -> None:
    """A background child in the hook's own group is the leader's job, and no hook ends it."""
    group = build(3, hook="ok")
    leader, rest = start_with_leader(group, "fork")
    assert group.wait_one_leader() is leader
    group.wait_hook(leader, "leader", "end")
    leader.stop()
    new = group.wait_one_leader(rest)
    records = group.records()
    (job,) = checker.lives(records, "job")
    gain = next(t for t in checker.tenures(records) if t.host == new.name)
    assert job.end is not None
    assert job.end < gain.start
    group.check()


def test_a_hook_that_floods_its_output(build: Callable[..., Group]) -> None:
    group = build(3, hook="ok")
    leader, _ = start_with_leader(group, "flood 20000000")
    group.wait_hook(leader, "leader", "end")
    assert group.wait_one_leader() is leader
    assert len(checker.changes(group.records())) == 1
    group.check()


def test_role_changes_faster_than_hooks(build: Callable[..., Group]) -> None:
    """The lead goes to and fro while each on_leader would take a minute."""
    group = build(2, hook={"leader": "sleep 60000", "follower": "sleep 400"})
    group.start()
    for _ in range(5):
        old = wait_until(lambda: next(iter(group.leaders()), None), 10, "one leads")
        gain = group.wait_hook(old, "leader", since=_last_fault(group))
        old.carrier_down()
        (other,) = (host for host in group.hosts if host is not old)
        group.wait_hook(other, "leader", since=gain.at)
        old.carrier_up()
    group.check()
    for host in group.hosts:
        host.stop()
    for host in group.hosts:
        assert host.wait_stopped() == 0
    group.check()
    assert {checker.last_role_hook(group.records(), h.name) for h in group.hosts} == {"follower"}


def _last_fault(group: Group) -> int:
    """Since when the present leader can have begun: before its rival's cable was pulled."""
    pulled = [r.at for r in group.records() if r.phase == "carrier-down"]
    return pulled[-1] if pulled else 0
