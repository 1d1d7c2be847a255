"""A group is upgraded host by host to a build of a newer protocol, and back again.

Real agents of both builds (see `sim.newer`): one leads all the time, but for the handovers.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import pytest

from lab import checker
from lab.events import NS
from lab.group import Group
from lab.hosts import Host
from lab.newer_build import code
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

NEWER = [sys.executable, "-P", "-c", code("newer")]


def counters(host: Host) -> dict[str, int]:
    found: dict[str, int] = json.loads(host.command("status", "lab", "--json").stdout)["counters"]
    return found


def install(group: Group, host: Host, program: list[str] | None) -> None:
    """As a package does: stop, replace, start; then wait until all agree and vote again."""
    leads = group.wait_one_leader() is host
    at = host.stop()
    assert host.wait_stopped() == 0
    if leads:
        group.wait_one_leader([other for other in group.hosts if other is not host])
        assert checker.takeover_gap(group.records(), at, host.name) / NS < group.timing.lock
    host.program = program
    host.start()
    group.wait_one_leader()
    group.wait_all_vote()


@pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
def test_host_by_host_up_and_down(build: Callable[..., Group], quorum: bool) -> None:
    group = build(3, quorum=quorum)
    group.start()
    group.wait_one_leader()
    group.wait_all_vote()
    for host in group.hosts:
        install(group, host, NEWER)

    def unknown() -> int:
        return sum(counters(host).get("rejected-unknown-type", 0) for host in group.hosts)

    wait_until(unknown, 15, "a member hears what it does not know", group.describe)
    for host in group.hosts:
        install(group, host, None)
    # Each gain but the first was somebody's leaving on purpose.
    gains = [r for r in group.records() if r.is_hook_start and r.what == "hook.leader"]
    stops = [r for r in group.records() if r.what == "fault" and r.phase == "stop"]
    assert 1 <= len(gains) - 1 <= len(stops)
    group.check()
