"""The hook samples, run as they lie in etc/ftl/svc: alone on a host, and by real agents.

Their settings come from the environment here; whoever uses them writes them into the file.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import yaml

from lab.group import Group
from lab.hosts import Host
from lab.net import Network, missing_prerequisites
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

SAMPLES = Path(__file__).parents[2] / "etc" / "ftl" / "svc"
ADDRESSES = ("10.77.0.100/32", "fd77::100/128")
# Whoever sends something to an address has asked where it is.
ASK = "from socket import *; socket({family}, SOCK_DGRAM).sendto(b'', ('{address}', 9))"


@pytest.fixture(name="network")
def fixture_network() -> Iterator[Network]:
    if missing := missing_prerequisites():
        pytest.skip(missing)
    with Network(["h1", "h2", "h3"], ipv6=True) as network:
        yield network


class Sample:
    """One sample on one host; what it leaves running is ended as the guardian would."""

    def __init__(self, network: Network, host: str, name: str, **settings: object) -> None:
        self._command = [*network.enter(host), "sh", str(SAMPLES / name)]
        self._environment = {**os.environ, **{key: str(value) for key, value in settings.items()}}
        self._sessions: list[int] = []
        self.output = network.directory / f"{host}-{name}.log"

    def code(self, event: str) -> int:
        """Run it for that event; its exit code."""
        with self.output.open("ab") as output:
            hook = subprocess.Popen(
                [*self._command, event, "svc", event, "7"],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.append(hook.pid)
        return hook.wait(20)

    def run(self, event: str) -> None:
        assert self.code(event) == 0, self.output.read_text()

    def end_job(self) -> None:
        """SIGKILL, as a job that is late gets it: nothing of it may clean up."""
        for session in self._sessions:
            with suppress(ProcessLookupError):
                os.killpg(session, signal.SIGKILL)
        self._sessions.clear()


def on(network: Network, host: str, *words: str) -> str:
    """What a command prints on a host, or says of itself as it fails."""
    argv = [*network.enter(host), *words]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=20)
    return done.stdout + done.stderr


def has(network: Network, host: str, address: str) -> bool:
    shown = on(network, host, "ip", "-oneline", "address", "show", "dev", "eth0")
    return f" {address} " in shown


class Floating:
    """One floating address, and the sample for it on each of two hosts."""

    def __init__(self, network: Network, address: str) -> None:
        self.network = network
        self.address = address
        self.bare = address.partition("/")[0]
        settings = {"FLOATING_ADDRESS": address, "FLOATING_INTERFACE": "eth0"}
        name = "floating-address.sh.sample"
        self.first, self.second = (Sample(network, h, name, **settings) for h in ("h1", "h2"))

    def has(self, host: str) -> bool:
        return has(self.network, host, self.address)

    def wait(self, host: str, what: str) -> None:
        wait_until(lambda: self.has(host), 5, what, self.first.output.read_text)

    def ask(self) -> None:
        """h3 learns where the address is."""
        family = "AF_INET" if "." in self.bare else "AF_INET6"
        question = ASK.format(family=family, address=self.bare)
        assert on(self.network, "h3", sys.executable, "-c", question) == ""

    def wait_silent(self) -> None:
        """Wait until h1 no longer repeats what it has announced."""

        def is_silent() -> bool:
            return not any(b"\0-I\0-\0" in _words_of(pid) for pid in self.network.pids("h1"))

        wait_until(is_silent, 10, "h1 has announced its address")

    def is_known_at(self, host: str) -> bool:
        """Does h3, without asking, take the address for that host's?"""
        mac = on(self.network, host, "cat", "/sys/class/net/eth0/address").strip()
        return mac in on(self.network, "h3", "ip", "neighbour", "show", self.bare)


@pytest.fixture(name="floating", params=ADDRESSES)
def fixture_floating(network: Network, request: pytest.FixtureRequest) -> Iterator[Floating]:
    floating = Floating(network, request.param)
    try:
        yield floating
    finally:
        floating.first.end_job()
        floating.second.end_job()


def test_a_floating_address_moves_and_the_neighbours_are_told(floating: Floating) -> None:
    floating.first.run("follower")  # before any on_leader, as at the start
    floating.first.run("leader")
    floating.first.run("leader")  # once more does no harm
    assert floating.has("h1")
    floating.ask()
    wait_until(lambda: floating.is_known_at("h1"), 5, "h3 knows the address at h1")

    floating.first.end_job()
    floating.first.run("follower")
    floating.first.run("follower")
    assert not floating.has("h1")
    floating.second.run("leader")
    assert floating.has("h2")
    wait_until(lambda: floating.is_known_at("h2"), 5, "h3 is told that it is at h2")
    assert floating.network.address("h1") in on(floating.network, "h1", "ip", "address")


def test_a_floating_address_survives_a_restart_of_the_network(floating: Floating) -> None:
    network, own = floating.network, f"{floating.network.address('h1')}/24"
    floating.first.run("leader")

    on(network, "h1", "ip", "address", "del", floating.address, "dev", "eth0")
    floating.wait("h1", "removed by somebody, it is back")
    on(network, "h1", "ip", "address", "flush", "dev", "eth0")
    floating.wait("h1", "flushed, it is back")
    on(network, "h1", "ip", "address", "add", own, "dev", "eth0")
    network.set_link("h1", up=False)
    network.set_link("h1", up=True)
    floating.wait("h1", "the interface was down, it is back")
    holds_for(lambda: floating.has("h1"), 0.5, "it stays")
    floating.ask()
    wait_until(lambda: floating.is_known_at("h1"), 5, "it is spoken for")

    floating.first.end_job()
    floating.first.run("follower")
    assert not floating.has("h1")
    assert has(network, "h1", own), "the host's own address must not go with it"


def test_neighbours_are_told_when_the_cable_is_back(floating: Floating) -> None:
    floating.first.run("leader")
    floating.ask()
    wait_until(lambda: floating.is_known_at("h1"), 5, "h3 knows the address at h1")
    floating.wait_silent()
    floating.network.set_carrier("h1", up=False)
    other = "02:00:0a:4d:00:aa"
    words = ("replace", floating.bare, "lladdr", other, "dev", "eth0", "nud", "stale")
    on(floating.network, "h3", "ip", "neighbour", *words)
    floating.wait_silent()
    assert not floating.is_known_at("h1")
    floating.network.set_carrier("h1", up=True)
    wait_until(lambda: floating.is_known_at("h1"), 8, "h3 is told again")


def test_a_floating_address_that_cannot_be_had_is_told(network: Network) -> None:
    """on_leader fails, so that another host takes over; on_follower has nothing to do."""
    settings = {"FLOATING_ADDRESS": ADDRESSES[0], "FLOATING_INTERFACE": "eth9"}
    sample = Sample(network, "h1", "floating-address.sh.sample", **settings)
    assert sample.code("leader") != 0
    sample.run("follower")


@pytest.mark.parametrize("address", ADDRESSES)
def test_real_agents_have_it_on_the_leader_alone(build: Callable[..., Group], address: str) -> None:
    group: Group = build(2, ipv6=True, hook="ok")
    for host in group.hosts:
        add_hook(host, use(host, "floating-address.sh.sample", address=address, interface="eth0"))
    group.start()

    def holders() -> list[str]:
        return [host.name for host in group.hosts if has(group.network, host.name, address)]

    old = group.wait_one_leader()
    wait_until(lambda: holders() == [old.name], 5, "the leader has the address", group.describe)
    group.network.set_link(old.name, up=True)  # says nothing new, and changes nothing
    on(group.network, old.name, "ip", "address", "del", address, "dev", "eth0")
    wait_until(lambda: holders() == [old.name], 5, "it is back", group.describe)

    (other,) = (host for host in group.hosts if host is not old)
    old.crash()
    assert group.wait_one_leader([other]) is other
    wait_until(lambda: holders() == [other.name], 5, "it has moved", group.describe)
    holds_for(lambda: holders() == [other.name], 1, "nobody takes it back")
    other.stop()
    assert other.wait_stopped() == 0
    assert holders() == []
    group.check()


def use(host: Host, name: str, **settings: str) -> str:
    """Do what the head of a sample says: copy it, make it executable, set the values in it."""
    text = (SAMPLES / name).read_text()
    for key, value in settings.items():
        (line,) = (line for line in text.splitlines() if line.startswith(f"{key}="))
        text = text.replace(f"\n{line}\n", f"\n{key}={value}\n")
    path = host.directory / name.removesuffix(".sample")
    path.write_text(text)
    path.chmod(0o755)
    return str(path)


def add_hook(host: Host, program: str) -> None:
    """Have the agent run it after the hook that stamps, for both roles."""
    document = yaml.safe_load(host.config.read_text())
    for event in ("on_leader", "on_follower"):
        document["hooks"][event] = [document["hooks"][event], [program]]
    host.config.write_text(yaml.safe_dump(document))


# -- the others


def in_one_mount_namespace(network: Network, script: str) -> subprocess.CompletedProcess[str]:
    """Run a script on a host: mounts are gone with it."""
    argv = [*network.enter("h1"), "sh", "-euc", script]
    return subprocess.run(argv, capture_output=True, text=True, timeout=30)


def test_a_mount(network: Network) -> None:
    where, what = network.directory / "where", network.directory / "what"
    what.mkdir()
    (what / "file").write_text("here")
    script = f"""
        export MOUNT_WHAT={what} MOUNT_WHERE={where} MOUNT_OPTIONS=bind
        hook="sh {SAMPLES / "mount.sh.sample"}"
        $hook follower; $hook leader; $hook leader
        cat {where}/file; grep -c " {where} " /proc/mounts
        $hook follower; $hook follower; test ! -e {where}/file
    """
    done = in_one_mount_namespace(network, script)
    assert (done.returncode, done.stdout) == (0, "here1\n"), done.stderr


@pytest.mark.skipif(not Path("/usr/bin/fuser").exists(), reason="apt-get install psmisc")
def test_a_mount_that_is_in_use_is_freed_and_nobody_else_dies(network: Network) -> None:
    where = network.directory / "where"
    script = f"""
        export MOUNT_WHERE={where}
        mkdir {where}; mount -t tmpfs tmpfs {where}
        sleep 60 <{SAMPLES / "mount.sh.sample"} & bystander=$!
        cd {where}; (echo >busy; exec sleep 60 <busy) & user=$!; cd /
        until [ -e {where}/busy ]; do sleep 0.05; done
        sh {SAMPLES / "mount.sh.sample"} follower
        ! grep -q " {where} " /proc/mounts
        ! wait $user; kill $bystander; echo freed
    """
    done = in_one_mount_namespace(network, script)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("freed\n"), done.stdout + done.stderr


def test_a_notification_never_fails(network: Network) -> None:
    nowhere = {"NOTIFY_URL": "http://127.0.0.1:9/", "NOTIFY_MAIL": "root"}
    facts = {"FTL_NODE": "h1", "FTL_SERVICE": "web", "FTL_TERM": "7", "FTL_REASON": "elected"}
    sample = Sample(network, "h1", "notify.sh.sample", **facts, **nowhere)
    sample.run("leader")
    assert "h1: leader of web, term 7: elected\n" in sample.output.read_text()
    Sample(network, "h1", "notify.sh.sample").run("error")  # without any facts at all


@pytest.mark.parametrize(("event", "verb"), [("leader", "start"), ("follower", "stop")])
def test_a_unit_is_asked_for_once(network: Network, event: str, verb: str) -> None:
    """What systemd does with it is tried on booted hosts; its answer must not be lost."""
    folder = network.directory / "bin"
    folder.mkdir()
    (folder / "systemctl").write_text('#!/bin/sh\necho "asked: $*"\nexit 5\n')
    (folder / "systemctl").chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    sample = Sample(network, "h1", "unit.sh.sample", PATH=path, UNIT="my.service")
    assert sample.code(event) == 5
    assert sample.output.read_text() == f"asked: {verb} my.service\n"


def _words_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""
