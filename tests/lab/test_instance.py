"""One agent per instance on a host: the second is refused, and the first does not notice."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from lab.group import Group
from lab.waiting import wait_until

pytestmark = pytest.mark.lab


def test_a_second_agent_of_the_same_instance(build: Callable[..., Group]) -> None:
    group = build(1)
    group.start()
    (host,) = group.hosts
    group.wait_one_leader()

    reader, writer = os.pipe()
    second = host.spawn("run", "-c", str(host.config), output=writer)
    os.close(writer)
    wait_until(lambda: second.poll() is not None, 10, "the second agent gives up")
    with os.fdopen(reader) as output:
        message = output.read()
    assert second.returncode in (2, 78)
    assert str(host.agent_pid) in message  # who is in the way
    assert "Traceback" not in message

    assert host.is_running
    assert host.role == "leader"
    assert host.command("is-leader", "lab").returncode == 0
    group.check()
