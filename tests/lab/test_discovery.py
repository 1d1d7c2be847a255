"""How members are found: without multicast by names and by memory, with it beside avahi-daemon."""

from __future__ import annotations

import functools
import json
import shutil
import time
from collections.abc import Callable

import pytest

from lab.avahi import Avahi, wait_for_answer
from lab.group import Group
from lab.hosts import Host
from lab.stories import Pair, changes_since, wait_all_alive
from lab.waiting import wait_until

pytestmark = pytest.mark.lab


def remembers(host: Host, count: int) -> bool:
    """Are so many other members on its disk?"""
    try:
        text = (host.state_dir / "members.json").read_text()
    except FileNotFoundError:
        return False
    return len(json.loads(text)["members"]) >= count


def test_multicast_is_blocked(build: Callable[..., Group]) -> None:
    """One address in `peers` is enough, the others are told. After a power cut, and with no
    `peers` any more, what is remembered is enough."""
    pair = Pair(build, 5)
    pair.network.block_multicast(True)
    for group, port in zip(pair.groups, (9001, 9002), strict=True):
        for host in group.hosts:
            group.configure(host, port=port, discovery=["static"], peers=["10.77.0.1"])
    pair.start()
    for group in pair.groups:
        wait_all_alive(group, 10)
        for host in group.hosts:
            wait_until(functools.partial(remembers, host, 4), 10, f"{host} remembers the others")
    for number in range(1, 6):
        at = max([host.power_off() for host in pair.on(number)])
    for group, port in zip(pair.groups, (9001, 9002), strict=True):
        for host in group.hosts:
            group.configure(host, port=port)
        for host in group.hosts:
            host.power_on()
    for group in pair.groups:
        group.wait_one_leader(within=10 + group.timing.patience)
        wait_all_alive(group, 10)
        assert len([c for c in changes_since(group, at) if c.phase == "leader"]) == 1
    pair.check()


def test_avahi_on_the_same_hosts(build: Callable[..., Group]) -> None:
    """Beside each agent. It starts before the agent on h1 and h3, after it on the others, and stops
    before all: members are found by mDNS alone, and avahi answers for its host all the time."""
    if not shutil.which("avahi-daemon"):
        pytest.skip("apt-get install avahi-daemon")
    group = build(5)
    first, second, third, *more = group.hosts
    early, *late = daemons = [Avahi(host) for host in group.hosts]
    early.start()
    present = [first, second, *more]
    group.start(present)
    leader = group.wait_one_leader(present)
    for daemon in late:
        daemon.start()
    # The third is told nothing, and remembers nobody.
    group.start([third])
    assert group.wait_one_leader() is leader
    for host in present:
        wait_for_answer(group.network, "h3", host.name, group.network.address(host.name))
    assert not [complaint for daemon in daemons for complaint in daemon.complaints()]

    for daemon in daemons:
        daemon.stop()
    # Who answers by multicast does not say the same again within a second (RFC 6762, 6): a member
    # without any memory that asks sooner than that hears nothing, and leads for a moment.
    answered = time.monotonic() + 1.2
    wait_until(lambda: time.monotonic() > answered, 2, "what was answered may be answered again")
    third.stop()
    assert third.wait_stopped() == 0
    for path in third.state_dir.iterdir():
        path.unlink()
    group.start([third])
    assert group.wait_one_leader() is leader
    assert not [problem for host in group.hosts if (problem := host.problems())]
    assert len(changes_since(group, 0)) == 1
    group.check()
