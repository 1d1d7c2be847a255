"""Two services on the same hosts: an agent for each, that share the host and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lab.group import Group
from lab.stories import Pair, changes_since

pytestmark = pytest.mark.lab


def test_two_services_on_one_host_keep_apart(build: Callable[..., Group]) -> None:
    """Each has its own port, directories and role link; one of them leaves, and the other does not
    notice; a new leader of one is no leader of the other."""
    pair = Pair(build, 5)
    pair.start()
    for one, other in zip(pair.open.hosts, pair.quorum.hosts, strict=True):
        ports = [host.status()["port"] for host in (one, other)]
        assert len(set(ports)) == 2, ports
        assert [(host.directory / "role").read_text().strip() for host in (one, other)] == [
            host.role for host in (one, other)
        ]
        assert (one.directory / "role").resolve() == one.runtime_dir / "role"
        assert (other.directory / "role").resolve() == other.runtime_dir / "role"
        services = [host.status()["service"] for host in (one, other)]
        assert services == ["lab", "db"]
        assert len(one.status()["members"]) == len(other.status()["members"]) == 4
    at = pair.note("stop")
    old = pair.open.hosts[0]
    old.stop()
    new = pair.open.wait_one_leader(pair.open.hosts[1:])
    assert old.wait_stopped() == 0
    assert pair.quorum.wait_one_leader() is pair.quorum.hosts[0]
    assert changes_since(pair.quorum, at) == []
    old.start()
    assert pair.open.wait_one_leader() is new
    # The port that it had is remembered: the other service's peers find it where it was.
    assert pair.quorum.hosts[0].status()["port"] != old.status()["port"]
    pair.check()
