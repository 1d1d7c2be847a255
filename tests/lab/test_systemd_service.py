"""What an administrator meets on booted machines: several instances, faults, units that follow.

An open group (svc) and a quorum group (db, the primary one) on the same machines.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from lab import checker
from lab.cluster import Cluster, Election, Plan
from lab.keeper import Keeper
from lab.machines import Machine
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

PLANS = (Plan("svc"), Plan("db", quorum=True, settings={"primary": True}))
UNIT = """[Service]
{more}ExecStart=/lab/stamp job {log} {host} /run/ftl/svc/state.json ok
"""
FENCE = "/usr/bin/ftl-agent fence --token-file /lab/fence.token --wait 500ms svc --"
FENCED = f"""[Service]
Type=%s
ExecStart={FENCE} %s
"""
EXIT_CONFIGURATION = 78


@pytest.fixture(scope="module", name="keeper")
def fixture_keeper() -> Iterator[Keeper]:
    with Keeper(lambda: Cluster(PLANS)) as keeper:
        yield keeper


@pytest.fixture(name="cluster")
def fixture_cluster(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with keeper.lend(request) as cluster:
        cluster.rest()
        yield cluster


def listing(machine: Machine, directory: str) -> str:
    """Every file there with its owner, mode and inode, but for what is written anew at any time."""
    words = ("find", directory, "-not", "-name", "*.json", "-printf", "%p %u %m %i\\n")
    return machine.run(*words)


def test_one_instance_stops_and_the_other_does_not_notice(cluster: Cluster) -> None:
    svc, db = cluster["svc"], cluster["db"]
    old, other = svc.members[0], db.members[0]
    assert old.machine.run("readlink", "-f", "/run/ftl/role") == "/run/ftl/db/role\n"
    before = listing(old.machine, "/run/ftl/db"), listing(old.machine, "/var/lib/ftl/db")
    at = old.stop()
    svc.wait_settled(svc.others(old))
    assert not old.machine.path("/run/ftl/svc").exists()
    assert old.machine.run("cat", "/run/ftl/role") == "leader\n"
    holds_for(lambda: other.role == "leader", 1, f"{other} leads")
    assert (listing(old.machine, "/run/ftl/db"), listing(old.machine, "/var/lib/ftl/db")) == before
    assert [change for change in checker.changes(db.records()) if change.at > at] == []
    old.start()
    svc.wait_settled()
    assert old.machine.failed_units() == []
    cluster.of_each(Election.check)


def test_a_stray_sigterm_does_not_strand_a_node(cluster: Cluster) -> None:
    svc = cluster["svc"]
    old = svc.members[0]
    before = old.pid(old.agent)
    svc.log.note(old.name, "fault", "sigterm")
    old.machine.signal(before, signal.SIGTERM)
    svc.wait_settled(svc.others(old))
    what = f"another agent works on {old.name}"
    wait_until(lambda: old.machine.main_pid(old.agent) not in (0, before), 15, what, svc.describe)
    svc.wait_settled()
    assert old.machine.failed_units() == []
    cluster.of_each(Election.check)


@pytest.mark.parametrize("text", ["pirority: 7\n", None], ids=["mistyped", "missing"])
def test_a_faulty_configuration_is_told_and_not_tried_again(
    cluster: Cluster, text: str | None
) -> None:
    svc = cluster["svc"]
    old = svc.members[0]
    if text is None:
        old.machine.path(old.config).unlink()
    else:
        old.machine.write(old.config, text)
    cluster.note("misconfigured", old.name)
    old.machine.run("systemctl", "restart", old.agent, check=False)
    svc.wait_settled(svc.others(old))
    assert old.machine.property(old.agent, "ExecMainStatus") == str(EXIT_CONFIGURATION)
    status = old.machine.run("systemctl", "status", old.agent, check=False)
    assert old.config in status
    assert "Traceback" not in status
    # Longer than RestartSec=: nobody tries again.
    stays = lambda: old.machine.property(old.agent, "ActiveState") == "failed"  # noqa: E731
    holds_for(stays, 2, f"{old.agent} stays failed")
    assert old.machine.property(old.agent, "NRestarts") == "0"
    old.configure({})
    old.start()
    svc.wait_settled()
    assert old.machine.failed_units() == []
    cluster.of_each(Election.check)


def test_a_timer_s_service_runs_on_the_leader_only(cluster: Cluster) -> None:
    svc = cluster["svc"]
    condition = "ExecCondition=/usr/bin/ftl-agent is-leader -q svc\n"
    ran = []
    for member in svc.members:
        unit = UNIT.format(more=condition, log="/lab/timer.log", host=member.name)
        member.machine.write("/etc/systemd/system/nightly.service", unit)
        member.machine.run("systemctl", "daemon-reload")
        member.machine.run("systemctl", "start", "nightly.service", check=False)
        if member.is_active("nightly.service"):
            ran.append(member.name)
            member.machine.run("systemctl", "stop", "nightly.service")
        assert member.machine.failed_units() == []
    assert ran == ["h1"]


def test_a_fenced_service_is_what_its_command_is(cluster: Cluster) -> None:
    """The keeper of its lock neither delays its end nor outlives it, and systemd says no word."""
    leader = cluster["svc"].members[0]
    machine = leader.machine
    for kind, command in (("exec", "sleep 1000"), ("oneshot", "true")):
        machine.write(f"/etc/systemd/system/{kind}.service", FENCED % (kind, command))
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "exec.service")
    pid = machine.property("exec.service", "MainPID")
    what = "the main process is the command"
    wait_until(lambda: machine.run("cat", f"/proc/{pid}/comm") == "sleep\n", 15, what)
    second = machine.run("sh", "-c", f"{FENCE} echo ran; echo $?", check=False)
    assert second.endswith("4\n")
    machine.run("systemctl", "stop", "exec.service")
    machine.run("systemctl", "start", "oneshot.service")
    for kind in ("exec", "oneshot"):
        assert machine.property(f"{kind}.service", "Result") == "success"
        assert machine.property(f"{kind}.service", "ActiveState") == "inactive"
        said = machine.run("journalctl", "-b", "-o", "cat", "-u", f"{kind}.service")
        assert "remains running" not in said
        assert "Killing" not in said
    assert machine.failed_units() == []
