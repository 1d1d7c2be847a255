"""Networks in which not everybody hears everybody: few changes of role, whoever leads goes on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.stories import LAUNCH, Pair, changes_since, hold_without_change, others
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab


def follows(host: Host, leader: Host, *, directly: bool) -> bool:
    """Does it say that it follows that one, heard itself or by another's word?"""
    facts = host.status()["leader"]
    return bool(facts) and (facts["id"], facts["direct"]) == (leader.status()["id"], directly)


def test_an_open_groups_leader_that_hears_nobody_or_is_heard_by_nobody(
    build: Callable[..., Group],
) -> None:
    """Deaf, it is followed by all, and nothing changes. Mute, it is replaced by the others, leads
    on for itself, and one of the two gives way, once, when it is heard again."""
    group = build(5)
    group.start()
    old = group.wait_one_leader()
    group.log.note(old.name, "fault", "deafen")
    group.network.deafen(old.name)
    hold_without_change(group, old, 2 * group.timing.lock)
    group.heal()
    assert group.wait_one_leader() is old

    group.log.note(old.name, "fault", "mute")
    group.network.mute(old.name)
    new = group.wait_one_leader(others(group, old))
    assert old.role == "leader"
    hold_without_change(group, new, 2 * group.timing.lock)
    healed_at = group.heal()
    winner = group.wait_one_leader()
    hold_without_change(group, winner, group.timing.lock)
    (loser,) = {old, new} - {winner}
    assert [change.host for change in changes_since(group, healed_at)] == [loser.name]
    group.check()


def test_five_in_a_ring_that_hear_their_neighbours(build: Callable[..., Group]) -> None:
    """Three of five hear the leader, a majority. The far two do not disturb it: of an open group
    they follow by hearsay, of a quorum group they go on looking for a leader that they hear."""
    pair = Pair(build, 5)
    pair.start()
    at = pair.note("ring")
    for one, other in combinations(pair.open.hosts, 2):
        if pair.open.hosts.index(other) - pair.open.hosts.index(one) in (2, 3):
            pair.open.sever(one, other)
    pair.hold(1, 4 * pair.quorum.timing.lock)
    leader, *ring = pair.open.hosts
    heard = (True, False, False, True)
    assert all(follows(h, leader, directly=d) for h, d in zip(ring, heard, strict=True))
    assert [h.role for h in pair.quorum.hosts[2:4]] == ["candidate", "candidate"]
    pair.network.heal()
    pair.wait_leader(1)
    assert not changes_since(pair.open, at) + changes_since(pair.quorum, at)
    pair.check()


def test_two_lans_with_one_common_host(build: Callable[..., Group]) -> None:
    """h1 is on one LAN, h3 on another, h2 on both: one leads for both LANs, wherever it is."""
    pair = Pair(build, 3)
    pair.network.recable("h3", 1)
    pair.network.plug("h2", 1)
    for group in pair.groups:
        group.start([group.hosts[0]])
    wait_until(lambda: pair.open.hosts[0].role == "leader", LAUNCH, "h1 leads")
    for group in pair.groups:
        group.start(group.hosts[1:])
    wait_until(
        lambda: all({"h1", "h3"} <= host.alive() for host in pair.on(2)), LAUNCH, "h2 hears both"
    )
    # At the end of a chain: h3 follows by what h2 says of it.
    first, _, far = pair.open.hosts
    hold_without_change(pair.open, first, 2 * pair.open.timing.lock)
    assert follows(far, first, directly=False)
    quorum = pair.quorum
    wait_until(lambda: len(quorum.leaders()) == 1, 2 * quorum.timing.patience, "a leader of three")
    (leader,) = quorum.leaders()
    hold_without_change(quorum, leader, 2 * quorum.timing.lock)

    # Without the common host nobody hears anybody.
    at = pair.note("crash", "h2")
    for host in pair.on(2):
        host.crash_both()
    wait_until(lambda: len(pair.open.leaders()) == 2, 10, "each leads its own LAN")
    holds_for(lambda: not quorum.leaders() or quorum.leaders() == [leader], 1, "no second leader")
    wait_until(lambda: not quorum.leaders(), quorum.timing.patience, "one of three does not lead")
    for host in pair.on(2):
        host.start()
    wait_until(lambda: len(pair.open.leaders()) == 1, 15, "one leads for both LANs again")
    wait_until(lambda: len(quorum.leaders()) == 1, 2 * quorum.timing.patience, "a leader of three")
    assert len(changes_since(pair.open, at)) <= 4
    pair.check()
