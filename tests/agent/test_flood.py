"""A flood of datagrams: the election's timers get their turn."""

from __future__ import annotations

import asyncio
import socket

from agent.listener import Listener, alone
from agent.stand import PATIENCE
from followtheleader.core.messages import Ask, Header
from followtheleader.core.types import Owner, Role
from followtheleader.driver import Driver
from followtheleader.net.bucket import Bucket
from followtheleader.net.gate import OF_STRANGERS
from followtheleader.wire import Codec

MORE_THAN_A_WAKE_READS = 100


async def flood(driver: Driver) -> None:
    """Have more to read in each round of the loop than is read in one."""
    to = ("127.0.0.1", driver.endpoint.port)
    with socket.socket(type=socket.SOCK_DGRAM) as stranger:
        while True:
            for _ in range(MORE_THAN_A_WAKE_READS):
                stranger.sendto(b"noise", to)
            await asyncio.sleep(0)


def test_who_is_flooded_still_leads() -> None:
    """Each wake looks when it must wake next: one that is due already is not put off by that."""

    async def main() -> None:
        listener = Listener()
        driver = Driver(alone("a"), listener)
        flooding = asyncio.create_task(flood(driver))
        await driver.start()
        try:
            async with asyncio.timeout(PATIENCE):
                while Role.LEADER not in listener.roles:
                    await asyncio.sleep(0)
            assert driver.counters["received"] > MORE_THAN_A_WAKE_READS
        finally:
            flooding.cancel()
            await asyncio.gather(flooding, return_exceptions=True)
            await driver.close()

    asyncio.run(main())


def ask(number: int) -> bytes:
    """From a node that nobody knows: it would be asked who it is, by more bytes than these."""
    codec = Codec("alone", 100 + number)
    return codec.encode(Header(Owner(100 + number, 1), 1, 0, 100), Ask(number + 1))


def test_what_strangers_say_is_answered_so_often() -> None:
    """Each from a port of its own: an address costs a stranger nothing to make up."""

    async def main() -> None:
        driver = Driver(alone("a"), Listener())
        await driver.start()
        to = ("127.0.0.1", driver.endpoint.port)
        driver._gate._asks = Bucket(0, at_once=100)  # no more with time: this machine may be slow
        strangers = [socket.socket(type=socket.SOCK_DGRAM) for _ in range(300)]
        try:
            before = driver.counters["sent"]
            for number, stranger in enumerate(strangers):
                stranger.sendto(ask(number), to)
            async with asyncio.timeout(PATIENCE):
                while driver.counters["rejected-unverified"] < len(strangers):
                    await asyncio.sleep(0.001)
            assert driver.counters["sent"] - before == 100
            assert driver.counters["not-greeted"] == len(strangers) - 100
        finally:
            for stranger in strangers:
                stranger.close()
            await driver.close()

    asyncio.run(main())


def test_what_is_not_looked_at_is_counted() -> None:
    async def main() -> None:
        driver = Driver(alone("a"), Listener())
        await driver.start()
        to = ("127.0.0.1", driver.endpoint.port)
        try:
            with socket.socket(type=socket.SOCK_DGRAM) as stranger:
                async with asyncio.timeout(PATIENCE):
                    while not driver.counters["rejected-too-many"]:
                        for _ in range(MORE_THAN_A_WAKE_READS):
                            stranger.sendto(b"noise", to)
                        await asyncio.sleep(0)
            assert driver.counters["rejected-too-short"] >= OF_STRANGERS
        finally:
            await driver.close()

    asyncio.run(main())
