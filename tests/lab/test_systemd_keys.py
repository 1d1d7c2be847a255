"""Keys where systemd runs the agent as a user of its own: made by root, read by the unit, also as
a credential; signed by reloads while the bound job runs on."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from lab import checker
from lab.cluster import Cluster, Plan
from lab.keeper import skip_without_machines
from lab.members import Member
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

KEY = "/etc/ftl/svc.key"
SAMPLE = Path(__file__).parents[2] / "systemd" / "samples" / "key-as-credential.conf"
EXIT_CONFIGURATION = "78"


@pytest.fixture(name="cluster")
def fixture_cluster() -> Iterator[Cluster]:
    skip_without_machines()
    with Cluster([Plan("svc")]) as cluster:
        yield cluster


def signs(member: Member, key: str | None, others: int) -> bool:
    """Does everybody whom it hears sign so?"""
    heard = member.status().get("keys", {}).get("members", {})
    return len(heard) == others and set(heard.values()) == {key}


def test_a_group_of_units_is_signed_by_reloads(cluster: Cluster) -> None:
    cluster.start()
    svc = cluster["svc"]
    leader = svc.wait_settled()
    first = leader.machine
    first.run("ftl-agent", "keygen", "first", "-o", KEY)
    assert first.run("stat", "-c", "%U:%G %a", KEY) == "root:ftl 640\n"
    for member in svc.others(leader):
        member.machine.write(KEY, first.path(KEY).read_text(), 0o640)
        member.machine.run("chown", "root:ftl", KEY)
    at = cluster.note("rollout", "-")
    for mode in ("accept", "sign", "require"):
        for member in svc.members:
            member.configure({"key_file": KEY, "key_mode": mode})
            member.reload()
        key = None if mode == "accept" else "first"
        for member in svc.members:
            seen = partial(signs, member, key, len(svc.members) - 1)
            wait_until(seen, 20, f"{member} hears all sign with {key}", cluster.describe)
    assert svc.wait_settled() is leader
    assert [change for change in checker.changes(svc.records()) if change.at > at] == []
    assert leader.status()["keys"]["protected"] is True
    assert "step 3 of 3" in first.run("ftl-agent", "check", "svc")

    _as_a_credential(cluster, svc.others(leader)[0])
    _of_the_wrong_mode(cluster, svc.others(leader)[1])
    svc.check()


def _as_a_credential(cluster: Cluster, member: Member) -> None:
    """As the sample says it."""
    machine, svc = member.machine, cluster["svc"]
    machine.run("chown", "root:root", KEY)
    machine.run("chmod", "600", KEY)
    machine.write("/etc/systemd/system/ftl-agent@svc.service.d/key.conf", SAMPLE.read_text())
    machine.run("systemctl", "daemon-reload")
    warned = machine.run("ftl-agent", "check", "svc")
    assert "cannot be read by user ftl" in " ".join(warned.split())
    member.configure({"key_file": "${CREDENTIALS_DIRECTORY}/key"})
    sound = " ".join(machine.run("ftl-agent", "check", "svc").split())
    assert "which only the unit can read" in sound
    member.restart()
    svc.wait_settled()
    seen = partial(signs, member, "first", len(svc.members) - 1)
    wait_until(seen, 20, f"{member} has its key", cluster.describe)
    assert member.status()["keys"]["signs_with"] == "first"


def _of_the_wrong_mode(cluster: Cluster, member: Member) -> None:
    """A reload keeps the keys and says so; a start is refused, once."""
    machine = member.machine
    machine.run("chmod", "644", KEY)
    member.reload()
    said = "can be read by others (mode 0644), run chown root:ftl"
    wait_until(lambda: said in str(member.status().get("problems")), 10, "it says so")
    assert member.status()["keys"]["protected"] is True
    member.stop()
    machine.run("systemctl", "start", member.agent, check=False)
    wait_until(lambda: not member.is_active(member.agent), 10, "it has given up")
    assert machine.property(member.agent, "ExecMainStatus") == EXIT_CONFIGURATION
    assert said in machine.journal(20, member.agent)
    machine.run("chmod", "640", KEY)
    member.start()
    cluster["svc"].wait_settled()
