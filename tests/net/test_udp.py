"""The UDP endpoint on loopback: ports, batches, bounds, and failures that nobody has to catch."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from followtheleader.errors import AddressError
from followtheleader.net import udp
from followtheleader.net.udp import Endpoint

HOST = "127.0.0.1"


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        any_socket.bind((HOST, 0))
        port: int = any_socket.getsockname()[1]
        return port


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    bound = Endpoint.bind(HOST, free_port())
    yield bound
    bound.close()


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind((HOST, 0))
        bound.settimeout(5)
        yield bound


def test_there_and_back(endpoint: Endpoint, peer: socket.socket) -> None:
    received: list[tuple[bytes, tuple[str, int]]] = []

    async def main() -> None:
        done = asyncio.Event()
        endpoint.start(lambda data, sender: received.append((data, sender)), done.set)
        peer.sendto(b"hello", (HOST, endpoint.port))
        async with asyncio.timeout(5):
            await done.wait()

    asyncio.run(main())
    assert received == [(b"hello", peer.getsockname())]
    assert endpoint.send(b"there", peer.getsockname())
    assert peer.recvfrom(100) == (b"there", (HOST, endpoint.port))


def test_a_flood_comes_in_batches_and_leaves_the_loop_its_turns(
    endpoint: Endpoint, peer: socket.socket
) -> None:
    batches: list[int] = [0]

    async def main() -> None:
        def count(data: bytes, sender: tuple[str, int]) -> None:
            batches[-1] += 1

        for _ in range(150):
            peer.sendto(b"x", (HOST, endpoint.port))
        endpoint.start(count, lambda: batches.append(0))
        async with asyncio.timeout(5):
            while sum(batches) < 150:
                await asyncio.sleep(0)

    asyncio.run(main())
    assert batches[0] == 1, "a quiet agent looks for one datagram only"
    assert 1 < max(batches) <= 64


def test_drain_reads_what_is_there_at_once(endpoint: Endpoint, peer: socket.socket) -> None:
    received: list[bytes] = []
    batches: list[bool] = []

    async def main() -> None:
        endpoint.start(lambda data, _: received.append(data), lambda: batches.append(True))
        for number in range(100):
            peer.sendto(b"%d" % number, (HOST, endpoint.port))
        assert endpoint.drain(30) == 30
        assert endpoint.drain() == 70
        assert endpoint.drain() == 0

    asyncio.run(main())
    assert received == [b"%d" % number for number in range(100)]
    assert batches == []


def test_too_long_for_us_is_dropped_and_counted(endpoint: Endpoint, peer: socket.socket) -> None:
    peer.sendto(b"x" * 3000, (HOST, endpoint.port))
    peer.sendto(b"", (HOST, endpoint.port))
    assert endpoint.drain() == 1
    assert endpoint.foreign == 1


def test_the_wildcard_takes_only_chosen_interfaces_and_this_host(peer: socket.socket) -> None:
    endpoint = Endpoint.bind("0.0.0.0", free_port())
    try:
        for accepted, passed in ((None, 1), ((), 1), ((9999,), 1)):
            endpoint.accept(accepted)
            peer.sendto(b"x", (HOST, endpoint.port))
            assert endpoint.drain() == passed
        # With loopback not counted as this host, the same datagram is foreign.
        endpoint._accepted = frozenset((b"none",))
        peer.sendto(b"x", (HOST, endpoint.port))
        assert endpoint.drain() == 0
        assert endpoint.foreign == 1
    finally:
        endpoint.close()


def test_errors_of_earlier_datagrams_are_ignored(endpoint: Endpoint, peer: socket.socket) -> None:
    gone = free_port()
    for _ in range(3):
        assert endpoint.send(b"to nobody", (HOST, gone))
    peer.sendto(b"x", (HOST, endpoint.port))
    assert endpoint.drain() == 1


def test_send_never_raises_and_counts_by_kind(endpoint: Endpoint) -> None:
    assert not endpoint.send(b"x", ("host-b", 9001))
    assert not endpoint.send(b"x", ("10.0.0.1", 70000))
    assert not endpoint.send(b"x" * 70000, (HOST, 9001))
    assert not endpoint.send(b"x" * 70000, (HOST, 9002))
    assert not endpoint.send(b"x", ("255.255.255.255", 9001))
    failures = {failure.kind: failure for failure in endpoint.take_failures()}
    assert failures["EMSGSIZE"].count == 2
    assert failures["EMSGSIZE"].last == f"to {HOST}:9002: Message too long"
    assert {"EINVAL", "EMSGSIZE", "EACCES"} <= set(failures)
    assert endpoint.take_failures() == []


def test_a_closed_endpoint_is_harmless(endpoint: Endpoint) -> None:
    async def main() -> None:
        endpoint.start(lambda data, sender: None)
        endpoint.close()
        assert not endpoint.send(b"x", (HOST, 9001))
        assert endpoint.drain() == 0

    asyncio.run(main())


def test_a_given_port_that_is_taken_is_refused(endpoint: Endpoint) -> None:
    with pytest.raises(AddressError, match=rf"port: {endpoint.port} is taken on .*ss -lunp"):
        Endpoint.bind(HOST, endpoint.port)
    with pytest.raises(AddressError, match="is taken"):
        Endpoint.bind("0.0.0.0", endpoint.port)


def test_without_a_port_the_last_used_or_the_next_free(monkeypatch: pytest.MonkeyPatch) -> None:
    first = free_port()
    monkeypatch.setattr(udp, "DEFAULT_PORT", first)
    monkeypatch.setattr(udp, "_PORTS_TRIED", 3)
    opened = [Endpoint.bind(HOST)]
    try:
        assert (opened[0].port, opened[0].note) == (first, None)
        opened.append(Endpoint.bind(HOST))
        assert opened[1].port in (first + 1, first + 2)
        assert opened[1].note is not None
        assert opened[1].note.startswith(f"port {first} is taken; listening on {opened[1].port}: ")
        last = free_port()
        opened.append(Endpoint.bind(HOST, last=last))
        assert (opened[2].port, opened[2].note) == (last, None)
        opened.append(Endpoint.bind(HOST, last=last))
        with pytest.raises(AddressError, match=f"none of {first} to {first + 2} is free"):
            Endpoint.bind(HOST, last=last)
    finally:
        for endpoint in opened:
            endpoint.close()


@pytest.mark.parametrize("host", ["192.0.2.1", "localhost", "", "2001:db8::1"])
def test_a_host_that_is_not_ours(host: str) -> None:
    with pytest.raises(AddressError, match=r"host: .* is not an address of this host"):
        Endpoint.bind(host, free_port())
