"""What mDNS suggests is taken up so often: anybody may announce as many members as they like."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from agent.listener import Listener, alone
from followtheleader import lookout
from followtheleader.core.events import AddressFound, Event
from followtheleader.lookout import Lookout
from followtheleader.net.udp import Endpoint

MANY = 2000


def told(act: Callable[[Lookout], None]) -> tuple[list[Event], Listener]:
    """What a lookout posts and says while ``act`` plays mDNS to it."""
    posted: list[Event] = []
    listener = Listener()
    profile = alone("a")

    async def main() -> None:
        endpoint = Endpoint.bind(profile.host, profile.port)
        made = Lookout(profile, endpoint, listener, posted.append)
        try:
            act(made)
        finally:
            await made.close()
            endpoint.close()

    asyncio.run(main())
    return posted, listener


def announce(made: Lookout) -> None:
    for number in range(MANY):
        made._on_announced((f"10.7.{number >> 8}.{number & 255}", 9001), "n" * 200 + str(number))


def test_suggestions_are_taken_up_so_often() -> None:
    posted, _ = told(announce)
    found = [event for event in posted if isinstance(event, AddressFound)]
    assert 512 <= len(found) < 600


def test_who_is_announced_and_not_heard_is_named_in_a_few_words() -> None:
    def act(made: Lookout) -> None:
        announce(made)
        assert len(made._announced) == lookout.MOST_ANNOUNCED
        made._report_isolation()

    _, listener = told(act)
    ((kind, text),) = listener.troubles
    assert kind == "isolated"
    assert text.count("9001") == lookout.NAMED_ANNOUNCED
    assert ", others, but nothing is heard" in text
