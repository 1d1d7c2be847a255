"""A further host that floods the others: valid-looking datagrams, greetings, PINGs, mDNS members.

    flooder = Flooder(group)                  # before the group's agents start
    with flooder.flood("hello", leader, rate=2000, seconds=6) as flood: …

Promise: a flood ends by itself after its seconds, whatever becomes of this process, and says how
many datagrams it was. See `flooder.c`.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from followtheleader.core.messages import Header, Heartbeat, Hello, Message
from followtheleader.core.types import MS, Owner
from followtheleader.wire import Codec, KeyRing
from lab import mdns_words
from lab.group import Group
from lab.hosts import Host
from lab.net import run

SOURCE = Path(__file__).with_name("flooder.c")
POOL = 3000
"""So many different datagrams: more members than an agent knows."""
MDNS = "224.0.0.251", 5353
"""Where members announce themselves."""


def hellos(service: str, ring: KeyRing | None = None) -> list[bytes]:
    """Greetings of so many nodes that nobody has ever heard of."""
    return [_datagram(service, number, _hello(number), ring) for number in range(1, POOL + 1)]


def heartbeats(service: str, ring: KeyRing | None = None) -> list[bytes]:
    """Each of another node, which leads."""
    return [_datagram(service, number, _heartbeat(), ring) for number in range(1, POOL + 1)]


def noise() -> list[bytes]:
    """What no agent sends: of every length, all zeros, random."""
    rng = random.Random(1)
    return [bytes(64), *(rng.randbytes(rng.randrange(1, 200)) for _ in range(POOL))]


def members(service: str, first: str = "10.77.1.0") -> list[bytes]:
    """MDNS announcements, each of another member, at another address."""
    start = int.from_bytes(map(int, first.split(".")), "big")
    return [_announcement(service, n, (start + n).to_bytes(4, "big")) for n in range(POOL)]


@dataclass
class Flood:
    """One that goes on, or has ended."""

    process: subprocess.Popen[str]
    sent: int = 0

    def wait(self) -> int:
        """Wait for its end; return how many datagrams it has sent."""
        out, _ = self.process.communicate(timeout=70)
        assert self.process.returncode == 0
        self.sent = int(out)
        return self.sent


class Flooder:
    """The host ``name``, of the group's network and in no group."""

    def __init__(self, group: Group, name: str) -> None:
        self._group = group
        self.name = name
        directory = group.network.directory
        self._directory = directory
        self._program = directory / "flooder"
        flags = ("-O2", "-Wall", "-Wextra", "-Werror")
        subprocess.run(["gcc", *flags, "-o", self._program, SOURCE], check=True)

    @contextlib.contextmanager
    def flood(
        self,
        datagrams: list[bytes],
        target: Host | None,
        rate: int,
        seconds: float,
        *,
        port: int = 9001,
        from_port: int = 0,
        sources: tuple[str, int] | None = None,
    ) -> Iterator[Flood]:
        """Send them to ``target`` (None: as mDNS to all), and wait for the end of it.

        ``sources``: made-up senders, from which address on and how many.
        """
        pool = self._directory / "pool"
        pool.write_bytes(b"".join(len(d).to_bytes(2, "big") + d for d in datagrams))
        to, port = MDNS if target is None else (self._group.network.address(target.name), port)
        from_port = MDNS[1] if target is None else from_port
        spoofed = [sources[0], str(sources[1])] if sources else []
        argv = [str(self._program), str(pool), to, str(port), str(rate), str(seconds)]
        argv += [str(from_port), *spoofed]
        place = self._group.network.enter(self.name)
        process = subprocess.Popen([*place, *argv], stdout=subprocess.PIPE, text=True)
        flood = Flood(process)
        try:
            yield flood
            flood.wait()
        finally:
            process.kill()
            process.wait()

    def join(self, target: Host, rate: int, seconds: float, kind: str) -> int:
        """Become so many members a second (see `joiner.py`); return how many it has tried to be."""
        address = self._group.network.address(target.name)
        words = [self._group.service, address, "9001", str(rate), str(seconds), kind]
        tests = f"PYTHONPATH={SOURCE.parent.parent}"
        place = [*self._group.network.enter(self.name), "env", tests]
        return int(run(*place, sys.executable, "-P", "-m", "lab.joiner", *words))


def _datagram(service: str, number: int, message: Message, ring: KeyRing | None) -> bytes:
    codec = Codec(service, number, ring) if ring else Codec(service, number)
    header = Header(Owner(number, 1), 1, 0, 100, 1)
    return codec.encode(header, message)


def _hello(number: int) -> Hello:
    return Hello(
        ack=False,
        nonce=number,
        echo=0,
        seen=0,
        name=f"n{number}",
        quorum=False,
        voters_digest=0,
        timing_digest=0,
        witness=False,
        versions=(1, 1),
        pause=None,
        members=(),
    )


def _heartbeat() -> Heartbeat:
    return Heartbeat(7, 1, 7, 9, True, 250 * MS, 800 * MS, 0)


def _announcement(service: str, number: int, address: bytes) -> bytes:
    """One member, as zeroconf announces it."""
    words = [f"service={service}", f"node=fake{number}", f"id={number:016x}", "version=1"]
    return mdns_words.announcement(
        f"fake-{number:016x}",
        f"ftl-{number:016x}.local.",
        address,
        mdns_words.texts(*(word.encode() for word in words)),
        ttl=4500,
    )
