"""Two nodes and a witness: any one of the three may be lost, and the witness never leads."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import checker
from lab.events import NS
from lab.group import SLACK, Group
from lab.hosts import Host
from lab.stories import hold_without_change, others
from lab.waiting import holds_for

pytestmark = pytest.mark.lab

WAYS = ("crash", "power-off", "cut")


@pytest.fixture(name="group")
def fixture_group(build: Callable[..., Group]) -> Group:
    """Two nodes, h1 and h2, and the witness h3; all of them vote."""
    group = build(3, quorum=True)
    group.configure(witness(group), witness=True)
    group.start()
    group.wait_one_leader()
    group.wait_all_vote()
    return group


def witness(group: Group) -> Host:
    return group.hosts[-1]


def follower(group: Group, leader: Host) -> Host:
    """The node that could lead and does not."""
    (host,) = others(group, leader, witness(group))
    return host


def lose(group: Group, host: Host, way: str) -> int:
    """Lose that host; return the instant before."""
    if way == "cut":
        return group.cut(host)
    return host.crash() if way == "crash" else host.power_off()


def bring_back(group: Group, host: Host, way: str) -> None:
    if way == "cut":
        group.heal()
    elif way == "crash":
        host.start()
    else:
        host.power_on()


def check(group: Group) -> None:
    """What holds at any time, and: no hook, role file or job ever said that the witness leads."""
    group.check()
    checker.check_never_led(group.records(), witness(group).name)


@pytest.mark.parametrize("way", WAYS)
def test_without_the_witness_the_leader_stays(group: Group, way: str) -> None:
    leader = group.wait_one_leader()
    lose(group, witness(group), way)
    hold_without_change(group, leader, 2 * group.timing.lock)
    assert group.wait_one_leader(others(group, witness(group))) is leader

    bring_back(group, witness(group), way)
    assert group.wait_one_leader(group.hosts) is leader
    hold_without_change(group, leader, group.timing.lock)
    check(group)


@pytest.mark.parametrize("way", WAYS)
def test_without_the_leader_the_other_node_leads(group: Group, way: str) -> None:
    old = group.wait_one_leader()
    heir = follower(group, old)
    at = lose(group, old, way)
    assert group.wait_one_leader(others(group, old)) is heir
    gap = checker.takeover_gap(group.records(), at, old.name) / NS
    assert gap <= group.timing.takeover + SLACK
    if way == "cut":
        group.wait_no_leader([old])

    bring_back(group, old, way)
    assert group.wait_one_leader(group.hosts) is heir
    hold_without_change(group, heir, group.timing.lock)
    check(group)


@pytest.mark.parametrize("way", WAYS)
def test_without_the_follower_nothing_changes(group: Group, way: str) -> None:
    leader = group.wait_one_leader()
    lost = follower(group, leader)
    lose(group, lost, way)
    hold_without_change(group, leader, 2 * group.timing.lock)
    assert group.wait_one_leader([leader, witness(group)]) is leader

    bring_back(group, lost, way)
    assert group.wait_one_leader(group.hosts) is leader
    hold_without_change(group, leader, group.timing.lock)
    check(group)


@pytest.mark.parametrize("left", ["leader", "follower", "witness"])
def test_with_two_lost_nobody_leads(group: Group, left: str) -> None:
    leader = group.wait_one_leader()
    host = {
        "leader": leader,
        "follower": follower(group, leader),
        "witness": witness(group),
    }[left]
    first, second = others(group, host)
    first.power_off()
    second.crash()
    group.wait_no_leader([host])
    seconds = 2 * group.timing.takeover
    holds_for(lambda: not group.leaders(), seconds, f"nobody leads where only the {left} is left")

    # Any two make a majority again, the witness among them or not; the third may come later.
    second.start()
    group.wait_one_leader([host, second])
    first.power_on()
    group.wait_one_leader(group.hosts)
    check(group)
