"""Interfaces that go, come and change while agents run: an open and a quorum group on five hosts.

Everybody speaks from the address that it has now; what was announced before is only a suggestion.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.stories import LAUNCH, Pair, changes_since, hold_without_change, lead, wait_all_alive
from lab.waiting import wait_until

pytestmark = pytest.mark.lab


def has_no_problem(host: Host) -> bool:
    return not host.problems()


def hears_all_on(group: Group, network: str) -> bool:
    """Were all members heard last from there, by all?"""
    known = [host.status().get("members", []) for host in group.hosts]
    return all(
        len(members) == len(group.hosts) - 1
        and all(member["address"].startswith(network) for member in members)
        for members in known
    )


@pytest.fixture(name="pair")
def fixture_pair(build: Callable[..., Group]) -> Pair:
    """Two groups of five, both led by h1."""
    pair = Pair(build, 5, ipv4_only=True)
    pair.start()
    return pair


def leaders_address(group: Group, host: int) -> str:
    address: str = (group.hosts[host - 1].status()["leader"] or {}).get("address", "")
    return address


def test_a_host_gets_another_address(pair: Pair) -> None:
    """First a follower, then the leader: nobody changes roles, all learn where it is now."""
    at = pair.note("renumbered", "h3")
    pair.network.move("h3")
    pair.hold(1, 2 * pair.quorum.timing.lock)
    pair.note("renumbered", "h1")
    pair.network.move("h1")
    pair.hold(1, 2 * pair.quorum.timing.lock)
    for group in pair.groups:
        assert not changes_since(group, at)
        for number in (2, 3):
            assert leaders_address(group, number) == pair.network.address("h1", 100)
        wait_all_alive(group, 5)
    # Who comes now finds the others by what they announce now.
    for host in pair.on(2):
        host.stop()
    for host in pair.on(2):
        assert host.wait_stopped() == 0
        for path in host.state_dir.iterdir():
            path.unlink()
        host.start()
    pair.wait_leader(1)
    pair.check()


def test_a_moment_without_an_address_changes_nothing(pair: Pair) -> None:
    at = pair.note("renewed", "h1")
    pair.network.renew("h1")
    pair.hold(1, 2 * pair.quorum.timing.lock)
    for group in pair.groups:
        assert not changes_since(group, at)
        wait_all_alive(group, 5)
    pair.check()


def test_the_interface_goes_down_and_up_again(pair: Pair) -> None:
    """The leader without its network does not lead (`fault`); back again it follows."""
    pair.note("link-down", "h1")
    pair.network.set_link("h1", up=False)
    for group, old in zip(pair.groups, pair.on(1), strict=True):
        group.wait_no_leader([old])
        assert "carrier" in old.problems()
    new = pair.wait_leaders([2, 3, 4, 5])
    pair.note("link-up", "h1")
    pair.network.set_link("h1", up=True)
    assert pair.wait_leaders() == new
    for group, old in zip(pair.groups, pair.on(1), strict=True):
        wait_until(functools.partial(has_no_problem, old), 15, "all is well", group.describe)
    pair.check()


def test_a_named_interface_is_there_later_or_gone(build: Callable[..., Group]) -> None:
    """eth1 is named and does not exist yet; then eth0, which is all that there is, is unplugged."""
    group = build(5, settings={"interfaces": ["eth0", "eth1"]})
    group.start()
    group.wait_one_leader(within=LAUNCH + group.timing.patience)
    lead(group, group.hosts[0])
    for host in group.hosts:
        assert "interfaces: eth1: no such network interface" in host.problems()
    old, *rest = group.hosts
    pid = old.status()["pid"]

    group.log.note("h1", "fault", "unplugged")
    group.network.rename("h1", "eth0", "eth7")
    group.wait_no_leader([old])
    new = group.wait_one_leader(rest)
    assert "no carrier (no usable interface)" in old.problems()
    assert "interfaces: eth0, eth1: no such" in old.problems()

    group.log.note("h1", "fault", "plugged")
    group.network.rename("h1", "eth7", "eth0")
    assert group.wait_one_leader() is new
    group.network.plug("h1", 1)
    wait_until(functools.partial(has_no_problem, old), 15, "all is well", group.describe)
    assert old.status()["pid"] == pid, "the same agent all the time"
    group.check()


def test_bound_to_one_address_that_nobody_reaches(build: Callable[..., Group]) -> None:
    """Without a carrier below its address a node does not lead, nor if the address is gone."""
    group = build(5)
    for host in group.hosts:
        group.configure(host, host=group.network.address(host.name))
    group.start()
    group.wait_one_leader(within=LAUNCH + group.timing.patience)
    lead(group, group.hosts[0])
    first, *rest = group.hosts
    group.log.note("h1", "fault", "carrier")
    group.network.set_carrier("h1", up=False)
    group.wait_no_leader([first])
    assert "no carrier (eth0)" in first.problems()
    second = group.wait_one_leader(rest)
    group.network.set_carrier("h1", up=True)
    assert group.wait_one_leader() is second

    group.log.note(second.name, "fault", "moved")
    group.network.move(second.name)
    group.wait_no_leader([second])
    address = group.network.address(second.name)
    assert f"no carrier (no interface has {address})" in second.problems()
    group.wait_one_leader([host for host in group.hosts if host is not second])
    group.check()


def test_another_interface_is_added_and_the_first_one_lost(pair: Pair) -> None:
    """The second network is used as soon as it is there: when the first switch dies, one leads."""
    at = pair.note("plug")
    for name in pair.network.hosts:
        pair.network.plug(name, 1)
    pair.hold(1, 2 * pair.quorum.timing.lock)
    assert not changes_since(pair.open, at) + changes_since(pair.quorum, at)
    for host in pair.open.hosts:
        assert "eth1 10.77.1." in " ".join(host.status()["interfaces"])
    pair.note("switch-dies")
    for name in pair.network.hosts:
        pair.network.set_carrier(name, up=False)
    for group in pair.groups:
        moved = functools.partial(hears_all_on, group, "10.77.1.")
        wait_until(moved, 30, "all are heard on the second network", group.describe)
        leader = group.wait_one_leader()
        hold_without_change(group, leader, 2 * group.timing.lock)
    pair.check()
