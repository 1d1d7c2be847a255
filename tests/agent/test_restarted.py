"""A driver that begins a later life: what it was told before, and what it wants to say."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent.listener import Listener, alone
from followtheleader import driver as driver_module
from followtheleader.core.actions import Action, DepositWill, Restart
from followtheleader.core.election import Election
from followtheleader.core.events import Event, IdentityTaken, Settled
from followtheleader.core.messages import Release
from followtheleader.core.types import Address, Instant
from followtheleader.driver import Driver


class Ordering:
    """Has the election order something more, once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *orders: Action) -> None:
        self.orders: list[Action] = list(orders)
        self.told: list[Event] = []
        step = Election.step

        def ordering(election: Election, event: Event, now: Instant) -> list[Action]:
            self.told.append(event)
            said = step(election, event, now)
            if isinstance(event, IdentityTaken):  # the cue of these tests
                said, self.orders = [*self.orders, *said], []
            return said

        monkeypatch.setattr(Election, "step", ordering)


def run(driver: Driver, *events: Event) -> None:
    async def main() -> None:
        await driver.start()
        for event in events:
            driver._inbox.append(event)
        driver.post(IdentityTaken())
        await driver.close()

    asyncio.run(main())


def test_what_follows_a_refused_restart_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old life goes on: a will that was ordered behind it must not be lost."""
    wills: list[list[tuple[Address, bytes]]] = []
    listener = Listener()
    monkeypatch.setattr(listener, "on_will", wills.append)
    will = DepositWill(Release(1), ((7, ("127.0.0.9", 9), 1),))
    Ordering(monkeypatch, Restart(5), will)
    driver = Driver(alone("a", str(tmp_path)), listener)
    driver._stopping = True  # one of the reasons to refuse
    run(driver)
    assert [[address for address, _ in one] for one in wills] == [[("127.0.0.9", 9)]]


def test_a_new_life_hears_that_the_old_ones_job_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waited in the inbox: without it the node would owe an on_follower for ever."""
    ordering = Ordering(monkeypatch, Restart(2**43))
    listener = Listener()
    driver = Driver(alone("a", str(tmp_path)), listener, job_running=True)
    before = driver.node.owner.incarnation

    async def main() -> None:
        await driver.start()
        driver._inbox.append(IdentityTaken())
        driver.post(Settled(0))
        assert driver.node.owner.incarnation > max(before, 2**43)
        assert not driver.view().owes
        await driver.close()

    asyncio.run(main())
    assert any(isinstance(event, Settled) for event in ordering.told)


def test_only_so_many_lives_are_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two clones would otherwise outdo each other for ever."""
    given: list[bool] = []
    begin = Election.__init__

    def note(*words: object, **options: object) -> None:
        given.append(bool(options["may_restart"]))
        begin(*words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Election, "__init__", note)
    driver = Driver(alone("a", str(tmp_path)), Listener())
    for _ in range(driver_module.MOST_RESTARTS):
        assert driver._restart(driver.node.owner.incarnation)
    driver.endpoint.close()
    assert given == [True, True, True, False]
