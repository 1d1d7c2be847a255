"""mDNS works and UDP does not (a firewall): the operator is told, with the names and the cure."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

RULES = """
table inet firewall {
  chain incoming { type filter hook input priority 0; udp dport 9001 drop; }
}
"""


def nft(group: Group, host: Host, *words: str, rules: str = "") -> None:
    command = [*group.network.enter(host.name), "nft", *words]
    subprocess.run(command, input=rules, text=True, check=True, timeout=10)


def test_members_that_are_shown_but_not_heard(build: Callable[..., Group]) -> None:
    group = build(2)
    for host in group.hosts:
        nft(group, host, "-f", "-", rules=RULES)
    group.start()
    one, other = group.hosts
    wait_until(lambda: "firewall" in one.problems(), 30, f"{one} says that it is isolated")
    assert other.name in one.problems()

    for host in group.hosts:
        nft(group, host, "delete", "table", "inet", "firewall")
    group.wait_one_leader()
    wait_until(lambda: "firewall" not in one.problems(), 10, "the problem is over")
    group.check()


OWN_RULES = """
table inet firewall {
  chain outgoing { type filter hook output priority 0; udp dport 9001 drop; }
}
"""


def test_a_host_whose_own_firewall_lets_nothing_out(build: Callable[..., Group]) -> None:
    group = build(2)
    group.start()
    group.wait_one_leader()
    one, other = group.hosts
    nft(group, one, "-f", "-", rules=OWN_RULES)
    told = re.compile(r"cannot leave this host: to \S+:9001: Operation not permitted \(a firewall")
    wait_until(lambda: told.search(one.problems()), 30, f"{one} says why it is not heard")
    assert other.problems() == ""
    nft(group, one, "delete", "table", "inet", "firewall")
    wait_until(lambda: one.problems() == "", 30, "it is heard again")
    group.wait_one_leader()
    group.check()
