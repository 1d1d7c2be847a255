"""The leader that wakes up late, with what all nodes share: a file of tokens, and a disk.

A directory of this machine stands for the share; every host of the lab sees it.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable

import pytest

from lab.events import Record
from lab.group import Group
from lab.hosts import Host, agent_command
from lab.stories import lead, others, wait_all_alive
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

SECONDS = 60
WRITE = 'echo "$FTL_TOKEN $1" >>"$2"'
LATER = 'echo ready; read -r go; exec "$@"'


class Share:
    """The directory that all share; what was written through `fence` is in ``lines``."""

    def __init__(self, group: Group) -> None:
        self._directory = group.network.directory / "share"
        self._directory.mkdir()
        self._data = self._directory / "data"

    @property
    def lines(self) -> list[str]:
        return self._data.read_text().splitlines()

    def write(self, host: Host, token: str | None = None) -> subprocess.CompletedProcess[str]:
        """Write as that host, with the token of a job, or with what its agent says."""
        return subprocess.run(
            self._argv(host),
            env=environment(token),
            capture_output=True,
            text=True,
            timeout=SECONDS,
        )

    def writer(self, host: Host, token: str) -> subprocess.Popen[str]:
        """The same by a process of that host that is there already, and waits for a line."""
        started = subprocess.Popen(
            [*host.network.enter(host.name), "sh", "-c", LATER, "sh", *self._argv(host, [])],
            env=environment(token),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert started.stdout is not None
        assert started.stdout.readline() == "ready\n"
        return started

    def _argv(self, host: Host, enter: list[str] | None = None) -> list[str]:
        where = ["--token-file", f"{self._directory}/token", "--runtime-dir", str(host.runtime_dir)]
        write = ["sh", "-c", WRITE, "sh", host.name, str(self._data)]
        inside = host.network.enter(host.name) if enter is None else enter
        return [*inside, *agent_command(), "fence", *where, "--", *write]


def environment(token: str | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FTL_")}
    return kept if token is None else {**kept, "FTL_TOKEN": token}


def roles_since(group: Group, host: Host, at: int) -> list[str]:
    """The words of its role file since then, in order."""
    return [r.phase for r in group.records(at) if (r.host, r.what) == (host.name, "role")]


def leader_of(host: Host) -> str | None:
    """Who leads, as its agent says."""
    leader = host.status().get("leader")
    return leader["name"] if leader else None


def gain(group: Group, host: Host, since: int = 0) -> Record:
    return group.wait_hook(host, "leader", since=since)


@pytest.mark.parametrize("freeze", [Host.freeze, Host.suspend], ids=["agent", "host"])
def test_a_leader_that_wakes_up_late_cannot_write(
    build: Callable[..., Group], freeze: Callable[[Host], int]
) -> None:
    """Not even by a process that no hook started, and that wakes before the guardian."""
    group = build(3, quorum=True)
    group.start()
    old = group.wait_one_leader()
    group.wait_all_vote()
    share = Share(group)
    first = gain(group, old).token
    assert share.write(old, first).returncode == 0
    late = share.writer(old, first)

    frozen_at = freeze(old)
    new = group.wait_one_leader(others(group, old))
    second = gain(group, new, frozen_at).token
    assert share.write(new, second).returncode == 0

    group.log.note(old.name, "fault", "thaw-writer")
    late.send_signal(signal.SIGCONT)
    _, said = late.communicate("go\n", timeout=SECONDS)
    assert late.returncode == 1
    assert f"this node's token {first} is older than {second}" in said

    old.thaw_guardian()
    # The frozen agent's job was ended in time; that of a frozen host is, before it runs on.
    group.wait_hook(old, "follower", "end", since=frozen_at)
    old.thaw()
    assert group.wait_one_leader() is new
    assert "leader" not in roles_since(group, old, frozen_at)
    assert_refused(share.write(old), "this host does not lead lab")

    # Its role file says follower before it knows of whom.
    known = f"{old} follows {new}"
    wait_until(lambda: leader_of(old) == new.name, group.timing.patience, known, group.describe)
    wait_all_alive(group, group.timing.patience)
    again_at = group.log.note("-", "fault", "switchover")
    lead(group, old)
    third = gain(group, old, again_at).token
    assert share.write(old).returncode == 0  # with what its agent says
    assert_refused(share.write(new, second), f"this node's token {second} is older than ")
    assert roles_since(group, old, frozen_at).count("leader") == 1
    tokens, writers = zip(*(line.split() for line in share.lines), strict=True)
    assert writers == (old.name, new.name, old.name)
    assert tokens[:2] == (first, second)
    assert int(first) < int(second) < int(third) <= int(tokens[2])
    group.check()


def assert_refused(result: subprocess.CompletedProcess[str], why: str) -> None:
    assert (result.returncode, result.stdout) == (1, "")
    assert f"ftl-agent fence: refused: {why}" in result.stderr
