"""An open group: one leader in every connected part, and one change when a split heals."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from lab import checker
from lab.events import NS
from lab.group import GATHERING, SLACK, Group
from lab.waiting import holds_for

pytestmark = pytest.mark.lab


LATE = """
import asyncio, sys
from followtheleader.cli.main import main
from followtheleader.net import mdns

work = mdns.Discovery._work

async def late(self):
    await asyncio.sleep(1.5)
    return await work(self)

mdns.Discovery._work = late
sys.exit(main(sys.argv[1:]))
"""
"""An agent whose mDNS asks who is there 1.5 s after the start: longer than an agent listens where
nothing is to be waited for, and no longer than it takes on two cores that have other work."""


def test_who_asks_late_by_mdns_does_not_lead_meanwhile(build: Callable[..., Group]) -> None:
    group = build(5)
    for host in group.hosts:
        host.program = [sys.executable, "-P", "-c", LATE]
    group.start()
    leader = group.wait_one_leader(within=GATHERING)
    assert {change.host for change in checker.changes(group.records())} == {leader.name}
    checker.check_open(group.records(), [])


@pytest.mark.parametrize("leader_in_larger_part", [True, False])
def test_split_and_heal(build: Callable[..., Group], leader_in_larger_part: bool) -> None:
    group = build(5)
    group.start()
    old = group.wait_one_leader()
    followers = [host for host in group.hosts if host is not old]
    size = 3 if leader_in_larger_part else 2
    part = [old, *followers[: size - 1]]
    rest = followers[size - 1 :]

    group.split(part, rest)
    new = group.wait_one_leader(rest)
    assert group.wait_one_leader(part) is old  # one leader in each part

    healed_at = group.heal()
    winner = group.wait_one_leader()
    holds_for(lambda: winner.role == "leader", 2 * group.timing.lock, f"{winner} keeps leading")
    records = group.records()
    changes = [change for change in checker.changes(records) if change.at > healed_at]
    (loser,) = {old, new} - {winner}
    assert [change.host for change in changes] == [loser.name]
    assert checker.two_leaders_ns(records, healed_at) / NS <= group.timing.silence + SLACK
    group.check()


def test_a_lone_host_leads(build: Callable[..., Group]) -> None:
    group = build(1)
    group.start()
    group.wait_one_leader()
    group.check()


def test_every_host_alone_then_together(build: Callable[..., Group]) -> None:
    group = build(3)
    group.split(*([host] for host in group.hosts))
    group.start()
    for host in group.hosts:
        group.wait_one_leader([host])
    healed_at = group.heal()
    winner = group.wait_one_leader()
    holds_for(lambda: winner.role == "leader", 2 * group.timing.lock, f"{winner} keeps leading")
    changes = [change for change in checker.changes(group.records()) if change.at > healed_at]
    losers = sorted(host.name for host in group.hosts if host is not winner)
    assert sorted(change.host for change in changes) == losers  # each gives way once
    group.check()
