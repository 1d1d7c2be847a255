"""Leadership that moves without a fault, on real hosts: the job has ended here before it begins
there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


def wait_leads(group: Group, host: Host, within: float) -> None:
    wait_until(lambda: host.role == "leader", within, f"{host} leads", group.describe)
    assert group.wait_one_leader() is host


@EITHER_KIND
def test_a_switchover_to_each_in_turn(build: Callable[..., Group], quorum: bool) -> None:
    """Asked at whichever host: the named one leads, and nobody else ever does in between."""
    group = build(3, quorum=quorum)
    group.start()
    old = group.wait_one_leader()
    group.wait_all_vote()
    order = [host for host in group.hosts if host is not old] + [old]
    for number, host in enumerate(order):
        assert group.hosts[number].ask("switchover", to=host.name) == {"done": True}
        wait_leads(group, host, group.timing.patience)
    led = [r.host for r in group.records() if r.is_hook_start and r.what == "hook.leader"]
    names = [name for n, name in enumerate(led) if n == 0 or led[n - 1] != name]
    assert names == [old.name, *(host.name for host in order)]
    group.check()


@EITHER_KIND
def test_a_better_host_that_comes_back_takes_over(
    build: Callable[..., Group], quorum: bool
) -> None:
    """h3 is the better place. Its agent crashes; back again, it leads after its delay, once."""
    group = build(3, quorum=quorum)
    best = group.hosts[2]
    group.configure(best, priority=200, preempt=True, preempt_delay="2s")
    group.start()
    wait_leads(group, best, group.timing.patience)
    best.crash()
    interim = group.wait_one_leader([host for host in group.hosts if host is not best])
    best.start()
    holds_for(lambda: interim.role == "leader", 1.5, f"{interim} leads on for the delay")
    wait_leads(group, best, 2 + group.timing.lock + group.timing.patience)
    holds_for(lambda: best.role == "leader", 2 * group.timing.lock, f"{best} keeps leading")
    group.check()
