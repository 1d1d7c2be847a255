"""Maintenance on real hosts: in a pause nobody takes over, and who led last may come back."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

KINDS = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


def pause(group: Group, host: Host) -> None:
    """Ask one agent, and wait until all know."""
    assert host.ask("pause", for_ms=60_000)["done"]
    others = [other for other in group.running if other is not host]
    wait_until(lambda: all("paused" in o.problems() for o in others), 5, "all are paused")


def nobody_leads(group: Group) -> None:
    wait_until(lambda: not group.leaders(), group.timing.patience, "the leader is gone")
    seconds = 2 * group.timing.takeover
    holds_for(lambda: not group.leaders(), seconds, "nobody takes over")


@KINDS
def test_nobody_takes_over_until_somebody_says_so(
    build: Callable[..., Group], quorum: bool
) -> None:
    group = build(3, quorum=quorum)
    group.start()
    leader = group.wait_one_leader()
    group.wait_all_vote()
    follower = group.followers()[0]
    pause(group, follower)
    holds_for(lambda: leader.role == "leader", group.timing.takeover, f"{leader} leads on")
    leader.crash()
    nobody_leads(group)

    assert follower.ask("resume")["done"]
    assert group.wait_one_leader() is not leader
    leader.start()
    group.wait_one_leader(group.hosts)
    group.check()


@KINDS
def test_who_is_restarted_in_a_pause_leads_again(build: Callable[..., Group], quorum: bool) -> None:
    group = build(3, quorum=quorum)
    group.start()
    leader = group.wait_one_leader()
    group.wait_all_vote()
    pause(group, leader)
    leader.stop()
    assert leader.wait_stopped() == 0
    nobody_leads(group)

    leader.start()
    assert group.wait_one_leader(group.hosts) is leader
    assert "paused" in leader.problems()
    assert leader.ask("resume")["done"]
    wait_until(lambda: not any(h.problems() for h in group.hosts), 5, "the pause is over for all")
    assert leader.role == "leader"
    group.check()
