"""A hundred agents elect one leader, and another one when it is gone.

A hundred machines share the processors of this one here, all in the same instant when the leader is
gone: they have the relaxed timing, are started a few at a time, and are told of three members that
tell of all others. (By mDNS each that joins is answered by all, to all: ten thousand packets for
one machine to read.) It takes 2.5 GiB.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.waiting import wait_until

pytestmark = [pytest.mark.lab, pytest.mark.alone]

MANY = 100
PATIENCE = 60.0


def test_a_hundred_agents_elect_and_fail_over(build: Callable[..., Group]) -> None:
    told = [f"10.77.0.{number}:9001" for number in (1, 2, 3)]
    settings = {"discovery": ["static"], "peers": told}
    group = build(MANY, preset="relaxed", hook="ok", settings=settings)
    group.gather()
    first = group.wait_one_leader(within=PATIENCE)
    wait_until(lambda: knows(first) == MANY - 1, PATIENCE, f"{first} knows all", poll=0.5)

    first.crash()
    second = group.wait_one_leader(within=PATIENCE)

    group.cut(second)
    others = [host for host in group.running if host is not second]
    third = group.wait_one_leader(others, within=PATIENCE)
    assert third not in (first, second)

    group.heal()
    group.wait_one_leader(within=PATIENCE)
    group.check()


def knows(host: Host) -> int:
    """How many other members that host tells of."""
    answer = json.loads(host.command("status", "lab", "--json").stdout)
    return len(answer["members"])
