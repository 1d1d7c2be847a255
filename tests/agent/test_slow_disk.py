"""A disk that takes longer than a claim waits: what it keeps waiting is not yet spoken."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from agent.listener import Listener, alone
from agent.stand import PATIENCE, Stand
from followtheleader.core.actions import Action
from followtheleader.core.election import Election
from followtheleader.core.events import Event, Stored
from followtheleader.core.types import MS, Instant, Role
from followtheleader.driver import Driver

TOGETHER = """
import os, time
sync = os.fsync
def fsync(fd):
    time.sleep(0.25 - time.time() % 0.25)
    sync(fd)
os.fsync = fsync
"""


def test_claims_that_leave_slow_disks_together_hear_of_each_other(stand: Stand) -> None:
    """A claim's wait (200 ms) begins when it is spoken: the disks take longer, and are ready at the
    same moment, as those of two guests of one machine are."""
    nodes = stand.group("ab", heartbeat_interval="500ms")
    for node in nodes:
        node.start(code=TOGETHER)
    leader = stand.wait_one_leader()
    (follower,) = (node for node in nodes if node is not leader)
    stand.wait(lambda: stand.begun(follower), "it follows")
    assert (stand.begun(leader), stand.begun(follower)) == (["leader"], ["follower"])


def test_the_election_is_told_how_long_the_disk_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    step, sync = Election.step, os.fsync

    def listen(election: Election, event: Event, now: Instant) -> list[Action]:
        told.append(event)
        return step(election, event, now)

    def slowly(fd: int) -> None:
        time.sleep(0.02)
        sync(fd)

    async def main() -> None:
        listener = Listener()
        driver = Driver(alone("a", str(tmp_path)), listener)
        monkeypatch.setattr(os, "fsync", slowly)
        await driver.start()
        try:
            async with asyncio.timeout(PATIENCE):
                while Role.LEADER not in listener.roles:
                    await asyncio.sleep(0.01)
        finally:
            await driver.close()

    monkeypatch.setattr(Election, "step", listen)
    asyncio.run(main())
    (stored,) = [event for event in told if isinstance(event, Stored)]
    assert stored.took >= 20 * MS
