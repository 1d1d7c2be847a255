"""What a local user may say at the agent's sockets, in any pieces: the server that reads it, and
the answers to everybody and to who may change things."""

from __future__ import annotations

import asyncio
import json
from typing import Any, cast

from followtheleader.answers import Answers
from followtheleader.core.events import Event, HandoverRequested, PauseRequested, StepDownRequested
from followtheleader.core.pause import MAX_PAUSE
from followtheleader.driver import Driver
from followtheleader.host.sockets import LONGEST_REQUEST, LocalServer
from followtheleader.report import Diary, Facts
from followtheleader.supervision import Supervision
from sim.table import three

LARGEST = 4 * LONGEST_REQUEST
MOST_PIECES = 20
LONGEST_ANSWER = 64 * 1024
MAY_BE_POSTED = (HandoverRequested, PauseRequested, StepDownRequested)


def seeds() -> list[bytes]:
    """Each request that there is, and what is nearly one."""
    requests: list[object] = [
        {"command": "status"},
        {"command": "role"},
        {"command": "step-down"},
        {"command": "switchover"},
        {"command": "switchover", "to": "b"},
        {"command": "pause"},
        {"command": "pause", "for_ms": 60_000},
        {"command": "pause", "for_ms": True, "for": -1},
        {"command": "resume"},
        {"command": "reload"},
        {"command": ["status"], "to": {}},
        [1, None, "x"],
    ]
    lines = [json.dumps(request).encode() + b"\n" for request in requests]
    lines += [b"role\n", b"role", b"\n", b'{"command": "status"}', b"[" * 2000 + b"\n", b"\xff\n"]
    return [bytes([who, 9]) + line for line in lines for who in (0, 1)]


def one(data: bytes) -> None:
    """Say it to a server: at which socket, and in pieces of which size, say the first two bytes."""
    if len(data) < 2:
        return
    desk = _desk()
    handler = desk.answers.control if data[0] & 1 else desk.answers.answer
    text = data[2 : 2 + LARGEST]
    said = asyncio.run(_say(handler, text, max(1 + data[1], len(text) // MOST_PIECES)))
    posted, desk.driver.posted = desk.driver.posted, []
    assert data[0] & 1 or not posted, "who may only ask has changed something"
    assert all(isinstance(event, MAY_BE_POSTED) for event in posted), posted
    pauses = [event.span for event in posted if isinstance(event, PauseRequested)]
    assert all(0 <= span <= MAX_PAUSE for span in pauses), pauses
    if said is not None:
        assert said.endswith(b"\n")
        assert said.count(b"\n") == 1
        assert len(said) <= LONGEST_ANSWER
        if said[:1] == b"{":
            json.loads(said)


async def _say(handler: Any, data: bytes, piece: int) -> bytes | None:
    """What the server answers to ``data``, which comes ``piece`` bytes at a time."""
    server = LocalServer.__new__(LocalServer)  # its client's part needs no socket
    server._handler = handler
    reader = asyncio.StreamReader(limit=LONGEST_REQUEST)
    for start in range(0, len(data), piece):
        reader.feed_data(data[start : start + piece])
    reader.feed_eof()
    try:
        line = await reader.readline()
    except ValueError:
        return await server._answer(None, reader)
    return await server._answer(line, reader)


class _Driver:
    """Takes events; the election behind it is a real one, of a group of three."""

    def __init__(self) -> None:
        self._table = table = three(quorum=True)
        self.posted: list[Event] = []
        self.node = table.seats["a"].life.election.node

    def post(self, event: Event) -> None:
        self.posted.append(event)

    def view(self) -> Any:
        return self._table.view("a")

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"an answer asks the driver for {name}: stand in for it here")


class _Answers(Answers):
    """What `status` tells is the same whatever the request says."""

    def _status(self) -> Facts:
        return {"role": "leader"}


class _Desk:
    def __init__(self) -> None:
        self.driver = _Driver()

        async def reload() -> Facts:
            return {"done": True}

        self.answers = _Answers(
            cast("Driver", self.driver),
            cast("Diary", None),
            cast("Supervision", None),
            (),
            reload,
        )


_made: list[_Desk] = []


def _desk() -> _Desk:
    """One for all inputs: making it takes longer than any of them."""
    if not _made:
        _made.append(_Desk())
    return _made[0]
