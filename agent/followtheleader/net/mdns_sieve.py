"""What of the network's mDNS reaches python-zeroconf: what may be about us, and not too much of it.

Every datagram that it takes is parsed in the election's own loop, and what it reads it keeps for as
long as the datagram says: releases before 0.150 know no bound. So it stands behind this, which
counts by source and in all, and looks for the one word that all our names have in common.

Promise: a source that floods is not heard for the rest of its second, and nobody else suffers by
that, as long as all together keep within `OF_ALL`.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Any

from zeroconf import Zeroconf
from zeroconf.asyncio import AsyncZeroconf

from followtheleader.net.sieve import Sieve

OF_A_HOST = 40
"""Datagrams in a second."""
OF_ALL = 200
BYTES_OF_ALL = 64 * 1024
MOST_RECORDS = 4096
"""So many a network of five hundred members has; a cache of more is to be emptied."""
LARGEST = 9000
OURS = (b"ftl", b"_services")
"""In every question and record of ours, and in the question which services there are."""
TO_READ = 2000
"""Datagrams of any kind, in a second: beyond that the kernel drops a share of them."""
_MOST_HOSTS = 256
_LOOK_AT_BYTES = 64 * 1024


class MdnsSieve:
    """Stands before one zeroconf, from `place` on. ``on_full()``: it holds too many records, and
    gets no more until `empty`."""

    def __init__(
        self, on_full: Callable[[], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._on_full = on_full
        self._clock = clock
        self._zeroconf: Zeroconf | None = None
        self._sieves: list[Sieve] = []
        self._turning: asyncio.TimerHandle | None = None
        self._share = 1.0
        self._unread = 0
        self._second = 0
        self._read = self._all = self._bytes = 0
        self._hosts: dict[str, int] = {}
        self._unlooked = 0
        self._full = False
        self.dropped = 0
        """How many datagrams zeroconf has not seen, for their number."""

    def place(self, zeroconf: AsyncZeroconf) -> None:
        """Stand between its sockets and its readers."""
        self._zeroconf = zeroconf.zeroconf
        for reader in self._zeroconf.engine.readers:
            # A transport, or what newer releases wrap one in.
            transport: Any = getattr(reader, "transport", reader)
            transport.set_protocol(_Before(self, transport.get_protocol()))
            bound = transport.get_extra_info("socket")
            is_six = bound.family == socket.AF_INET6
            self._sieves.append(Sieve(None, bound) if is_six else Sieve(bound, None))

    def empty(self) -> None:
        """Forget all that zeroconf has heard: who is there is heard again."""
        if self._zeroconf is not None:
            cache = self._zeroconf.cache
            cache.async_remove_records(
                [r for name in cache.names() for r in list(cache.cache[name])]
            )
        self._full = False

    def close(self) -> None:
        """Its sockets are about to be closed."""
        if self._turning is not None:
            self._turning.cancel()
            self._turning = None

    def admits(self, data: bytes, host: str) -> bool:
        """Whether zeroconf is to see this datagram."""
        second = int(self._clock())
        if second != self._second:
            self._turn(second)
        self._read += 1
        plain = data.lower()
        if not any(word in plain for word in OURS):
            return False
        count = self._hosts.get(host, 0) + 1
        if count == 1 and len(self._hosts) >= _MOST_HOSTS:
            count = OF_A_HOST + 1
        else:
            self._hosts[host] = count
        if self._full or count > OF_A_HOST or self._all >= OF_ALL or len(data) > LARGEST:
            self.dropped += 1
            return False
        if self._bytes + len(data) > BYTES_OF_ALL:
            self.dropped += 1
            return False
        self._all += 1
        self._bytes += len(data)
        self._unlooked += len(data)
        if self._unlooked >= _LOOK_AT_BYTES:
            self._unlooked = 0
            self._look()
        return True

    def _turn(self, second: int) -> None:
        """A second has passed: count anew, and see what the kernel is to drop."""
        seconds, self._second = second - self._second, second
        before, self._unread = self._unread, sum(sieve.dropped() for sieve in self._sieves)
        came = (self._read + self._unread - before) // seconds
        if came > (TO_READ if self._share == 1.0 else TO_READ // 2):
            self._share = min(TO_READ / 2 / came, 1.0)
            for sieve in self._sieves:
                sieve.set((), self._share)
        elif self._share < 1.0:
            self._share = 1.0
            for sieve in self._sieves:
                sieve.clear()
        self._read = self._all = self._bytes = 0
        self._hosts.clear()
        if self._share < 1.0 and self._turning is None:
            # Of what comes after the flood nothing may pass that would tell us of its end.
            self._turning = asyncio.get_running_loop().call_later(1.5, self._turn_again)

    def _turn_again(self) -> None:
        self._turning = None
        if (second := int(self._clock())) != self._second:
            self._turn(second)

    def _look(self) -> None:
        if self._zeroconf is not None:
            # Where a release keeps its records otherwise, it is one that bounds them itself.
            cache: dict[str, Any] = getattr(self._zeroconf.cache, "cache", {})
            if sum(map(len, cache.values())) > MOST_RECORDS:
                self._full = True
                self._on_full()


class _Before(asyncio.DatagramProtocol):
    """What asyncio takes for the reader of one socket."""

    def __init__(self, sieve: MdnsSieve, reader: asyncio.DatagramProtocol) -> None:
        self._sieve = sieve
        self._reader = reader

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._sieve.admits(data, addr[0]):
            self._reader.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._reader.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc)
