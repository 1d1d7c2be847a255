"""Addresses of the peers that the configuration names.

Promise: a slow or dead name server delays nothing, not even the stop: it is asked in threads that
nobody waits for. A peer that cannot be resolved is tried for ever and reported once.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterable
from typing import Any

from followtheleader.core.types import Address
from followtheleader.net.hosts import canonical, zone_of

FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 60.0


class Resolver:
    """Resolves (host, port) pairs for as long as it runs.

    ``on_addresses(host, addresses)`` is called in the loop whenever a peer's set of addresses, of
    both families, is new or has changed, or when it resolves again; ``on_failure(message)`` once
    for each peer until then; ``on_gone(addresses)`` for those that no peer has any more.
    """

    def __init__(
        self,
        peers: Iterable[Address],
        on_addresses: Callable[[str, list[Address]], None],
        on_failure: Callable[[str], None],
        on_gone: Callable[[list[Address]], None],
    ) -> None:
        self._peers = list(dict.fromkeys(peers))
        self._on_addresses = on_addresses
        self._on_failure = on_failure
        self._on_gone = on_gone
        self._tasks: dict[Address, asyncio.Task[None]] = {}
        # The addresses that each peer has now.
        self._told: dict[Address, list[Address]] = {}
        self._started = False

    def start(self) -> None:
        """Begin; literal addresses are told at once."""
        self._started = True
        for peer in self._peers:
            self._begin(peer)

    def change(self, peers: Iterable[Address]) -> list[Address]:
        """Resolve these from now on. Return the addresses that were told of others only."""
        wanted = list(dict.fromkeys(peers))
        gone = [peer for peer in self._peers if peer not in wanted]
        new = [peer for peer in wanted if peer not in self._peers]
        self._peers = wanted
        dropped: list[Address] = []
        for peer in gone:
            if task := self._tasks.pop(peer, None):
                task.cancel()
            dropped += self._told.pop(peer, [])
        orphans = self._nobodys(dropped)
        if self._started:
            for peer in new:
                self._begin(peer)
        return orphans

    def _nobodys(self, addresses: list[Address]) -> list[Address]:
        kept = {address for told in self._told.values() for address in told}
        return [address for address in dict.fromkeys(addresses) if address not in kept]

    async def close(self) -> None:
        """Stop; nothing is called afterwards."""
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)
        self._tasks.clear()

    def _begin(self, peer: Address) -> None:
        host, port = peer
        literal = canonical(host)
        if literal is not None:
            self._tell(peer, [(literal, port)])
        else:
            loop = asyncio.get_running_loop()
            self._tasks[peer] = loop.create_task(self._keep_resolving(host, port))

    def _tell(self, peer: Address, addresses: list[Address]) -> None:
        before, self._told[peer] = self._told.get(peer, []), addresses
        self._on_addresses(peer[0], addresses)
        if gone := self._nobodys(before):
            self._on_gone(gone)

    async def _keep_resolving(self, host: str, port: int) -> None:
        known: list[Address] = []
        reported = False
        wait = FIRST_RETRY_SECONDS
        while True:
            found = await _ask(host, port)
            if isinstance(found, str):
                if not reported:
                    cure = "correct `peers`, or add it to DNS or /etc/hosts; trying on"
                    self._on_failure(f"peers: {host}: {found}; {cure}")
                reported = True
            else:
                again, reported = reported, False
                # Names move (containers, DHCP): a resolved one is asked again too, but calmly.
                wait = LAST_RETRY_SECONDS
                if found != known or again:
                    known = found
                    self._tell((host, port), found)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LAST_RETRY_SECONDS)


async def _ask(host: str, port: int) -> list[Address] | str:
    """The addresses in a stable order, or why there are none.

    Not loop.getaddrinfo(): its threads are waited for when the loop ends.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[Address] | str] = loop.create_future()

    def tell(found: list[Address] | str) -> None:
        if not answer.done():
            answer.set_result(found)

    def work() -> None:
        found = _getaddrinfo(host, port)
        try:
            loop.call_soon_threadsafe(tell, found)
        except RuntimeError:
            pass  # The loop has ended meanwhile.

    try:
        threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
    except RuntimeError as error:
        return str(error)
    return await answer


def _getaddrinfo(host: str, port: int) -> list[Address] | str:
    try:
        found = socket.getaddrinfo(host, port, socket.AF_UNSPEC, socket.SOCK_DGRAM)
    except OSError as error:
        return error.strerror or str(error)
    except UnicodeError:
        return "not a host name"
    return sorted({_plain(sockaddr) for *_, sockaddr in found})


def _plain(sockaddr: tuple[Any, ...]) -> Address:
    host, port = str(sockaddr[0]), int(sockaddr[1])
    scope = int(sockaddr[3]) if len(sockaddr) == 4 else 0
    zoned = f"{host}%{zone_of(scope)}" if scope and "%" not in host else host
    return canonical(zoned) or host, port
