"""The hook samples, run as they lie in etc/ftl/svc, on hosts of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.net import Network, missing_prerequisites
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

SAMPLES = Path(__file__).parents[2] / "etc" / "ftl" / "svc"


@pytest.fixture
def network() -> Iterator[Network]:
    missing = missing_prerequisites()
    if missing:
        pytest.skip(missing)
    with Network(["h1", "h2", "h3"], ipv6=True) as network:
        yield network


# Whoever speaks to an address asks where it is; from then on it believes what it is told.
SPEAK = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (sys.argv[1], 9))
"""


class Hooks:
    """One sample on one host; what it leaves running is ended as the guardian would."""

    def __init__(self, network: Network, host: str, sample: str, **environment: str) -> None:
        self._command = [*network.enter(host), "sh", str(SAMPLES / sample)]
        self._environment = {**os.environ, **environment}
        self._sessions: list[int] = []

    def run(self, event: str) -> None:
        hook = subprocess.Popen(
            [*self._command, event, "svc", event, "7"],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._sessions.append(hook.pid)
        assert hook.wait(20) == 0

    def end_job(self) -> None:
        for session in self._sessions:
            try:
                os.killpg(session, signal.SIGTERM)
            except ProcessLookupError:
                continue
        self._sessions.clear()


def on(network: Network, host: str, *words: str) -> str:
    argv = [*network.enter(host), *words]
    return subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False).stdout


@pytest.mark.parametrize(
    ("floating", "address"), [("10.77.0.100/24", "10.77.0.100"), ("fd77::100/64", "fd77::100")]
)
def test_a_floating_address(network: Network, floating: str, address: str) -> None:
    settings = {"FLOATING_ADDRESS": floating, "FLOATING_INTERFACE": "eth0"}
    first, second = (
        Hooks(network, host, "floating-address.sh.sample", **settings) for host in ("h1", "h2")
    )

    def has_it(host: str) -> bool:
        return address in on(network, host, "ip", "-o", "address", "show", "dev", "eth0")

    def is_known_at(host: str) -> bool:
        """Does h3 believe that the address is at ``host``?"""
        return mac_of(host) in on(network, "h3", "ip", "neigh", "show", address)

    def mac_of(host: str) -> str:
        return on(network, host, "cat", "/sys/class/net/eth0/address").strip()

    try:
        first.run("leader")
        first.run("leader")  # once more does no harm
        assert has_it("h1")
        on(network, "h3", sys.executable, "-c", SPEAK, address)
        wait_until(lambda: is_known_at("h1"), 10, "h3 has spoken to the address")

        # The network is restarted under the leader.
        on(network, "h1", "ip", "address", "del", floating, "dev", "eth0")
        assert not has_it("h1")
        wait_until(lambda: has_it("h1"), 10, "the address is taken again")

        first.end_job()
        first.run("follower")
        first.run("follower")
        assert not has_it("h1")
        second.run("leader")
        assert has_it("h2")
        wait_until(lambda: is_known_at("h2"), 10, "h3 is told where the address is now")
    finally:
        first.end_job()
        second.end_job()


def test_a_mount(network: Network, tmp_path: Path) -> None:
    what, where = tmp_path / "what", tmp_path / "where"
    what.mkdir()
    where.mkdir()
    (what / "file").write_text("here")
    script = (
        f"set -e; export MOUNT_WHAT={what} MOUNT_WHERE={where} MOUNT_OPTIONS=bind; "
        f"hook='sh {SAMPLES / 'mount.sh.sample'}'; "
        f"$hook follower; $hook leader; $hook leader; cat {where}/file; "
        f"$hook follower; $hook follower; test ! -e {where}/file"
    )
    argv = [*network.enter("h1"), "sh", "-c", script]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "here"), done.stderr


def test_a_notification_never_fails(network: Network) -> None:
    facts = {"FTL_NODE": "h1", "FTL_EVENT": "leader", "FTL_SERVICE": "svc"}
    Hooks(network, "h1", "notify.sh.sample", **facts).run("leader")
