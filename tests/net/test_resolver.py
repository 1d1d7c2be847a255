"""Static peers: literal addresses at once, names in threads that nobody waits for."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
import time

import pytest

from followtheleader.net import resolver
from followtheleader.net.resolver import Resolver


async def until(condition: asyncio.Event) -> None:
    async with asyncio.timeout(5):
        await condition.wait()


def test_literals_are_told_at_once_and_names_soon() -> None:
    async def main() -> None:
        told: dict[str, list[tuple[str, int]]] = {}
        named = asyncio.Event()

        def on_addresses(host: str, addresses: list[tuple[str, int]]) -> None:
            told[host] = addresses
            if host == "localhost":
                named.set()

        peers = [("10.0.0.2", 9001), ("localhost", 9002), ("localhost", 9002)]
        peers += [("FD00:0::2", 9001), ("fe80::1%lo", 9001)]
        running = Resolver(peers, on_addresses, lambda message: None, print)
        running.start()
        assert told == {
            "10.0.0.2": [("10.0.0.2", 9001)],
            "FD00:0::2": [("fd00::2", 9001)],
            "fe80::1%lo": [("fe80::1%lo", 9001)],
        }
        await until(named)
        assert ("127.0.0.1", 9002) in told["localhost"]
        assert set(told["localhost"]) <= {("127.0.0.1", 9002), ("::1", 9002)}
        await running.close()

    asyncio.run(main())


def test_a_failure_is_told_once_and_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name server is ours here: it fails three times, then answers, then answers anew."""
    answers: list[list[tuple[str, int]] | str] = ["no such name"] * 3
    answers += [[("10.0.0.2", 9001)]] * 2 + [[("10.0.0.3", 9001)]]
    given = iter(answers)
    monkeypatch.setattr(resolver, "_getaddrinfo", lambda host, port: next(given, answers[-1]))
    monkeypatch.setattr(resolver, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(resolver, "LAST_RETRY_SECONDS", 0.02)

    async def main() -> None:
        told: list[object] = []
        gone: list[tuple[str, int]] = []
        moved = asyncio.Event()

        def on_addresses(host: str, addresses: list[tuple[str, int]]) -> None:
            told.append(addresses)
            if addresses == answers[-1]:
                moved.set()

        running = Resolver([("host-b", 9001)], on_addresses, told.append, gone.extend)
        running.start()
        await until(moved)
        await running.close()
        assert told == [
            "peers: host-b: no such name; "
            "correct `peers`, or add it to DNS or /etc/hosts; trying on",
            [("10.0.0.2", 9001)],
            [("10.0.0.3", 9001)],
        ]
        assert gone == [("10.0.0.2", 9001)]

    asyncio.run(main())


def test_one_that_resolves_again_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """To the same address as before: the trouble is over."""
    answers: list[list[tuple[str, int]] | str] = [[("10.0.0.2", 1)], "down", [("10.0.0.2", 1)]]
    given = iter(answers)
    monkeypatch.setattr(resolver, "_getaddrinfo", lambda host, port: next(given, answers[-1]))
    monkeypatch.setattr(resolver, "FIRST_RETRY_SECONDS", 0.01)
    monkeypatch.setattr(resolver, "LAST_RETRY_SECONDS", 0.02)

    async def main() -> None:
        told: list[object] = []
        again = asyncio.Event()

        def on_addresses(host: str, addresses: list[tuple[str, int]]) -> None:
            told.append(addresses)
            if len(told) == 3:
                again.set()

        running = Resolver([("host-b", 1)], on_addresses, told.append, told.append)
        running.start()
        await until(again)
        await running.close()
        assert [isinstance(one, str) for one in told] == [False, True, False]

    asyncio.run(main())


def test_peers_change_while_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was told of a peer that is gone is returned, unless another peer stands there too."""
    names = {"host-b": "10.0.0.2", "host-c": "10.0.0.3", "host-d": "10.0.0.4"}
    asked: list[str] = []

    def answer(host: str, port: int) -> list[tuple[str, int]]:
        asked.append(host)
        return [(names[host], port)]

    monkeypatch.setattr(resolver, "_getaddrinfo", answer)

    async def main() -> None:
        told: list[tuple[str, int]] = []
        enough = asyncio.Event()
        wanted = 4

        def on_addresses(host: str, addresses: list[tuple[str, int]]) -> None:
            told.extend(addresses)
            if len(told) >= wanted:
                enough.set()

        running = Resolver(
            [("host-b", 1), ("10.0.0.2", 1), ("host-c", 1), ("10.0.0.9", 1)],
            on_addresses,
            print,
            print,
        )
        running.start()
        await until(enough)
        enough.clear()
        wanted = 5
        dropped = running.change([("10.0.0.2", 1), ("host-d", 1)])
        assert sorted(dropped) == [("10.0.0.3", 1), ("10.0.0.9", 1)]
        await until(enough)
        assert told[-1] == ("10.0.0.4", 1)
        assert running.change([("10.0.0.2", 1), ("host-d", 1)]) == []
        assert running.change([]) == [("10.0.0.2", 1), ("10.0.0.4", 1)]
        assert sorted(asked) == ["host-b", "host-c", "host-d"]
        await running.close()

    asyncio.run(main())


def test_a_dead_name_server_delays_no_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = threading.Event(), threading.Event()

    def never(host: str, port: int) -> str:
        asked.set()
        answer.wait(20)
        return "too late"

    monkeypatch.setattr(resolver, "_getaddrinfo", never)

    async def main() -> None:
        running = Resolver([("host-b", 9001)], lambda *_: None, lambda _: None, print)
        running.start()
        async with asyncio.timeout(5):
            while not asked.is_set():
                await asyncio.sleep(0.01)
        await running.close()

    began = time.monotonic()
    asyncio.run(main())
    assert time.monotonic() - began < 4
    # The thread answers into a loop that has ended.
    answer.set()
    for thread in threading.enumerate():
        if thread.name == "resolve host-b":
            thread.join(5)
            assert not thread.is_alive()


def test_a_name_of_both_families(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's number of the link becomes the interface's name."""
    lo = socket.if_nametoindex("lo")
    answers = [("10.0.0.2", 9001), ("fd00::2", 9001, 0, 0), ("fe80::2", 9001, 0, lo)]
    found = [(None, None, 0, "", answer) for answer in [*answers, answers[0]]]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_: found)
    assert resolver._getaddrinfo("host-b", 9001) == [
        ("10.0.0.2", 9001),
        ("fd00::2", 9001),
        ("fe80::2%lo", 9001),
    ]


@pytest.mark.parametrize("host", ["x" * 300, "a..b", "ü" * 70])
def test_what_cannot_be_a_name_is_told_as_a_text(host: str) -> None:
    assert resolver._getaddrinfo(host, 9001) == "not a host name"


def test_the_resolver_imports_no_zeroconf() -> None:
    program = (
        "import sys; from followtheleader.net import interfaces, mdns, resolver, seed, udp, watch;"
        "print([m for m in ('zeroconf', 'ifaddr', 'logging.handlers') if m in sys.modules])"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20
    )
    assert run.stdout == "[]\n"
