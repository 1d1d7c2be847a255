"""The lab itself: its faults do what their names say, and nothing is left behind."""

from __future__ import annotations

import os
import socket
import struct
import subprocess
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path

import pytest

from lab.forwarder import Manner, forwarding
from lab.net import HOME, NETNS, PREFIX, Network, missing_prerequisites, run
from lab.sockets import socket_in
from lab.waiting import POLL, holds_for, wait_until

pytestmark = pytest.mark.lab

GROUP, PORT = "239.77.7.7", 5777


@pytest.fixture(name="network")
def fixture_network() -> Iterator[Network]:
    missing = missing_prerequisites()
    if missing:
        pytest.skip(missing)
    with Network(["h1", "h2", "h3"]) as network:
        yield network


class Ears:
    """A multicast socket on every host of a network; `reach` says who hears whom."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.sockets = {host: socket_on(network, host) for host in network.hosts}
        self._round = 0

    def __enter__(self) -> Ears:
        return self

    def __exit__(self, *_: object) -> None:
        for each in self.sockets.values():
            each.close()

    def require(self, expected: set[tuple[str, str]]) -> None:
        """Let every host speak once; exactly these (from, to) links carry it."""
        self._round += 1
        heard: set[tuple[str, str]] = set()
        for host, speaker in self.sockets.items():
            speaker.sendto(f"{self._round} {host}".encode(), (GROUP, PORT))

        def listen() -> bool:
            heard.update(self._hear())
            return heard >= expected

        wait_until(listen, 10, f"heard {expected}", lambda: f"heard {heard}")
        holds_for(lambda: listen() and heard == expected, 20 * POLL, f"no more than {expected}")

    def _hear(self) -> Iterator[tuple[str, str]]:
        for host, listener in self.sockets.items():
            for words in drain(listener):
                if words[0] == str(self._round):
                    yield words[1], host


def drain(listener: socket.socket) -> Iterator[list[str]]:
    while True:
        try:
            yield listener.recv(2048).decode().split()
        except BlockingIOError:
            return


def socket_on(network: Network, host: str) -> socket.socket:
    each = socket_in(network.netns(host))
    each.setblocking(False)
    each.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 0)
    each.bind(("", PORT))
    membership = struct.pack("4s4s", socket.inet_aton(GROUP), bytes(4))
    each.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    return each


def test_faults_cut_what_they_name(network: Network) -> None:
    every = set(permutations(network.hosts, 2))
    with Ears(network) as ears:
        ears.require(every)
        network.cut("h1")
        ears.require({("h2", "h3"), ("h3", "h2")})
        network.heal()
        ears.require(every)
        network.deafen("h2")
        ears.require({link for link in every if link[1] != "h2"})
        network.heal()
        network.mute("h2")
        ears.require({link for link in every if link[0] != "h2"})
        network.heal()
        network.block_multicast(True)
        ears.require(set())
        network.block_multicast(False)
        network.partition(["h1", "h2"], ["h3"])
        ears.require({("h1", "h2"), ("h2", "h1")})
        network.heal()
        network.partition(["h1"], ["h2"], ["h3"])
        ears.require(set())
        network.heal()
        ears.require(every)


def test_loss_is_a_share_of_the_packets(network: Network) -> None:
    with Ears(network) as ears:
        network.lose(30)
        arrived = 0
        for _ in range(1000):  # one at a time: a full receive buffer would be a loss of its own
            ears.sockets["h1"].sendto(b"x", (GROUP, PORT))
            arrived += len(list(drain(ears.sockets["h2"])))
    assert 500 < arrived < 900


def test_a_forwarder_by_hand_loses_nothing_doubles_and_reorders(network: Network) -> None:
    with Ears(network) as ears, forwarding(network, Manner(slow=0.2), seed=1):
        for number in range(200):
            ears.sockets["h1"].sendto(f"{number}".encode(), (GROUP, PORT))
        heard: list[int] = []

        def all_heard() -> bool:
            heard.extend(int(words[0]) for words in drain(ears.sockets["h2"]))
            return len(set(heard)) == 200

        wait_until(all_heard, 5, "every packet arrives", lambda: f"{len(heard)} heard")
        assert len(heard) > 210
        assert heard != sorted(heard)
        drained = list(drain(ears.sockets["h1"]))
        assert not drained  # nobody hears himself


def test_carrier_is_seen_by_the_host_alone(network: Network) -> None:
    assert _on(network, "h1", "cat", "/sys/class/net/eth0/carrier") == "1"
    network.set_carrier("h1", up=False)
    assert _on(network, "h1", "cat", "/sys/class/net/eth0/carrier") == "0"
    assert _on(network, "h2", "cat", "/sys/class/net/eth0/carrier") == "1"


def test_each_host_has_its_own_identity(network: Network) -> None:
    identities = {_on(network, host, "cat", "/etc/machine-id") for host in network.hosts}
    names = [_on(network, host, "uname", "-n") for host in network.hosts]
    assert len(identities) == 3
    assert Path("/etc/machine-id").read_text().strip() not in identities
    assert names == network.hosts


def test_nothing_is_left_behind() -> None:
    missing = missing_prerequisites()
    if missing:
        pytest.skip(missing)
    with Network(["h1"]) as network:
        prefix = network.prefix
        sleeper = subprocess.Popen([*network.enter("h1"), "sleep", "1000"])
        wait_until(lambda: sleeper.pid in network.pids("h1"), 5, "the process is on its host")
    assert sleeper.wait(5) < 0
    assert not list(NETNS.glob(f"{prefix}*"))
    assert not list(HOME.glob(f"{prefix}*"))


def test_what_a_killed_run_left_is_swept() -> None:
    missing = missing_prerequisites()
    if missing:
        pytest.skip(missing)
    died = subprocess.Popen(["true"])
    died.wait()
    leftover = f"{PREFIX}{died.pid}-0-h1"
    run("ip", "netns", "add", leftover)
    (HOME / f"{PREFIX}{died.pid}-0-x").mkdir()
    with Network(["h1"]) as network:
        assert network.prefix.startswith(f"{PREFIX}{os.getpid()}-")
        assert not (NETNS / leftover).exists()
        assert not (HOME / f"{PREFIX}{died.pid}-0-x").exists()


def _on(network: Network, host: str, *words: str) -> str:
    return run(*network.enter(host), *words).strip()
