"""A switch that delays, doubles and reorders: real frames, through a process at its ports.

    with forwarding(network, Manner(doubled=0.2), seed=7):
        ...

Promise: each frame goes where a switch would send it, as often and as late as the `Manner` says;
nothing is lost and nothing else is changed. A seed gives the same dice, the traffic differs.

Run as a program (in the switch's namespace) it is the forwarder itself: one AF_PACKET socket for
each port, a heap of frames with their due times. The kernel's own forwarding is off meanwhile.
"""

from __future__ import annotations

import contextlib
import dataclasses
import heapq
import itertools
import json
import random
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.net import Network

ETH_P_ALL = 0x0003
SOL_PACKET = 263
# Checksums are left to the "hardware" on a veth: what the kernel says of them goes along.
PACKET_VNET_HDR = 15
VNET_HDR = 10
LARGEST = 65536


@dataclass(frozen=True, slots=True)
class Manner:
    """Seconds and shares (0-1). Each copy of a frame takes ``least`` to ``most``; a share ``slow``
    of them up to ``slowest``, overtaken by what comes later; a share ``doubled`` goes twice."""

    least: float = 0.005
    most: float = 0.030
    slow: float = 0.1
    slowest: float = 0.3
    doubled: float = 0.2

    def delays(self, dice: random.Random) -> list[float]:
        """How late each copy of one frame arrives."""
        copies = 2 if dice.random() < self.doubled else 1
        return [self._delay(dice) for _ in range(copies)]

    def _delay(self, dice: random.Random) -> float:
        most = self.slowest if dice.random() < self.slow else self.most
        return dice.uniform(self.least, most)


@contextlib.contextmanager
def forwarding(network: Network, manner: Manner, seed: int) -> Iterator[None]:
    """Forward all frames between the first ports of the hosts by hand, in that manner."""
    words = json.dumps({**dataclasses.asdict(manner), "seed": seed, "ports": network.hosts})
    forwarder = subprocess.Popen(
        ["nsenter", f"--net=/run/netns/{network.switch}", sys.executable, "-I", __file__, words],
        stdout=subprocess.PIPE,
    )
    assert forwarder.stdout is not None
    try:
        assert forwarder.stdout.readline() == b"ready\n"
        network.forward_by_hand(True)
        yield
        assert forwarder.poll() is None, "the forwarder has ended"
    finally:
        network.forward_by_hand(False)
        forwarder.kill()
        forwarder.wait()
        forwarder.stdout.close()


class Forwarder:
    """The ports of a switch, and what is under way between them."""

    def __init__(self, ports: Sequence[str], manner: Manner, dice: random.Random) -> None:
        self._ports = [_port(name) for name in ports]
        self._manner = manner
        self._dice = dice
        self._where: dict[bytes, socket.socket] = {}
        self._under_way: list[tuple[float, int, bytes, socket.socket]] = []
        self._serial = itertools.count()

    def run(self) -> None:
        """Forward for ever."""
        while True:
            due = self._under_way[0][0] - time.monotonic() if self._under_way else None
            patience = None if due is None else max(due, 0)
            for port in select.select(self._ports, [], [], patience)[0]:
                self._take(port)
            while self._under_way and self._under_way[0][0] <= time.monotonic():
                _, _, data, port = heapq.heappop(self._under_way)
                with contextlib.suppress(OSError):  # a carrier that is down
                    port.send(data)

    def _take(self, port: socket.socket) -> None:
        try:
            data, address = port.recvfrom(LARGEST)
        except OSError:
            return
        if address[2] == socket.PACKET_OUTGOING:
            return
        to, sender = data[VNET_HDR : VNET_HDR + 6], data[VNET_HDR + 6 : VNET_HDR + 12]
        self._where[sender] = port
        known = None if to[0] & 1 else self._where.get(to)
        for each in [known] if known else self._ports:
            if each is not port:
                for delay in self._manner.delays(self._dice):
                    item = (time.monotonic() + delay, next(self._serial), data, each)
                    heapq.heappush(self._under_way, item)


def _port(name: str) -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    made.setblocking(False)
    made.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    made.bind((name, ETH_P_ALL))
    return made


def _main(words: str) -> None:
    told = json.loads(words)
    seed, ports = told.pop("seed"), told.pop("ports")
    forwarder = Forwarder(ports, Manner(**told), random.Random(seed))
    print("ready", flush=True)
    forwarder.run()


if __name__ == "__main__":
    _main(sys.argv[1])
