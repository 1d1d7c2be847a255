"""What reaches zeroconf: what may be about us, of a source so much, of all so much."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from followtheleader.net import mdns_sieve
from followtheleader.net.mdns_sieve import MdnsSieve

OURS = b"\0\0\x84\0\0\0\0\1\0\0\0\0\x09_FTL-node\x04_udp\x05local\0"


class Clock:
    """Seconds, as they are set."""

    now = 5.0

    def __call__(self) -> float:
        return self.now


def test_only_what_may_be_about_us() -> None:
    sieve = MdnsSieve(lambda: None, Clock())
    assert sieve.admits(OURS, "10.0.0.1")
    assert sieve.admits(b"\x09_services\x07_dns-sd", "10.0.0.1")
    assert not sieve.admits(b"\x05_ipps\x04_tcp", "10.0.0.1")
    assert not sieve.admits(OURS + bytes(9000), "10.0.0.1")


def test_a_source_has_a_bound_and_others_are_heard_beside_it() -> None:
    clock = Clock()
    sieve = MdnsSieve(lambda: None, clock)
    assert sum(sieve.admits(OURS, "10.0.0.1") for _ in range(1000)) == mdns_sieve.OF_A_HOST
    assert sieve.admits(OURS, "10.0.0.2")
    clock.now += 1
    assert sieve.admits(OURS, "10.0.0.1")


def test_all_have_a_bound_in_number_and_in_bytes() -> None:
    sieve = MdnsSieve(lambda: None, Clock())
    hosts = [f"10.0.{n >> 8}.{n & 255}" for n in range(1000)]
    assert sum(sieve.admits(OURS, host) for host in hosts) == mdns_sieve.OF_ALL
    assert len(sieve._hosts) <= 256
    other = MdnsSieve(lambda: None, Clock())
    large = OURS + bytes(8000)
    admitted = sum(other.admits(large, host) for host in hosts)
    assert admitted * len(large) <= mdns_sieve.BYTES_OF_ALL
    assert admitted == mdns_sieve.BYTES_OF_ALL // len(large)


class Reader(asyncio.DatagramProtocol):
    """Stands for zeroconf and its cache: all that it hears. (The real one is in the lab.)"""

    def __init__(self) -> None:
        self.cache: dict[str, list[bytes]] = {}

    def names(self) -> list[str]:
        return list(self.cache)

    def async_remove_records(self, records: list[bytes]) -> None:
        assert len(records) == sum(map(len, self.cache.values()))
        self.cache.clear()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.cache.setdefault(addr[0], []).append(data)


class Stand:
    """A sieve before a reader on loopback, and one who speaks to it."""

    def __init__(self) -> None:
        self.full = 0
        self.reader = Reader()
        self.sieve = MdnsSieve(self.fill, Clock())
        self.speaker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    def fill(self) -> None:
        self.full += 1

    async def open(self, *, wrapped: bool) -> None:
        loop = asyncio.get_running_loop()
        here = ("127.0.0.1", 0)
        self.transport, _ = await loop.create_datagram_endpoint(lambda: self.reader, here)
        reader = SimpleNamespace(transport=self.transport) if wrapped else self.transport
        engine, cache = SimpleNamespace(readers=[reader]), self.reader
        zeroconf: Any = SimpleNamespace(zeroconf=SimpleNamespace(engine=engine, cache=cache))
        self.sieve.place(zeroconf)

    async def say(self, data: bytes, times: int) -> None:
        """Wait until all is read."""
        to = self.transport.get_extra_info("sockname")
        read = self.sieve._read + times
        for _ in range(times):
            self.speaker.sendto(data, to)
        async with asyncio.timeout(5):
            while self.sieve._read < read:
                await asyncio.sleep(0)

    @property
    def heard(self) -> int:
        return sum(map(len, self.reader.cache.values()))

    def close(self) -> None:
        self.sieve.close()
        self.transport.close()
        self.speaker.close()


@pytest.mark.parametrize("wrapped", [False, True], ids=["0.47", "newer"])
def test_it_stands_before_a_reader_and_says_when_that_is_full(
    monkeypatch: pytest.MonkeyPatch, wrapped: bool
) -> None:
    monkeypatch.setattr(mdns_sieve, "MOST_RECORDS", 20)
    monkeypatch.setattr(mdns_sieve, "_LOOK_AT_BYTES", 1)

    async def main() -> None:
        stand = Stand()
        await stand.open(wrapped=wrapped)
        try:
            await stand.say(b"not ours", 5)
            assert stand.heard == 0
            await stand.say(OURS, 20)
            assert (stand.heard, stand.full) == (20, 0)
            await stand.say(OURS, 2)
            assert stand.full == 1
            heard = stand.heard
            await stand.say(OURS, 5)
            assert (stand.heard, stand.full) == (heard, 1), "no more until it is empty"
            stand.sieve.empty()
            assert stand.heard == 0
            await stand.say(OURS, 5)
            assert stand.heard == 5
        finally:
            stand.close()

    asyncio.run(main())


def test_what_is_too_much_to_read_is_thinned_out_by_the_kernel() -> None:
    """Until it is over, though nobody speaks then."""

    async def main() -> None:
        stand = Stand()
        await stand.open(wrapped=True)
        try:
            for _ in range(2 * mdns_sieve.TO_READ):
                stand.sieve.admits(b"not ours", "10.0.0.1")
            stand.sieve._turn(stand.sieve._second + 1)
            assert 0.2 < stand.sieve._share < 0.3
            to = stand.transport.get_extra_info("sockname")
            for _ in range(200):
                stand.speaker.sendto(OURS, to)
            assert stand.sieve._sieves[0].dropped() > 100
            assert stand.sieve._turning is not None
            stand.sieve._turn(stand.sieve._second + 1)
            assert stand.sieve._share == 1.0
        finally:
            stand.close()

    asyncio.run(main())
