"""The agent's side of the connection, on an asyncio loop."""

from __future__ import annotations

import asyncio
import os
import time

from followtheleader.guardian.link import GuardianLink
from guardian.stand import SECOND, Stand


def test_a_whole_conversation(stand: Stand) -> None:
    stand.configure(leader="echo leading")
    asyncio.run(asyncio.wait_for(converse(stand), 30))


async def converse(stand: Stand) -> None:
    inbox: asyncio.Queue[dict[str, object]] = asyncio.Queue()
    link = GuardianLink(
        config=str(stand.config),
        instance="svc",
        runtime_dir=str(stand.runtime),
        on_message=inbox.put_nowait,
        on_lost=lambda reason: inbox.put_nowait({"m": "lost", "reason": reason}),
    )
    link.start()
    link.attach(asyncio.get_running_loop())
    assert (await inbox.get())["m"] == "ready"
    link.send_lease(time.clock_gettime_ns(time.CLOCK_BOOTTIME) + 60 * SECOND, 0, False)
    link.send_event("leader", 1, {"role": "leader", "term": 1, "service": "svc"})
    kinds = [(await inbox.get())["m"] for _ in range(4)]
    assert kinds == ["started", "output", "ended", "settled"]
    link.send_event("follower", 2, {"role": "follower", "term": 1, "service": "svc"})
    while (await inbox.get())["m"] != "settled":
        pass
    link.send_bye()
    link.close()
    assert link.fileno() == -1
    while link.poll() is None:
        await asyncio.sleep(0.005)
    assert link.returncode == 0
    assert inbox.empty(), "a connection that we end is not lost"


def test_the_loss_is_told_once(stand: Stand) -> None:
    stand.configure()
    asyncio.run(asyncio.wait_for(lose(stand), 30))


async def lose(stand: Stand) -> None:
    lost: asyncio.Queue[str] = asyncio.Queue()
    ready = asyncio.Event()
    link = GuardianLink(
        config=str(stand.config),
        instance="svc",
        runtime_dir=str(stand.runtime),
        on_message=lambda fields: ready.set(),
        on_lost=lost.put_nowait,
    )
    link.start()
    link.attach(asyncio.get_running_loop())
    await ready.wait()
    os.kill(link.pid, 9)
    assert "guardian" in await lost.get()
    link.send_bye()  # nobody hears it, nothing happens
    link.close()
    while link.poll() is None:
        await asyncio.sleep(0.005)
    assert link.returncode == -9
    assert lost.empty()
