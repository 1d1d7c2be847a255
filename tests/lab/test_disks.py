"""The disk under the state directory: full, read-only, stalled. Who leads leads on; a voter that
cannot write neither claims nor votes, and says why."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.stories import Pair, changes_since
from lab.tamper import Tamper
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

RETRY = 10.0  # seconds after which a voter tries its disk again


def give_small_disk(host: Host) -> None:
    """From its next start on the agent's state directory is a small disk that only it sees."""
    mount = f'mount -t tmpfs -o size=64k none {host.state_dir} && exec "$@"'
    host.inside = ["sh", "-c", mount, "sh"]


def fill(host: Host) -> None:
    host.log.note(host.name, "fault", "disk-full")
    host.tool("sh", "-c", f"! cat /dev/zero >{host.state_dir}/fill 2>/dev/null")


def free(host: Host) -> None:
    host.log.note(host.name, "fault", "disk-freed")
    host.tool("rm", f"{host.state_dir}/fill")


def make_read_only(host: Host) -> None:
    """As a file system with errors becomes: whoever has a file open keeps it."""
    host.log.note(host.name, "fault", "disk-read-only")
    place = str(host.state_dir)
    host.tool("mount", "--bind", place, place)
    host.tool("mount", "-o", "remount,bind,ro", place)


def make_writable(host: Host) -> None:
    host.log.note(host.name, "fault", "disk-writable")
    host.tool("umount", str(host.state_dir))


def says(host: Host, *words: str) -> bool:
    problems = host.problems()
    return all(word in problems for word in words)


def is_well(host: Host) -> bool:
    return not host.problems()


def test_a_full_disk_and_a_read_only_one(build: Callable[..., Group]) -> None:
    pair = Pair(build, 3)
    for group in pair.groups:
        for host in group.hosts[1:]:
            give_small_disk(host)
    pair.start()
    for host in pair.on(2):
        fill(host)
    pair.hold(1, pair.quorum.timing.lock)

    # The leader dies. An open group has another; of the voters one cannot promise anything.
    pair.note("crash", "h1")
    for host in pair.on(1):
        host.crash()
    pair.open.wait_one_leader(pair.open.hosts[1:])
    quorum, voter = pair.quorum, pair.quorum.hosts[1]
    told = functools.partial(says, voter, str(voter.state_dir), "No space", "free some space")
    wait_until(told, 10, f"{voter} says what is wrong", quorum.describe)
    quiet = 2 * quorum.timing.takeover
    holds_for(lambda: not quorum.leaders(), quiet, "one of three that can vote does not lead")
    for host in pair.on(2):
        free(host)
    pair.wait_leaders([2, 3])

    # Read-only under the feet of the leader: it leads on, and cannot note who has come back.
    for group in pair.groups:
        (leader,) = group.leaders()
        make_read_only(leader)
    at = pair.note("start", "h1")
    for host in pair.on(1):
        host.start()
    leaders = pair.wait_leaders()
    for group, leader in zip(pair.groups, leaders, strict=True):
        told = functools.partial(says, leader, str(leader.state_dir), "mount it writable")
        wait_until(told, 10, f"{leader} says what is wrong", group.describe)
        assert not changes_since(group, at)
        make_writable(leader)
        wait_until(functools.partial(is_well, leader), RETRY + 5, "all is well", group.describe)
    pair.check()


def test_a_disk_that_stalls(build: Callable[..., Group]) -> None:
    """Each sync and rename takes three seconds on h1 and h2. The leader's heartbeats go on while
    it writes who has come. In an election a voter is as late as its disk."""
    pair = Pair(build, 4, voters=("h1", "h2", "h3"))
    tampers = [[Tamper(host) for host in pair.on(number)] for number in (1, 2)]
    pair.start([1, 2, 3])
    at = pair.note("disks-stall")
    for each in (*tampers[0], *tampers[1]):
        each.stall_disk(seconds=3)
    for host in pair.on(4):
        host.start()
    busy = functools.partial(all_stalled, tampers[0])
    wait_until(busy, 15, "the leaders' disks stall", pair.open.describe)
    pair.hold(1, 4)
    pair.wait_leader(1)
    assert not changes_since(pair.open, at) + changes_since(pair.quorum, at)

    pair.note("crash", "h1")
    for host in pair.on(1):
        host.crash()
    wait_until(lambda: bool(pair.open.leaders()), 15, "somebody leads", pair.open.describe)
    busy = functools.partial(all_stalled, tampers[1])
    wait_until(busy, 15, "the followers' disks stall", pair.open.describe)
    for each in tampers[1]:
        each.stall_disk(seconds=0)
    pair.wait_leaders([2, 3, 4])
    pair.check()


def all_stalled(tampers: list[Tamper]) -> bool:
    return all(tamper.disk_has_stalled for tamper in tampers)
