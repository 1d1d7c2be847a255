"""Networks without IPv4, and networks that have both."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab import checker
from lab.events import NS
from lab.group import Group
from lab.hosts import Host
from lab.net import run
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

# An address is tested for a second or two before the kernel lets it be used.
FIRST = 20.0
STATIC = {
    "discovery": "static",
    "port": 9001,
    "peers": ["[fd77::1]", "[fd77::2]:9001", "[fd77::3]"],
}


LOOKING = """
import asyncio
from unittest.mock import Mock
from followtheleader.core.timing import Timing
from followtheleader.lookout import Lookout
from followtheleader.net.mdns import Discovery
from followtheleader.net.udp import Endpoint
from followtheleader.observer import Profile

async def main():
    endpoint = Endpoint.bind("0.0.0.0", 9001)
    profile = Profile(1, "s", "a", 100, Timing(250_000_000, 3, 0), (), False, "0.0.0.0", 9001, (),
                      True, (), None)
    post = lambda event: print(f"up={event.up} moved={event.moved}", flush=True)
    Discovery.start = lambda self: None
    Discovery.refresh = lambda self: print("refresh", flush=True)
    lookout = Lookout(profile, endpoint, Mock(), post)
    lookout.start()
    await asyncio.sleep(60)

asyncio.run(main())
"""
"""Tells what the lookout tells the election, and when it lets mDNS look and announce again."""


def read_lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def addresses(host: Host) -> list[str]:
    """Where a host sees the others, as its status tells it."""
    members = json.loads(host.command("status", "lab", "--json").stdout)["members"]
    return [member["address"] for member in members]


def leader_address(host: Host) -> str:
    told = json.loads((host.runtime_dir / "state.json").read_text())["leader"]["address"]
    return str(told)


@pytest.mark.parametrize("quorum", [False, True])
@pytest.mark.parametrize(
    ("settings", "begins"),
    [({}, "fe80::"), (STATIC, "fd77::")],
    ids=["link-local by mDNS", "global by static peers"],
)
def test_ipv6_only(
    build: Callable[..., Group], settings: dict[str, Any], begins: str, quorum: bool
) -> None:
    group = build(5, quorum=quorum, settings=settings, ipv4=False, ipv6=bool(settings))
    group.start()
    first = group.wait_one_leader(within=FIRST)
    followers = [host for host in group.hosts if host is not first]
    zone = "" if settings else "%eth0"
    for host in followers:
        assert leader_address(host).startswith(begins)
        assert leader_address(host).endswith(zone)
    seen = addresses(first)
    assert len(seen) == 4
    assert all(one.startswith(f"[{begins}") and one.endswith(f"{zone}]:9001") for one in seen)

    # A crash: the last will reaches the others, or this would take a lock.
    at = first.crash()
    second = group.wait_one_leader(followers)
    gap = checker.takeover_gap(group.records(), at, first.name) / NS
    assert gap < group.timing.silence / 2
    first.start()
    assert group.wait_one_leader() is second

    at = second.stop()
    assert second.wait_stopped() == 0
    third = group.wait_one_leader()
    assert checker.takeover_gap(group.records(), at, second.name) / NS < group.timing.silence / 2
    second.start()
    assert group.wait_one_leader() is third

    group.cut(third)
    rest = [host for host in group.hosts if host is not third]
    group.wait_one_leader(rest)
    group.heal()
    group.wait_one_leader()
    group.check()


def test_the_leader_stays_while_one_family_is_left(build: Callable[..., Group]) -> None:
    """A heartbeat that is not acknowledged is sent again by every path.

    After the first cut all speak IPv6, whatever they spoke before; so the second cut takes it.
    """
    group = build(5, ipv6=True)
    group.start()
    leader = group.wait_one_leader()
    followers = [host for host in group.hosts if host is not leader]
    holds_for(lambda: leader.role == "leader", 2 * group.timing.lock, f"{leader} leads")
    at = group.log.note("-", "fault", "cut-ipv4")
    for family, begins in ((4, "["), (6, "10.")):
        group.network.cut_family(family)
        holds_for(lambda: leader.role == "leader", 2 * group.timing.lock, f"{leader} stays")
        seen = addresses(leader)
        assert all(address.startswith(begins) for address in seen), seen
        group.heal()
        assert group.wait_one_leader() is leader
    assert [change for change in checker.changes(group.records()) if change.at > at] == []

    crashed_at = leader.crash()
    group.wait_one_leader(followers)
    gap = checker.takeover_gap(group.records(), crashed_at, leader.name) / NS
    assert gap < group.timing.silence / 2
    group.check()


@pytest.mark.parametrize("family", [4, 6])
def test_who_moves_to_another_address_stays_in_touch(
    build: Callable[..., Group], family: int
) -> None:
    """An address is replaced while the carrier stays: DHCP or a router has renumbered the host.

    With static peers nobody else tells where it is now.
    """
    places = [f"10.77.0.{n}" if family == 4 else f"[fd77::{n}]" for n in (1, 2, 3)]
    settings = STATIC | {"peers": places}
    group = build(3, settings=settings, ipv4=family == 4, ipv6=family == 6)
    group.start()
    leader = group.wait_one_leader(within=FIRST)
    at = group.log.note("-", "fault", "moved")
    for host in (*group.followers(), leader):
        group.network.move(host.name)
        holds_for(lambda: group.leaders() == [leader], 2 * group.timing.lock, f"{host} has moved")
        assert len(group.followers()) == 2
    assert [change for change in checker.changes(group.records()) if change.at > at] == []
    group.check()


def test_a_host_whose_ipv6_is_switched_off(build: Callable[..., Group]) -> None:
    """The kernel has the family, and lets no address be used: before the start, and while it runs.

    The others know the host by both.
    """
    group = build(3, ipv6=True)
    off, later, _ = group.hosts
    group.network.switch_ipv6_off(off.name)
    group.start()
    leader = group.wait_one_leader(within=FIRST)
    assert all(address.startswith("10.") for address in addresses(off))
    at = group.log.note("-", "fault", "ipv6-off")
    group.network.switch_ipv6_off(later.name)
    holds_for(lambda: group.leaders() == [leader], 2 * group.timing.lock, "the leader stays")
    assert all(address.startswith("10.") for address in addresses(later))
    assert [change for change in checker.changes(group.records()) if change.at > at] == []
    first = leader.crash()
    group.wait_one_leader([host for host in group.hosts if host is not leader])
    assert checker.takeover_gap(group.records(), first, leader.name) / NS < group.timing.silence
    group.check()


def test_what_a_router_prolongs_is_no_change(build: Callable[..., Group]) -> None:
    """Every router says every few minutes, or seconds, how long addresses last, to all at once.

    If each host announced itself for that, each would wake all others.
    """
    group = build(1, ipv4=False, ipv6=True)
    host = group.hosts[0].name
    netns, out = group.network.netns(host), group.network.directory / "told"
    tested = ("ip", "-n", netns, "-6", "addr", "show", "scope", "link", "-tentative")
    wait_until(lambda: "fe80:" in run(*tested), 10, "the link-local address has been tested")
    with out.open("wb") as told:
        watcher = subprocess.Popen(
            [*group.network.enter(host), sys.executable, "-c", LOOKING], stdout=told
        )
    try:
        before = ["up=True moved=False"]
        wait_until(lambda: read_lines(out) == before, FIRST, "it has looked")
        for seconds in ("1000", "2000"):
            place = ("fd77::1/64", "dev", "eth0", "valid_lft", seconds, "preferred_lft", seconds)
            run("ip", "-n", netns, "addr", "change", *place)
            holds_for(lambda: read_lines(out) == before, 0.5, "nothing is told")
        run("ip", "-n", netns, "addr", "add", "fd77::9/64", "dev", "eth0", "nodad")
        more = ["up=True moved=True", "refresh"]
        wait_until(lambda: read_lines(out) == before + more, 10, "another address is told")
    finally:
        watcher.kill()
        watcher.wait()


def test_the_others_hear_from_an_address_that_lasts(build: Callable[..., Group]) -> None:
    """The kernel prefers the one made for a day of privacy, the members remember where we were."""
    group = build(2, settings=STATIC, ipv4=False, ipv6=True)
    private, other = group.hosts
    netns = group.network.netns(private.name)
    set_up = "echo 2 >/proc/sys/net/ipv6/conf/eth0/use_tempaddr"
    run(*group.network.enter(private.name), "sh", "-c", set_up)
    # As a router would: the kernel adds a temporary address of the same net.
    run(
        "ip",
        "-n",
        netns,
        "addr",
        "del",
        f"{group.network.address6(private.name)}/64",
        "dev",
        "eth0",
    )
    lasting = ("fd77::1/64", "dev", "eth0", "mngtmpaddr", "nodad")
    run("ip", "-n", netns, "addr", "add", *lasting)

    def temporary_is_usable() -> bool:
        shown = run(
            "ip", "-n", netns, "-6", "addr", "show", "dev", "eth0", "temporary", "-tentative"
        )
        return "fd77:" in shown

    wait_until(temporary_is_usable, 10, "the kernel has made a temporary address")
    group.start()
    group.wait_one_leader(within=FIRST)
    assert addresses(other) == ["[fd77::1]:9001"]


def test_only_lasting_addresses_are_told(build: Callable[..., Group]) -> None:
    """Not one that is deprecated, or that a neighbour has already."""
    group = build(1)
    host = group.hosts[0].name
    netns, switch = group.network.netns(host), group.network.netns("switch")
    run("ip", "-n", netns, "addr", "add", "fd77::a/64", "dev", "eth0", "nodad")
    run("ip", "-n", netns, "addr", "add", "fd77::b/64", "dev", "eth0", "preferred_lft", "0")
    run("ip", "-n", switch, "addr", "add", "fd77::c/64", "dev", "br0", "nodad")
    run("ip", "-n", netns, "addr", "add", "fd77::c/64", "dev", "eth0")
    program = (
        "from followtheleader.net.interfaces import usable\n"
        "print(*(interface.address for interface in usable()))"
    )
    seen: set[str] = set()

    def link_local_is_usable() -> bool:
        now = run(*group.network.enter(host), sys.executable, "-c", program).split()
        seen.update(now)
        return any(address.startswith("fe80::") for address in now)

    wait_until(link_local_is_usable, 10, "the link-local address has been tested")
    (link_local,) = (address for address in seen if address.startswith("fe80::"))
    assert link_local.endswith("%eth0")
    assert seen - {link_local} == {"10.77.0.1", "fd77::a"}
