"""Networks and machines at their limits: packets lost, doubled, late, overtaken; no processor free.

An open and a quorum group meet each of it at the same time, five agents each. The figures are the
bench's.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.forwarder import Manner, forwarding
from lab.group import Group
from lab.load import busy
from lab.stories import Pair, changes_since
from lab.waiting import holds_for

pytestmark = pytest.mark.lab

SECONDS = 60.0


@pytest.fixture(name="pair")
def fixture_pair(build: Callable[..., Group]) -> Pair:
    """Two groups of five, both led by h1."""
    pair = Pair(build, 5)
    pair.start()
    return pair


def test_a_fifth_then_two_fifths_of_all_packets_are_lost(pair: Pair) -> None:
    """At 20 % nothing changes. At 40 % four in a hundred heartbeats and their resends get no
    answer. An open group's leader needs none of them; a quorum's lapses about once a minute, and a
    minute of six is not to be seen in a lifetime."""
    pair.note("loss-20")
    pair.network.lose(20)
    pair.hold(1, SECONDS)
    at = pair.note("loss-40")
    pair.network.lose(40)
    holds_for(lambda: len(pair.open.running) == 5, SECONDS, "all run")
    changes = [len(changes_since(group, at)) for group in pair.groups]
    assert changes[0] <= 4, changes  # a loss and a gain each
    assert changes[1] <= 12, changes
    pair.network.heal()
    pair.wait_leaders()
    pair.check()


def test_packets_that_are_late_doubled_and_overtaken(pair: Pair) -> None:
    """Every fifth frame comes twice, every tenth up to 0.3 s late: nothing changes. A crash is
    still taken over, by one."""
    with forwarding(pair.network, Manner(), seed=20):
        pair.hold(1, SECONDS / 8)
        at = pair.note("crash", "h1")
        for host in pair.on(1):
            host.crash()
        pair.wait_leaders(range(2, 6))
        for group in pair.groups:
            assert len(changes_since(group, at)) <= 3
    pair.check()


@pytest.mark.alone
def test_four_busy_loops_on_all_processors(pair: Pair) -> None:
    with busy(4):
        pair.hold(1, SECONDS)
    pair.wait_leader(1)
    pair.check()
