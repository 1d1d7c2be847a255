"""A quorum group: never two leaders, none without a majority, and the job ends in time."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import checker
from lab.group import Group
from lab.hosts import Host
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture(name="group")
def fixture_group(build: Callable[..., Group]) -> Group:
    group = build(5, quorum=True)
    group.start()
    return group


def parts(group: Group, leader: Host, size: int) -> tuple[list[Host], list[Host]]:
    """The leader's part of that size, and the rest."""
    followers = [host for host in group.hosts if host is not leader]
    return [leader, *followers[: size - 1]], followers[size - 1 :]


def test_split_takes_the_lead_from_the_minority(group: Group) -> None:
    old = group.wait_one_leader()
    minority, majority = parts(group, old, 2)
    group.split(minority, majority)
    group.wait_no_leader(minority)
    new = group.wait_one_leader(majority)
    holds_for(lambda: not group.leaders(minority), group.timing.lock, "the minority has no leader")

    healed_at = group.heal()
    assert group.wait_one_leader() is new
    assert not [r for r in checker.changes(group.records()) if r.at > healed_at]
    group.check()


def test_split_leaves_the_lead_with_the_majority(group: Group) -> None:
    leader = group.wait_one_leader()
    majority, minority = parts(group, leader, 3)
    split_at = group.split(majority, minority)
    holds_for(lambda: leader.role == "leader", 2 * group.timing.lock, f"{leader} keeps leading")
    assert not group.leaders(minority)
    group.heal()
    assert group.wait_one_leader() is leader
    assert not [r for r in checker.changes(group.records()) if r.at > split_at]
    group.check()


def test_without_a_majority_nobody_leads(group: Group) -> None:
    leader = group.wait_one_leader()
    alive, dead = parts(group, leader, 2)
    for host in dead:
        host.power_off()
    group.wait_no_leader(alive)
    seconds = 2 * group.timing.lock
    holds_for(lambda: not group.leaders(alive), seconds, "two of five have no leader")
    dead[0].power_on()
    group.wait_one_leader([*alive, dead[0]])
    group.check()


@pytest.mark.parametrize("break_link", ["mute", "deafen"])
def test_a_leader_heard_or_hearing_one_way_only(group: Group, break_link: str) -> None:
    old = group.wait_one_leader()
    rest = [host for host in group.hosts if host is not old]
    group.log.note(old.name, "fault", break_link)
    getattr(group.network, break_link)(old.name)
    group.wait_no_leader([old])
    group.wait_one_leader(rest)
    group.heal()
    group.wait_one_leader()
    group.check()


def test_a_suspended_host_ends_its_job_before_anything_else(group: Group) -> None:
    """Agent, guardian and job stand still together; the guardian wakes first and ends the job."""
    old = group.wait_one_leader()
    old.suspend()
    new = group.wait_one_leader([host for host in group.hosts if host is not old])

    thawed_at = old.thaw_guardian()
    group.wait_hook(old, "follower", "end", since=thawed_at)
    old.thaw()
    assert group.wait_one_leader() is new
    job = next(job for job in checker.lives(group.records(), "job") if job.host == old.name)
    assert job.end is not None
    assert job.end < thawed_at  # it never ran again
    group.check()


def test_the_default_stop_timeout_is_honoured(build: Callable[..., Group]) -> None:
    """Two seconds for the job to end after the lease: the others wait that much longer."""
    group = build(3, quorum=True, stop_ms=2000)
    group.start()
    old = group.wait_one_leader()
    at = group.cut(old)
    group.wait_one_leader([host for host in group.hosts if host is not old])
    gap = checker.takeover_gap(group.records(), at, old.name) / 1e9
    assert gap > group.timing.lock - group.timing.heartbeat - 0.1
    group.check()


def test_the_whole_group_restarts(group: Group) -> None:
    """Power returns everywhere at once: voters listen before they vote, tokens go on growing."""
    group.wait_one_leader()
    for host in group.hosts:
        host.power_off()
    wait_until(lambda: not group.running, 5, "all hosts are dark")
    for host in group.hosts:
        host.power_on()
    # Remembered members may cost the start its patience; the protocol allows ten seconds.
    group.wait_one_leader(within=10 + group.timing.patience)
    group.check()


@pytest.mark.parametrize("delay", [0, 0.3, 1, 2])
def test_a_daemon_does_not_escape_a_guardian_that_is_killed(
    build: Callable[..., Group], delay: float
) -> None:
    """Without parent, session and environment it comes to the agent, which ends it first."""
    group = build(3, quorum=True, hook="escape")
    group.start()
    group.wait_all_vote()
    old = group.wait_one_leader()
    rest = [host for host in group.hosts if host is not old]
    (first,) = wait_until(lambda: job_pids(group, old), 5, f"the job of {old} runs")
    time.sleep(delay)
    at = old.crash_guardian()
    group.wait_hook(old, "leader", "end", since=at)
    (second,) = wait_until(lambda: job_pids(group, old) - {first}, 5, f"{old} works again")
    assert job_pids(group, old) == {second}
    time.sleep(delay)
    old.crash_guardian()
    old.stop()  # while what the guardian has left is not yet ended
    assert old.wait_stopped() == 0
    assert job_pids(group, old) == set()
    new = group.wait_one_leader(rest)
    wait_until(lambda: job_pids(group, new), 5, f"the job of {new} runs")
    group.check()


def job_pids(group: Group, host: Host) -> set[int]:
    """The host's processes that stamp as a job."""
    pids = host.network.pids(host.name)
    lines = {pid: _command_line(pid) for pid in pids}
    return {pid for pid, line in lines.items() if line[:3] == ["stamp", "job", str(group.log.path)]}


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
