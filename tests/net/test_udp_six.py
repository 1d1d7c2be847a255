"""The UDP endpoint and its two families, on loopback."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator

import pytest

from followtheleader.errors import AddressError
from followtheleader.net import udp
from followtheleader.net.udp import Endpoint

FOUR, SIX = "127.0.0.1", "::1"
FAMILY = {FOUR: socket.AF_INET, SIX: socket.AF_INET6}


def bound(host: str, port: int = 0) -> socket.socket:
    made = socket.socket(FAMILY[host], socket.SOCK_DGRAM)
    made.bind((host, port))
    made.settimeout(5)
    return made


def free_port() -> int:
    with bound(FOUR) as four:
        port: int = four.getsockname()[1]
    with bound(SIX, port):
        return port


@pytest.fixture(params=["0.0.0.0", "::"])
def endpoint(request: pytest.FixtureRequest) -> Iterator[Endpoint]:
    made = Endpoint.bind(request.param, free_port())
    yield made
    made.close()


@pytest.fixture
def peers() -> Iterator[dict[str, socket.socket]]:
    with bound(FOUR) as four, bound(SIX) as six:
        yield {FOUR: four, SIX: six}


def test_everywhere_is_both_families(endpoint: Endpoint, peers: dict[str, socket.socket]) -> None:
    received: dict[str, tuple[bytes, int]] = {}

    async def main() -> None:
        done = asyncio.Event()

        def take(data: bytes, sender: tuple[str, int]) -> None:
            received[sender[0]] = (data, sender[1])
            if len(received) == 2:
                done.set()

        endpoint.start(take)
        for host, peer in peers.items():
            peer.sendto(host.encode(), (host, endpoint.port))
        async with asyncio.timeout(5):
            await done.wait()

    asyncio.run(main())
    assert endpoint.host == "0.0.0.0"
    for host, peer in peers.items():
        port = peer.getsockname()[1]
        assert received[host] == (host.encode(), port)
        assert endpoint.send(b"back", (host, port))
        data, sender = peer.recvfrom(100)
        assert (data, sender[:2]) == (b"back", (host, endpoint.port))


def test_drain_reads_both_and_no_more_of_each_than_it_may(
    endpoint: Endpoint, peers: dict[str, socket.socket]
) -> None:
    for host, peer in peers.items():
        for _ in range(3):
            peer.sendto(b"x", (host, endpoint.port))
    assert endpoint.drain(2) == 4
    assert endpoint.drain(2) == 2
    assert endpoint.drain(2) == 0


def test_interfaces_not_chosen_are_foreign(
    endpoint: Endpoint, peers: dict[str, socket.socket]
) -> None:
    for accepted, passed in ((None, 1), ((), 1), ((9999,), 1)):
        endpoint.accept(accepted)
        peers[SIX].sendto(b"x", (SIX, endpoint.port))
        assert endpoint.drain() == passed
    # With loopback not counted as this host, the same datagram is foreign.
    endpoint._accepted = frozenset((b"none",))
    peers[SIX].sendto(b"x", (SIX, endpoint.port))
    assert endpoint.drain() == 0
    assert endpoint.foreign == 1


def test_one_address_is_one_family(peers: dict[str, socket.socket]) -> None:
    endpoint = Endpoint.bind("::0001", free_port())
    try:
        assert endpoint.host == SIX
        assert endpoint.send(b"x", (SIX, peers[SIX].getsockname()[1]))
        assert not endpoint.send(b"x", (FOUR, 9001))
        assert not endpoint.send(b"x", ("fe80::1%nosuch0", 9001))
        (told, gone) = endpoint.take_failures()
        assert told.kind == "EAFNOSUPPORT"
        assert told.last.startswith("to 127.0.0.1:9001: ")
        assert gone.last.startswith("to [fe80::1%nosuch0]:9001: ")
    finally:
        endpoint.close()


@pytest.mark.parametrize("host", [FOUR, SIX])
def test_a_port_taken_in_one_family_is_taken(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setattr(udp, "DEFAULT_PORT", port)
    with bound(host, port):
        with pytest.raises(AddressError, match=f"port: {port} is taken"):
            Endpoint.bind("0.0.0.0", port)
        other = Endpoint.bind("0.0.0.0")
        other.close()
        assert other.port > port
    Endpoint.bind("0.0.0.0", port).close()


@pytest.mark.parametrize("missing", [socket.AF_INET6, socket.AF_INET])
def test_a_host_without_one_family(
    missing: socket.AddressFamily,
    monkeypatch: pytest.MonkeyPatch,
    peers: dict[str, socket.socket],
) -> None:
    """As with ipv6.disable=1, which cannot be had without a reboot."""
    port = free_port()
    existing = socket.socket

    def refuse(family: socket.AddressFamily, kind: socket.SocketKind) -> socket.socket:
        if family == missing:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        return existing(family, kind)

    monkeypatch.setattr(socket, "socket", refuse)
    endpoint = Endpoint.bind("0.0.0.0", port)
    try:
        there, absent = (FOUR, SIX) if missing == socket.AF_INET6 else (SIX, FOUR)
        peers[there].sendto(b"x", (there, port))
        assert endpoint.drain() == 1
        assert endpoint.send(b"x", (there, peers[there].getsockname()[1]))
        assert not endpoint.send(b"x", (absent, 9001))
    finally:
        endpoint.close()
    with pytest.raises(AddressError, match="host: this host does not speak the family of "):
        Endpoint.bind(absent, port)


def test_a_link_local_address_needs_its_link() -> None:
    with pytest.raises(AddressError, match=r"host: fe80::1 is of one link, .* fe80::1%eth0"):
        Endpoint.bind("fe80::1", 9001)
    with pytest.raises(AddressError, match="host: fe80::1%nosuch0 is not an address of this host"):
        Endpoint.bind("fe80::1%nosuch0", 9001)
