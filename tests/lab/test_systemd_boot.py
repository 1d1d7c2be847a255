"""A machine that comes back after a power cut in the worst way: it joins by itself."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator

import pytest

from lab import checker
from lab.cluster import Cluster, Plan
from lab.keeper import skip_without_machines
from lab.machines import SHARED
from lab.tamper import DAY, build_tamper

pytestmark = pytest.mark.lab

SWITCH_PORT = 30.0  # seconds that a switch takes to let a new port through (spanning tree)
YEAR = 365 * DAY
DROP_IN = """[Service]
Environment=LD_PRELOAD={shared}/tamper.so FTL_TAMPER={shared}/tamper FTL_TAMPER_DISK=/nowhere
ReadWritePaths={shared}
"""


@pytest.fixture(name="cluster")
def fixture_cluster() -> Iterator[Cluster]:
    skip_without_machines()
    with Cluster([Plan("svc"), Plan("db", quorum=True)]) as cluster:
        yield cluster


def test_a_clock_in_the_past_and_a_switch_port_that_takes_half_a_minute(cluster: Cluster) -> None:
    """Booted before its network, a year ago by its clock, without a leader in sight: no unit fails,
    it does not lead, and nobody else changes its role; then it follows."""
    _, told = build_tamper(cluster.shared)
    told.chmod(0o666)
    cluster.start()
    late = cluster.machines[2]
    for plan in ("svc", "db"):
        place = f"/etc/systemd/system/ftl-agent@{plan}.service.d/tamper.conf"
        late.write(place, DROP_IN.format(shared=SHARED))
    late.run("sync")

    cluster.pull_the_plug(late)
    struct.pack_into("=q", image := bytearray(told.read_bytes()), 0, -YEAR)
    told.write_bytes(image)
    late.power_on(plugged=False)
    at = cluster.note("power-on", late.name)
    late.wait_booted()
    members = [election.members[2] for election in cluster.elections]
    # A test of patience: nothing may give up, and nothing may begin to lead, in all that time.
    until = time.monotonic() + SWITCH_PORT
    while time.monotonic() < until:
        for member in members:
            assert member.role != "leader"
            assert member.is_active(member.agent)
        time.sleep(1)
    cluster.network.set_carrier(late.name, up=True)
    cluster.note("carrier-up", late.name)

    for election, member in zip(cluster.elections, members, strict=True):
        leader = election.wait_settled(within=20)
        assert leader is election.members[0]
        moved = [change for change in checker.changes(election.records()) if change.at > at]
        assert moved == [], election.describe()
        election.wait_all_vote()
        assert member.status()["term"] == leader.status()["term"]
        election.check()
    assert late.failed_units() == []
    (read,) = struct.unpack_from("=q", told.read_bytes(), 16)
    assert read > 0, "the clock in the past was never read"
