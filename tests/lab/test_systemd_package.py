"""Removing, installing again and upgrading the package under a running group.

What must hold: no unit has failed, nothing is left behind, and leadership moves at most once.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lab import checker, rootfs
from lab.cluster import Cluster, Election, Plan
from lab.members import Member
from lab.waiting import wait_until

pytestmark = pytest.mark.lab


@pytest.fixture(name="svc", params=["open", "quorum"])
def fixture_svc(request: pytest.FixtureRequest, boot: Callable[..., Cluster]) -> Election:
    """Three machines with the package; h1 leads."""
    cluster = boot([Plan("svc", quorum=request.param == "quorum")])
    (cluster.shared / "ftl-agent.deb").write_bytes(cluster.package.read_bytes())
    rootfs.repackaged(cluster.package, "9.0", cluster.shared)
    cluster.start()
    return cluster["svc"]


def install(member: Member, package: str) -> None:
    member.machine.run("dpkg", "--install", f"/lab/{package}", within=120)


def moves(election: Election, since: int) -> int:
    """How often a host has begun to lead since then."""
    gains = [r for r in election.records(since) if r.is_hook_start and r.what == "hook.leader"]
    return len(gains)


def leftovers(member: Member) -> list[str]:
    """Processes, loaded units and runtime files of ours on that machine."""
    machine = member.machine
    units = machine.run("systemctl", "list-units", "--all", "--plain", "--no-legend", "ftl-*")
    commands = [
        Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for pid in machine.network.pids(member.name)
        if Path(f"/proc/{pid}/cmdline").exists()
    ]
    ours = [line for line in commands if "ftl-agent" in line or "followtheleader" in line]
    files = machine.run("find", "/run/ftl", "/run/ftl-guardian", "-mindepth", "1", check=False)
    found = [line for line in files.splitlines() if "No such file" not in line]
    # What the administrator wrote may go on to name units that are no longer there.
    known = [line for line in units.splitlines() if " not-found " not in line]
    return [*known, *ours, *found]


def test_removed_and_installed_again_while_it_leads(svc: Election) -> None:
    old = svc.wait_settled()
    at = svc.log.note(old.name, "fault", "remove")
    old.machine.run("dpkg", "--remove", "ftl-agent", within=120)
    new = svc.wait_settled(svc.others(old))
    ended = svc.wait_job_end(old, at)
    started = checker.job_start(svc.records(), at, old.name)
    assert started is not None
    assert ended <= started
    assert moves(svc, at) == 1
    assert leftovers(old) == [], leftovers(old)
    assert old.machine.failed_units() == []

    back_at = svc.log.note(old.name, "fault", "install")
    install(old, "ftl-agent.deb")
    old.enable()
    assert svc.wait_settled() is new
    assert moves(svc, back_at) == 0
    assert old.machine.failed_units() == []

    svc.wait_all_vote()  # two that vote are left
    purge_at = svc.log.note(new.name, "fault", "purge")
    new.machine.run("dpkg", "--purge", "ftl-agent", within=120)
    svc.wait_settled(svc.others(new))
    assert moves(svc, purge_at) == 1
    assert leftovers(new) == [], leftovers(new)
    assert new.machine.failed_units() == []
    for path in ("/var/lib/ftl", "/run/ftl", "/run/ftl-guardian", new.config):
        assert not new.machine.path(path).exists(), path
    enabled = new.machine.run("find", "/etc/systemd/system", "-name", "ftl-*")
    assert enabled == ""
    svc.check()


def test_a_group_is_upgraded_host_by_host(svc: Election) -> None:
    """Its followers first: they change nothing. The leader last: it hands over once."""
    old = svc.wait_settled()
    at = svc.log.note("-", "fault", "upgrade")
    for member in svc.others(old):
        before = member.pid(member.agent)
        install(member, "ftl-agent_9.0_all.deb")
        wait_until(lambda: member.role == "follower", 10, f"{member} follows", svc.describe)  # noqa: B023
        assert svc.wait_settled() is old
        assert member.pid(member.agent) != before
        assert member.machine.failed_units() == []
        svc.wait_all_vote()
    assert moves(svc, at) == 0
    install(old, "ftl-agent_9.0_all.deb")
    assert svc.wait_settled() is not old
    assert moves(svc, at) == 1
    assert old.machine.failed_units() == []
    version = old.machine.run("dpkg-query", "--show", "--showformat=${Version}", "ftl-agent")
    assert version == "9.0"
    svc.check()
