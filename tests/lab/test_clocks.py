"""The wall clock is set by a year: nothing in an election hangs on it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab import checker
from lab.group import Group
from lab.hosts import Host
from lab.stories import Pair, changes_since
from lab.tamper import Tamper

pytestmark = pytest.mark.lab


def restart(host: Host, *, forgetful: bool) -> None:
    """Stop and start the agent; ``forgetful``: its state directory is a new one."""
    host.stop()
    assert host.wait_stopped() == 0
    if forgetful:
        for path in host.state_dir.iterdir():
            path.unlink()
    host.start()


def test_clocks_are_set_by_a_year(build: Callable[..., Group]) -> None:
    """Forth and back while all run: no role changes. Who starts in the past joins, also when it
    remembers nothing; and leads, with tokens that go on growing."""
    pair = Pair(build, 5)
    tampers = {n: [Tamper(host) for host in pair.on(n)] for n in (1, 2, 3)}
    pair.start()
    at = pair.note("clocks-set")
    for first, second in ((365, -365), (-365, 365), (0, 0)):
        for number, days in ((1, first), (2, second)):
            for tamper in tampers[number]:
                tamper.set_clock(days)
        pair.hold(1, 2)
    assert not changes_since(pair.open, at) + changes_since(pair.quorum, at)
    assert all(tamper.clock_was_read for tamper in tampers[1])

    for number, forgetful in ((2, False), (3, True)):
        for tamper, host in zip(tampers[number], pair.on(number), strict=True):
            tamper.set_clock(-365)
            restart(host, forgetful=forgetful)
        assert all(tamper.clock_was_read for tamper in tampers[number])
        pair.wait_leader(1)
        pair.quorum.wait_all_vote()
    assert not changes_since(pair.open, at) + changes_since(pair.quorum, at)
    for number in (3, 2):
        pair.lead(number)
    for group in pair.groups:
        checker.check_tokens(group.records())
    pair.check()
