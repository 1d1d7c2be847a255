"""The guardian as root's unit, on booted machines: whom it lets in, what it refuses to run, and
what becomes of a host whose guardian hangs. And units that an operator binds by a command.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator

import pytest

from lab.cluster import Cluster, Election, Plan
from lab.keeper import Keeper
from lab.members import Member
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

WATCHDOG = 6  # seconds, as ftl-guardian@.service says
PLAIN = """[Unit]
Description=Serves on every host, so far
[Service]
ExecStart=/bin/sleep infinity
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module", name="keeper")
def fixture_keeper() -> Iterator[Keeper]:
    with Keeper(lambda: Cluster([Plan("svc")], releases=("bookworm",) * 2)) as keeper:
        yield keeper


@pytest.fixture(name="svc")
def fixture_svc(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Election]:
    with keeper.lend(request) as cluster:
        cluster.rest()
        yield cluster["svc"]


def log_of(member: Member, unit: str) -> str:
    return member.machine.run("journalctl", "--no-pager", "-o", "cat", "-u", unit)


@pytest.mark.parametrize(
    ("harm", "place", "cure"),
    [
        ("chown ftl {hook}", "{hook}", "chown root:root {hook}"),
        ("chmod o+w {hook}", "{hook}", "chmod go-w {hook}"),
        ("chmod o+w /etc/ftl/svc", "/etc/ftl/svc", "chmod go-w /etc/ftl/svc"),
        ("cp -p {hook} /tmp/hook && ln -sf /tmp/hook {hook}", "/tmp", "chmod go-w /tmp"),
    ],
    ids=["owner", "writable", "directory", "link"],
)
def test_a_hook_that_others_can_change_is_refused(
    svc: Election, harm: str, place: str, cure: str
) -> None:
    """It counts as a failed hook: another host leads, and the log says how to mend it."""
    old = svc.wait_settled()
    hook = "/etc/ftl/svc/on_leader.sh"
    machine = old.machine
    machine.run("cp", "-a", "/etc/ftl", "/var/lib/kept")
    try:
        svc.lead(svc.others(old)[0])
        machine.run("sh", "-c", harm.format(hook=hook))
        old.ask("switchover", to=old.name)

        def told() -> bool:
            said = log_of(old, old.agent)
            wanted = place.format(hook=hook)
            return f"{wanted}: uid " in said and f"run {cure.format(hook=hook)}" in said

        wait_until(told, 20, "the refusal is told", svc.describe)
        assert svc.wait_settled(within=20) is not old
        checked = machine.run("ftl-agent", "check", "svc", check=False)
        assert "refused under systemd" in " ".join(checked.split())
    finally:
        machine.run("sh", "-c", "rm -rf /etc/ftl && mv /var/lib/kept /etc/ftl")
    old.restart()  # it sits out no longer
    svc.wait_settled()
    svc.check()


def test_a_hook_is_not_protected_from_the_lack_of_memory_as_its_guardian_is(svc: Election) -> None:
    (member,) = svc.others(svc.wait_settled())
    told = "/run/told"
    hook = member.machine.path("/etc/ftl/svc/on_leader.sh")
    kept = hook.read_text()
    script = f"#!/bin/sh\nsleep 0.2; cat /proc/self/oom_score_adj >{told}\n"
    hook.write_text(f"{script}{kept.partition(chr(10))[2]}")
    svc.lead(member)
    wait_until(lambda: member.machine.path(told).exists(), 10, "the hook has looked", svc.describe)
    assert member.machine.run("cat", told) == "0\n"
    assert member.machine.property(member.guardian, "OOMScoreAdjust") == "-900"
    hook.write_text(kept)
    svc.check()


def test_a_configuration_that_others_can_change_is_not_read(svc: Election) -> None:
    member = svc.others(svc.wait_settled())[0]
    member.machine.run("chmod", "o+w", member.config)
    try:
        member.restart()

        def told() -> bool:
            return f"{member.config} is not read: {member.config}: uid 0" in log_of(
                member, member.guardian
            )

        wait_until(told, 20, "the refusal is told", svc.describe)
        assert member.role != "leader"
    finally:
        member.machine.run("chmod", "o-w", member.config)
    svc.wait_settled()
    svc.check()


def test_only_the_agents_unit_comes_in(svc: Election) -> None:
    """Not another process of the same user: it is sent away, and the election goes on."""
    leader = svc.wait_settled()
    member = svc.others(leader)[0]
    stranger = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.settimeout(20); "
        "s.connect('/run/ftl-guardian/svc.sock'); print(s.recv(10))"
    )
    # While the agent is served a stranger waits; with the agent away the unit is started for it.
    member.stop()
    member.machine.run("systemctl", "start", "ftl-guardian@svc.socket")
    command = ["setpriv", "--reuid=ftl", "--regid=ftl", "--clear-groups", "python3", "-c", stranger]
    assert member.machine.run(*command) == "b''\n"
    wait_until(
        lambda: "only ftl-agent@svc.service may come in" in log_of(member, member.guardian),
        10,
        "the stranger is named",
    )
    refused = member.machine.code(
        "setpriv", "--reuid=nobody", "--clear-groups", "python3", "-c", stranger
    )
    assert refused == 1
    member.start()
    assert svc.wait_settled() is leader
    svc.check()


def test_a_guardian_that_hangs_is_replaced(svc: Election) -> None:
    """systemd kills it; the job that it guarded ends, and one host leads with a job again."""
    old = svc.wait_settled()
    guardian = old.pid(old.guardian)
    svc.log.note(old.name, "fault", "hang-guardian")
    old.machine.signal(guardian, signal.SIGSTOP)
    wait_until(
        lambda: old.machine.main_pid(old.guardian) not in (0, guardian),
        WATCHDOG + 15,
        "another guardian works",
        svc.describe,
    )
    svc.wait_settled()
    svc.check()


def test_a_stop_right_after_the_start_stays_a_stop(svc: Election) -> None:
    """The target, which is bound to the agent's unit, is started just when somebody stops that."""
    machine = svc.wait_settled().machine
    machine.write("/etc/ftl/other.yaml", "role_file: /run/ftl/other.role\n")
    try:
        for attempt in range(6):
            machine.run("systemctl", "start", "ftl-agent@other")  # it leads, being alone
            time.sleep(0.004 * attempt)
            assert machine.run("systemctl", "stop", "ftl-agent@other") == ""
            assert machine.property("ftl-agent@other", "ActiveState") == "inactive"
    finally:
        machine.run("systemctl", "stop", "ftl-agent@other", check=False)
        machine.run("rm", "/etc/ftl/other.yaml")
    svc.check()


def test_a_unit_is_bound_and_unbound(svc: Election) -> None:
    leader = svc.wait_settled()
    (follower,) = svc.others(leader)
    members = (leader, follower)
    for member in members:
        member.machine.write("/etc/systemd/system/plain.service", PLAIN)
        member.machine.run("systemctl", "daemon-reload")
        member.machine.run("systemctl", "enable", "--now", "plain.service")
        said = member.machine.run("ftl-agent", "bind", "svc", "plain")
        assert "plain.service follows the leader of svc" in said
        assert "is not started at boot any more" in said
    active = {member: member.is_active("plain.service") for member in members}
    assert active == {leader: leader.role == "leader", follower: False}

    warned = json.loads(leader.machine.run("ftl-agent", "check", "svc", "--json"))
    warnings = " ".join(warned["files"][0]["warnings"])
    assert "plain.service: may take" in warnings  # 90 s, and an open group's job has 2 s
    assert "ftl-agent bind" not in warnings

    svc.lead(follower)
    moved = {leader: False, follower: True}
    wait_until(
        lambda: {member: member.is_active("plain.service") for member in members} == moved,
        10,
        "it has moved",
        svc.describe,
    )
    for member in members:
        again = member.machine.run("ftl-agent", "bind", "svc", "plain.service")  # does no harm
        assert "follows" in again
        member.machine.run("ftl-agent", "unbind", "svc", "plain.service")
        assert member.machine.property("plain.service", "UnitFileState") == "enabled"
        assert member.machine.property("plain.service", "BindsTo") == ""
        assert member.machine.code("ftl-agent", "unbind", "svc", "plain.service") == 2
        assert member.machine.code("ftl-agent", "bind", "svc", "nosuch.service") == 2
        assert member.machine.code("ftl-agent", "bind", "svc", "ftl-agent@svc.service") == 2
        member.machine.run("systemctl", "disable", "--now", "plain.service")
    svc.check()


def test_check_names_units_that_do_not_follow_rightly(svc: Election) -> None:
    machine = svc.members[0].machine
    target = "ftl-leader@svc.target"
    machine.write(
        "/etc/systemd/system/loose.service",
        f"[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy={target}\n",
    )
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "enable", "loose.service")
    try:
        said = " ".join(machine.run("ftl-agent", "check", "svc").split())
        assert "loose.service: runs on when this host no longer leads (no BindsTo=)" in said
        assert "loose.service: its end is not waited for (no After=)" in said
        assert "run ftl-agent bind svc loose.service" in said
    finally:
        machine.run("systemctl", "disable", "--now", "loose.service")
