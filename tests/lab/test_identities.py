"""Two hosts that call themselves the same: who looks is told, and a quorum has one job."""

from __future__ import annotations

import functools
from collections.abc import Callable

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.stories import Pair, changes_since
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

VOTERS = ("h1", "h2", "h3")


def says(host: Host, *words: str) -> bool:
    """Does its ``status`` show a problem with all these words?"""
    problems = host.problems()
    return all(word in problems for word in words)


def any_says(hosts: list[Host], *words: str) -> bool:
    return any(says(host, "identity of h3", *words) for host in hosts)


def one_says_taken(hosts: list[Host]) -> bool:
    return any(says(host, "under this node's identity", "does not lead") for host in hosts)


def leads_alone(group: Group) -> bool:
    return len(group.leaders()) == 1


def leads_one_of(group: Group, hosts: list[Host]) -> bool:
    leaders = group.leaders()
    return len(leaders) == 1 and leaders[0] in hosts


def test_two_nodes_with_one_name(build: Callable[..., Group]) -> None:
    """h4 was given the configuration of h3. All say so, with both addresses; the name counts once:
    without h1 and h2 the two of them are no majority."""
    pair = Pair(build, 4, voters=VOTERS, ipv4_only=True)
    for group in pair.groups:
        group.configure(group.hosts[3], node="h3")
        group.start()
    for group in pair.groups:
        group.wait_one_leader()
        for host in group.hosts:
            words = ("2 members are named h3", *{"10.77.0.3:", "10.77.0.4:"} - own(host))
            told = functools.partial(says, host, *words)
            wait_until(told, 10, f"{host} tells of both", group.describe)
    for number in (1, 2):
        for host in pair.on(number):
            host.power_off()
    quorum = pair.quorum
    quorum.wait_no_leader(quorum.hosts[2:])
    seconds = 2 * quorum.timing.takeover
    holds_for(lambda: not quorum.leaders(), seconds, "one name of three does not lead")
    assert pair.open.wait_one_leader(pair.open.hosts[2:])
    pair.check()


@pytest.mark.parametrize("cloned", [False, True], ids=["name", "clone"])
def test_a_split_with_a_voter_in_each_part(build: Callable[..., Group], cloned: bool) -> None:
    """h4 is h3, once more. Each part of the network has one of the two, and with it two of three
    names: no part has a leader, however long it lasts. Then the operator gives h4 another name."""
    group = build(4, quorum=True, settings={"voters": list(VOTERS)})
    for name in group.network.hosts:
        group.network.switch_ipv6_off(name)
    h1, h2, h3, h4 = group.hosts
    if cloned:
        group.network.machine_id("h4").write_text(group.network.machine_id("h3").read_text())
    group.configure(h4, node="h3")
    group.start()
    for host in (h1, h2):
        told = functools.partial(says, host, "10.77.0.3:", "10.77.0.4:", "neither votes nor leads")
        wait_until(told, 30, f"{host} knows", group.describe)
    one = functools.partial(leads_alone, group)
    single = functools.partial(leads_one_of, group, [h1, h2])
    wait_until(single, 15, "h1 and h2 are two of three", group.describe)

    group.split([h1, h3], [h2, h4])
    group.wait_no_leader(group.hosts)
    seconds = 4 * group.timing.takeover
    holds_for(lambda: not group.leaders(), seconds, "neither part has a leader")
    assert says(h1, "neither votes nor leads"), "though it hears one of the two only"

    group.network.heal()
    wait_until(one, 15, "one leads again", group.describe)
    h4.crash()
    group.configure(h4)
    h4.start()
    for host in (h1, h2):
        over = functools.partial(is_over, host)
        wait_until(over, 60, f"{host} knows that it is over", group.describe)
    h2.power_off()
    wait_until(one, 15, "h1 and h3 are two of three", group.describe)
    group.check()


def is_over(host: Host) -> bool:
    return not any(member["doubled"] for member in host.status().get("members", []))


def sees(host: Host, name: str) -> bool:
    return name in host.alive()


def own(host: Host) -> set[str]:
    """A node says "here" of itself."""
    return {f"{host.network.address(host.name)}:"}


def test_a_clone_with_the_name_and_the_machine_identity(build: Callable[..., Group]) -> None:
    """A running h3 is cloned to h4. The members hear now one, now the other, and tell of both;
    whoever leads, a quorum has one leader and one job."""
    pair = Pair(build, 4, voters=VOTERS, ipv4_only=True)
    pair.network.machine_id("h4").write_text(pair.network.machine_id("h3").read_text())
    for group in pair.groups:
        group.configure(group.hosts[3], node="h3")
        group.start(group.hosts[:3])
    for group in pair.groups:
        group.wait_one_leader(group.hosts[:3])
    for group in pair.groups:
        group.start(group.hosts[3:])
    for group in pair.groups:
        told = functools.partial(any_says, group.hosts[:2], "10.77.0.3:", "10.77.0.4:")
        wait_until(told, 25, "a member tells of both", group.describe)
        taken = functools.partial(one_says_taken, group.hosts[2:])
        wait_until(taken, 25, "the one that is not heard says so", group.describe)
        one = functools.partial(leads_alone, group)
        wait_until(one, 15, "one leads", group.describe)
        holds_for(one, 5, "and it stays so")
    # The operator follows the advice.
    for group in pair.groups:
        clone = group.hosts[3]
        clone.crash()
        group.configure(clone)
        clone.start()
    for group in pair.groups:
        group.wait_one_leader(within=30)
    pair.check()


def test_two_clones_alone(build: Callable[..., Group]) -> None:
    """Two machines made of one image, and nobody else: they hear of each other by mDNS only, under
    their own name. Both say so, and one leads."""
    group = build(2)
    group.network.machine_id("h2").write_text(group.network.machine_id("h1").read_text())
    group.configure(group.hosts[1], node="h1")
    group.start()
    for host in group.hosts:
        told = functools.partial(says, host, "another node with this node's identity speaks from")
        wait_until(told, 25, f"{host} tells of the other", group.describe)
    one = functools.partial(leads_alone, group)
    wait_until(one, 15, "one leads", group.describe)
    holds_for(one, 20, "and it stays so")


def test_a_host_gets_another_name(build: Callable[..., Group]) -> None:
    """Without `node` the host's name is the node's. While the agent runs it keeps the one that it
    started with, and a reload says so; no role changes. Restarted, it comes as the new one."""
    group = build(3)
    renamed = group.hosts[1]
    nameless = [line for line in renamed.config.read_text().splitlines() if line[:5] != "node:"]
    renamed.config.write_text("\n".join(nameless))
    group.start([group.hosts[0]])
    leader = group.wait_one_leader([group.hosts[0]])
    group.start(group.hosts[1:])
    group.wait_one_leader()
    others = [host for host in group.hosts if host is not renamed]

    at = group.log.note(renamed.name, "fault", "renamed")
    renamed.tool("sh", "-c", "echo other >/proc/sys/kernel/hostname")
    told = renamed.ask("reload")
    assert "node" in str(told), told
    holds_for(lambda: group.leaders() == [leader], 2 * group.timing.takeover, "the leader stays")
    assert not changes_since(group, at)
    assert "h2" in group.hosts[2].alive()

    renamed.inside = ["sh", "-c", 'echo other >/proc/sys/kernel/hostname && exec "$@"', "sh"]
    renamed.stop()
    renamed.wait_stopped()
    renamed.start()
    for host in others:
        seen = functools.partial(sees, host, "other")
        wait_until(seen, 10, f"{host} sees it", group.describe)
    assert group.wait_one_leader() is leader
