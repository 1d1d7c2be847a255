"""A flood of datagrams: the election's timers get their turn."""

from __future__ import annotations

import asyncio
import socket

from agent.listener import Listener, alone
from agent.stand import PATIENCE
from followtheleader.core.types import Role
from followtheleader.driver import Driver

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
