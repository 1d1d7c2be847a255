"""The package on a host that has nothing but networking: two commands, and what they leave behind.

The units are those of the .deb, unmodified, on each release that it promises to run on.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from lab import rootfs
from lab.cluster import Cluster, Plan
from lab.events import NS, now
from lab.machines import Machine
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

SETTLED_WITHIN = 5.0
EXPOSURE = 1.1
ROLES = {"leader", "follower"}


def install(cluster: Cluster) -> None:
    """The first command, on every host."""
    (cluster.shared / "ftl-agent.deb").write_bytes(cluster.package.read_bytes())
    cluster.everywhere("apt-get", "install", "-qq", "-y", "/lab/ftl-agent.deb")


def status_line(machine: Machine) -> str:
    """What `systemctl status` shows of the agent's state."""
    text = machine.run("systemctl", "status", "ftl-agent@svc", check=False)
    found = re.search(r'Status: "(\w+)', text)
    return found[1] if found else ""


@pytest.mark.parametrize("releases", [("bookworm",) * 3, tuple(rootfs.RELEASES)], ids="+".join)
def test_two_commands(boot: Callable[..., Cluster], releases: tuple[str, ...]) -> None:
    """Then a failover, and the host that was lost comes back as a follower."""
    cluster = boot([Plan("svc")], releases=releases, installed=False, furnish=False)
    install(cluster)
    (svc,) = cluster.elections
    for member in svc.members:  # as an administrator would: a script each, the YAML as shipped
        member.write_hook("leader", "ok")
        member.write_hook("follower", "ok")
    began = now()
    cluster.everywhere("systemctl", "enable", "--now", "ftl-agent@svc")

    def settled() -> bool:
        return sorted(map(status_line, cluster.machines)) == ["follower", "follower", "leader"]

    what = "systemctl status shows one leader and two followers"
    wait_until(settled, SETTLED_WITHIN, what, cluster.describe)
    assert (now() - began) / NS < SETTLED_WITHIN

    leader = svc.wait_settled(jobs=False)
    for member in svc.members:
        role = "leader" if member is leader else "follower"
        assert member.machine.run("cat", "/run/ftl/role") == f"{role}\n"
        hooks = [r.what for r in svc.records() if r.is_hook_start and r.host == member.name]
        assert hooks == [f"hook.{role}"]
        assert member.machine.failed_units() == []
        assert member.is_active(member.target) == (member is leader)

    cluster.pull_the_plug(leader.machine)
    second = svc.wait_settled(svc.others(leader), jobs=False)
    cluster.power_on([leader.machine])
    assert svc.wait_settled(jobs=False) is second
    svc.check()


@pytest.mark.parametrize("release", rootfs.RELEASES)
def test_systemd_has_nothing_to_say_against_the_units(
    boot: Callable[..., Cluster], release: str
) -> None:
    """No warning for any of them, and an agent that is as little exposed as promised."""
    (machine,) = boot(releases=(release,)).machines
    files = machine.run("dpkg", "-L", "ftl-agent").split()
    units = [path.rpartition("/")[2] for path in files if re.search(r"systemd/system/ftl-", path)]
    instances = [unit.replace("@.", "@svc.") for unit in units]
    assert len(instances) >= 4
    assert machine.run("systemd-analyze", "verify", "--man=no", *instances) == ""

    said = machine.run("systemd-analyze", "security", "--no-pager", "ftl-agent@svc.service")
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert exposure, said
    assert float(exposure[1]) <= EXPOSURE, said
