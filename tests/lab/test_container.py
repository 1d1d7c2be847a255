"""Where there is no systemd: process 1 of a container, and an ordinary user."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lab.group import Group
from lab.hosts import Host, agent_command
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

UID = 1000
# To itself another user, without a single right; to the kernel still the owner of the lab's files,
# so that an interpreter in a private home can be run.
UNPRIVILEGED = ("unshare", "--user", f"--map-user={UID}", f"--map-group={UID}")
# Everything is read-only but the lab's own directory.
CONTAINER = (
    'mount --bind "$1" "$1" && mount -t proc proc /proc'
    ' && mount -o remount,bind,ro / && shift && exec "$@"'
)


def contain(group: Group, host: Host) -> None:
    """Have the host's agent live in a container: its own processes, no rights, a read-only root."""
    host.inside = ["unshare", "--pid", "--fork", "--kill-child", "--mount"]
    host.inside += ["sh", "-c", CONTAINER, "sh", str(group.network.directory)]
    host.inside += [*UNPRIVILEGED, "setpriv", "--no-new-privs", "--"]


def first_process(host: Host) -> int:
    """The container's process 1, as it is known outside."""
    parent = host.agent_pid
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (child,) = map(int, children)
    assert "\t1\n" in status(child, "NSpid")
    return child


def status(pid: int, field: str) -> str:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(line for line in text.splitlines(keepends=True) if line.startswith(field))


def states(host: Host) -> set[str]:
    return {status(pid, "State").split()[1] for pid in host.network.pids(host.name)}


def test_agents_that_are_process_1_without_rights_nor_a_root_to_write_to(
    build: Callable[..., Group],
) -> None:
    addresses = [f"10.77.0.{number}" for number in (1, 2, 3)]
    static = {"discovery": ["static"], "peers": addresses}
    group = build(3, quorum=True, settings=static)
    group.network.block_multicast(True)
    for host in group.hosts:
        contain(group, host)
    group.start()
    first = group.wait_one_leader()
    group.wait_all_vote()
    assert first.problems() == ""
    assert "Z" not in states(first)

    group.log.note(first.name, "fault", "stop")
    os.kill(first_process(first), signal.SIGTERM)
    assert first.wait_stopped() == 0
    second = group.wait_one_leader()
    first.start()
    group.wait_one_leader(group.hosts)
    group.wait_all_vote()

    # Its guardian and its job die with process 1: nobody sends a last will.
    group.log.note(second.name, "fault", "power-off")
    os.kill(first_process(second), signal.SIGKILL)
    second.reap()
    assert group.wait_one_leader() is not second
    assert group.network.pids(second.name) == []
    group.check()


def test_process_1_leaves_alone_what_is_not_of_its_job(build: Callable[..., Group]) -> None:
    """Everybody's orphans come to process 1: those of its guardian alone are ended."""
    group = build(1, hook="escape", settings={"discovery": ["static"], "peers": ["10.77.0.1"]})
    (host,) = group.hosts
    contain(group, host)
    group.start()
    group.wait_one_leader()
    first = first_process(host)
    enter = ("nsenter", "-t", str(first), "-p", "-m", "-n")
    subprocess.run([*enter, "sh", "-c", "setsid sleep 987 &"], check=True, timeout=10)
    wait_until(lambda: len(running(host, "sleep")) == 1, 5, "a stranger runs")
    (stranger,) = running(host, "sleep")
    (job,) = wait_until(lambda: running(host, "stamp"), 5, "the job runs")
    assert f"PPid:\t{first}\n" == status(stranger, "PPid")
    time.sleep(1.5)  # longer than it takes to look around
    at = host.crash_guardian()
    group.wait_hook(host, "leader", "end", since=at)
    wait_until(lambda: running(host, "stamp") - {job}, 5, "the job runs again")
    assert job not in running(host, "stamp")
    assert running(host, "sleep") == {stranger}
    assert "Z" not in states(host)
    os.kill(stranger, signal.SIGKILL)
    wait_until(lambda: not Path(f"/proc/{stranger}").exists(), 5, "the stranger is collected")
    os.kill(first, signal.SIGTERM)
    assert host.wait_stopped() == 0
    group.check()


def running(host: Host, name: str) -> set[int]:
    """The host's processes of that program, but for those that are hooks."""
    lines = {pid: Path(f"/proc/{pid}/cmdline") for pid in host.network.pids(host.name)}
    texts = {pid: line.read_text().split("\0") for pid, line in lines.items() if line.exists()}
    return {pid for pid, words in texts.items() if words[0] == name and words[1] != "hook"}


def test_an_ordinary_user(build: Callable[..., Group], tmp_path: Path) -> None:
    (host,) = build(1).hosts
    home = host.network.directory / "home"
    runtime, state = home / "run", home / ".local/state"
    state.mkdir(parents=True)
    runtime.mkdir()
    config = home / "svc.yaml"
    config.write_text("discovery: [mdns]\n")
    command = [*host.network.enter(host.name), *UNPRIVILEGED, *agent_command()]
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime)}

    agent = subprocess.Popen([*command, "run", "-c", config], env=environment)
    try:
        role = runtime / "ftl/svc/role"
        wait_until(lambda: role.exists() and role.read_text() == "leader\n", 10, "it leads")
        assert (state / "ftl/svc/floor.json").exists()
        asked = [*command, "is-leader", "svc"]
        assert subprocess.run(asked, env=environment, timeout=10, check=False).returncode == 0
        agent.terminate()
        assert agent.wait(timeout=10) == 0
    finally:
        agent.kill()
        agent.wait()

    (runtime / "ftl/svc").rename(runtime / "elsewhere")
    (runtime / "ftl").chmod(0o555)
    refused = subprocess.run(
        [*command, "run", "-c", config], env=environment, timeout=10, check=False,
        capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == 78
    assert f"{runtime}/ftl/" in refused.stderr
    assert f"by uid {UID}: Permission denied; make it writable for this user" in refused.stderr
    assert "Traceback" not in refused.stderr
