"""A job that follows the leader target, on booted machines, through all that can befall them.

An open group (svc) and a quorum group (db) run on the same three machines, which the stories share.
What is bound to the target runs on one host, and in a quorum group never on two at once. Bounds on
time are the protocol's, plus slack; exact figures belong to `make bench-systemd`.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lab import checker
from lab.cluster import Cluster, Election, Plan
from lab.events import NS, now
from lab.group import SLACK
from lab.keeper import Keeper
from lab.members import Member
from lab.mishaps import BY_NAME, MISHAPS, Mishap
from lab.waiting import holds_for

pytestmark = pytest.mark.lab

PLANS = (Plan("svc"), Plan("db", quorum=True, settings={"primary": True}))
GRACE = 2.0  # seconds that a job of an open group has from the end of the lease to SIGKILL


@pytest.fixture(scope="module", name="keeper")
def fixture_keeper() -> Iterator[Keeper]:
    """The three machines; others in their place after a story that failed."""
    with Keeper(lambda: Cluster(PLANS)) as keeper:
        yield keeper


@pytest.fixture(name="cluster")
def fixture_cluster(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Cluster]:
    with keeper.lend(request) as cluster:
        cluster.rest()
        yield cluster


def strike(mishap: Mishap, cluster: Cluster) -> list[tuple[Election, Member, int]]:
    """Let it befall the leader of each election; who that was, and the instant before."""
    leaders = [(each, each.wait_settled()) for each in cluster.elections]
    if mishap.whole:
        at = mishap.strike(cluster, leaders[0][1])
        return [(each, leader, at) for each, leader in leaders]
    return [(each, leader, mishap.strike(cluster, leader)) for each, leader in leaders]


def require_follower_hook_first(election: Election, old: Member, at: int) -> None:
    """on_follower has run here before anybody leads, and not as a replay: the guardian lived."""
    records = election.records(at)
    assert checker.handover_gap(records, at, old.name) >= 0
    hooks = [r for r in records if r.host == old.name and r.what == "hook.follower"]
    assert hooks[0].replay == "0", hooks[0]


@pytest.mark.parametrize("mishap", [each for each in MISHAPS if each.moves], ids=str)
def test_the_job_moves(cluster: Cluster, mishap: Mishap) -> None:
    struck = strike(mishap, cluster)
    for election, old, at in struck:
        new = election.wait_settled(election.others(old))
        assert new.is_active(new.job)
        if not (mishap.ends or election.quorum):
            continue  # it leads on in its own part of the network
        ended = election.wait_job_end(old, at)
        started = checker.job_start(election.records(), at, old.name)
        assert started is not None
        if mishap.ends_first or election.quorum:
            assert ended <= started, f"{election.instance}: the job outlived its successor"
            # With both killed the job ends at once, but on_follower waits for the next guardian:
            # without `stop_timeout` others do not wait so long on a busy machine.
            if mishap.name not in ("power-off", "crash-both"):
                require_follower_hook_first(election, old, at)
        else:
            assert (ended - at) / NS <= election.timing.lease + GRACE + SLACK
    for _, old, _ in struck[: 1 if mishap.whole else None]:
        mishap.mend(cluster, old)
    for election, old, at in struck:
        election.wait_settled()
        if mishap.name == "crash-both":
            hooks = [r for r in election.records(at) if r.host == old.name and r.is_hook_start]
            assert (hooks[0].what, hooks[0].replay) == ("hook.follower", "1"), hooks
        election.check()


def test_a_reload_changes_nothing(cluster: Cluster) -> None:
    struck = strike(BY_NAME["reload"], cluster)
    for election, leader, at in struck:
        holds_for(lambda: leader.role == "leader", 1, f"{leader} leads")  # noqa: B023 - at once
        assert election.wait_settled() is leader
        assert checker.job_end(election.records(), at, leader.name, now()) is None
        assert [change for change in checker.changes(election.records()) if change.at > at] == []
        assert not [r for r in election.records(at) if r.is_hook_start]
        election.check()


def test_a_guardian_killed(cluster: Cluster) -> None:
    """The job ends with it; the next guardian makes up for on_follower, then somebody leads."""
    for election, old, at in strike(BY_NAME["crash-guardian"], cluster):
        ended = election.wait_job_end(old, at)
        election.wait_settled()
        records = election.records(at)
        started = checker.job_start(records, ended, "")
        assert started is not None
        hooks = [r for r in records if r.host == old.name and r.is_hook_start]
        assert (hooks[0].what, hooks[0].replay) == ("hook.follower", "1"), hooks
        assert old.machine.failed_units() == []
        election.check()


def test_power_comes_back_to_all_at_once(cluster: Cluster) -> None:
    for election, _, at in strike(BY_NAME["power-on-all"], cluster):
        leader = election.wait_settled()
        assert leader.machine.failed_units() == []
        gains = [r for r in election.records(at) if r.is_hook_start and r.what == "hook.leader"]
        assert len(gains) == 1, election.describe()
        election.check()


def test_a_partition_with_the_leader_on_the_side_of_two(cluster: Cluster) -> None:
    """The side of one never leads in a quorum group; healing changes nothing there."""
    cluster.network.partition(["h3"])
    cluster.note("split")
    svc, db = cluster["svc"], cluster["db"]
    alone = svc.members[2]
    svc.wait_settled([alone])
    assert db.wait_settled(db.members[:2]) is db.members[0]
    at = cluster.heal()
    assert db.wait_settled() is db.members[0]
    svc.wait_settled()
    changes = [change for change in checker.changes(svc.records()) if change.at > at]
    assert len(changes) == 1, changes
    assert [change for change in checker.changes(db.records()) if change.at > at] == []
    cluster.of_each(Election.check)
