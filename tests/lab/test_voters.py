"""README's "Changing the voters", step by step, by real agents: one is added, another taken out.

Never do two lead, once for about a lock nobody does, and ``status`` says which list an agent runs.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pytest

from lab import checker
from lab.events import NS, Record
from lab.group import Group
from lab.hosts import Host, agent_command
from lab.stories import hold_without_change, others
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

NOISE = 1.5
"""Seconds: what a busy machine may add to a gap. Twice the lock must not hide in it."""


def says(host: Host) -> dict[str, Any]:
    """What ``ftl-agent status --json`` prints; empty if nobody answers."""
    said = host.command("status", "--json", "lab").stdout
    found: dict[str, Any] = json.loads(said) if said.startswith("{") else {}
    return found


def runs(host: Host) -> list[str]:
    """The list that the running agent was started with."""
    voters: list[str] = (says(host).get("quorum") or {}).get("voters", [])
    return voters


def write(group: Group, voters: Sequence[str]) -> None:
    """Step 1: the new list is in every file, `check` calls it sound, and nothing happens."""
    before = {host: runs(host) for host in group.running}
    at = group.log.note("-", "fault", "written")
    for host in group.hosts:
        group.configure(host, voters=list(voters))
        command = [*agent_command(), "check", str(host.config)]
        assert subprocess.run(command, capture_output=True, check=False).returncode == 0
    assert {host: runs(host) for host in group.running} == before
    assert not [r for r in group.records(at) if r.what == "role"]


def restart(host: Host) -> None:
    """Step 2, one host: ``until ftl-agent status --json … | grep -q '"quarantined": false'``."""
    if host.is_running:
        host.stop()
        assert host.wait_stopped() == 0
    host.start()

    def votes() -> bool:
        return '"quarantined": false' in host.command("status", "--json", "lab").stdout

    wait_until(votes, 30, f"{host} is in quarantine no more", host.tail, poll=0.1)


def wait_done(group: Group, voters: Sequence[str]) -> Host:
    """Step 3: every agent runs the new list, and names a leader."""

    def done() -> bool:
        told = [says(host) for host in group.running]
        return all(one.get("leader") and one["quorum"]["voters"] == [*voters] for one in told)

    wait_until(done, group.timing.patience, f"all run {voters} and name a leader", group.describe)
    return group.wait_one_leader()


def gaps(records: Sequence[Record], since: int) -> list[float]:
    """The spans (s) in which no host led by its hooks, without the launch of an agent in them.

    An interpreter may take seconds to start on a busy machine, and promises nothing meanwhile.
    """
    spans = [s for s in checker.tenures(records) if s.end is None or s.end > since]
    ends = itertools.accumulate((s.end or s.start for s in spans), max)
    launched = [*launches(records)]
    found = []
    for ended, span in zip(ends, spans[1:], strict=False):
        within = [at for at in launched if ended < at < span.start]
        found.append((span.start - min(within, default=ended)) / NS)
    return [gap for gap in found if gap > 0]


def launches(records: Iterable[Record]) -> Iterator[int]:
    """The instants at which an agent that was started has its first role."""
    begun = set[str]()
    for record in records:
        if (record.what, record.phase) == ("fault", "start"):
            begun.add(record.host)
        elif record.what == "role" and record.phase != "none" and record.host in begun:
            begun.remove(record.host)
            yield record.at


def change(group: Group, voters: Sequence[str], last: Sequence[Host]) -> Host:
    """All three steps; ``last`` are restarted in this order after the others. Who leads then?"""
    at = group.log.note("-", "fault", "change")
    write(group, voters)
    new = [host for host in group.hosts if not host.is_running]
    for host in [*new, *others(group, *new, *last), *last]:
        restart(host)
        assert runs(host) == [*voters]
    leader = wait_done(group, voters)
    group.check()
    found = gaps(group.records(), at)
    bound = group.timing.takeover + NOISE
    assert max(found) <= bound, f"nobody led for {found}"
    assert len([gap for gap in found if gap > group.timing.lease]) <= 1, "once, but for handovers"
    return leader


@pytest.mark.parametrize(("size", "stop_ms"), [(2, 400), (3, 2000)], ids=["2-3-2", "3-4-3"])
def test_one_is_added_and_another_taken_out(
    build: Callable[..., Group], size: int, stop_ms: int
) -> None:
    names = [f"h{number + 1}" for number in range(size + 1)]
    group = build(size + 1, quorum=True, stop_ms=stop_ms, settings={"voters": names[:-1]})
    group.start(group.hosts[:-1])
    old = group.wait_one_leader()
    group.wait_all_vote()

    leader = change(group, names, last=[old])

    out = next(host for host in group.hosts[:-1] if host is not leader)
    left = [name for name in names if name != out.name]
    leader = change(group, left, last=[leader, out])

    # Who was taken out follows, is no voter, and takes nothing over.
    assert leader is not out
    assert out.role == "follower"
    voters = {member["name"]: member["voter"] for member in says(leader)["members"]}
    assert voters == {name: name != out.name for name in names if name != leader.name}
    hold_without_change(group, leader, group.timing.lock)
    leader.power_off()
    rest = [host for host in group.running if host is not leader]
    if len(left) > 2:
        assert group.wait_one_leader(rest) is not out
    else:
        group.wait_no_leader(rest)
    group.check()
