"""Sentences that several stories need, and two groups that one fault befalls at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from lab import checker
from lab.events import Record
from lab.group import Group
from lab.hosts import Host
from lab.waiting import holds_for, wait_until

LAUNCH = 20.0  # seconds that ten agents may need to be launched on a busy machine


def others(group: Group, *hosts: Host) -> list[Host]:
    """Everybody but these."""
    return [host for host in group.hosts if host not in hosts]


def changes_since(group: Group, at: int) -> list[Record]:
    """The gains and losses of leadership since then, by the role files."""
    return [change for change in checker.changes(group.records()) if change.at > at]


def hold_without_change(group: Group, leader: Host, seconds: float) -> None:
    """The leader stays: no role file gains or loses the word for so long."""
    at = group.log.note("-", "fault", "quiet")
    holds_for(lambda: leader.role == "leader", seconds, f"{leader} leads")
    assert changes_since(group, at) == []


def wait_all_alive(group: Group, within: float) -> None:
    """Wait until each host that runs shows all the others as there."""
    names = {host.name for host in group.running}

    def each_shows_all() -> bool:
        return all(host.alive() >= names - {host.name} for host in group.running)

    wait_until(each_shows_all, within, "each shows all others as there", group.describe)


def lead(group: Group, host: Host) -> None:
    """Let that host lead, whoever leads now."""
    if group.wait_one_leader() is not host:
        group.wait_all_vote()
        assert host.ask("switchover", to=host.name) == {"done": True}
        wait_until(lambda: host.role == "leader", group.timing.patience, f"{host} leads")
        assert group.wait_one_leader() is host


class Pair:
    """An open group and a quorum group on the same hosts: what befalls a host befalls both.

    Each has its own service, port, directories and log. ``build`` is the fixture of that name;
    ``voters`` are the names of the voters, if not all hosts; ``ipv4_only``: a host has one address.
    """

    def __init__(
        self,
        build: Callable[..., Group],
        size: int,
        *,
        voters: Sequence[str] | None = None,
        ipv4_only: bool = False,
    ) -> None:
        self.open: Group = build(size)
        self.quorum: Group = build(
            size,
            quorum=True,
            service="db",
            beside=self.open,
            settings={"voters": list(voters)} if voters else None,
        )
        self.groups = (self.open, self.quorum)
        self.network = self.open.network
        if ipv4_only:
            for name in self.network.hosts:
                self.network.switch_ipv6_off(name)

    def start(self, numbers: Iterable[int] | None = None) -> None:
        """Start all, or these hosts; h1 leads in both, every voter votes."""
        for group in self.groups:
            group.start([group.hosts[n - 1] for n in numbers] if numbers is not None else None)
        for group in self.groups:
            group.wait_one_leader(within=LAUNCH + group.timing.patience)
        self.lead(1)
        self.quorum.wait_all_vote()

    def lead(self, number: int) -> None:
        """Let that host lead both groups."""
        for group, host in zip(self.groups, self.on(number), strict=True):
            lead(group, host)

    def on(self, number: int) -> tuple[Host, Host]:
        """The two agents of host number 1 …"""
        return self.open.hosts[number - 1], self.quorum.hosts[number - 1]

    def hold(self, number: int, seconds: float) -> None:
        """No role changes for so long; that host leads both."""
        at = self.note("quiet")
        leaders = self.on(number)
        what = f"h{number} leads both groups"
        holds_for(lambda: all(host.role == "leader" for host in leaders), seconds, what)
        assert [changes_since(group, at) for group in self.groups] == [[], []]

    def note(self, fault: str, host: str = "-") -> int:
        """Write a fault into both logs; return its instant."""
        return max([group.log.note(host, "fault", fault) for group in self.groups])

    def wait_leader(self, number: int) -> None:
        """Wait until that host leads both groups, and all others follow."""
        for group, host in zip(self.groups, self.on(number), strict=True):
            assert group.wait_one_leader() is host

    def wait_leaders(self, among: Iterable[int] | None = None) -> tuple[Host, Host]:
        """Wait until each group has one leader (among those hosts) whom its others follow."""
        names = [f"h{number}" for number in among] if among is not None else None
        one, other = (
            group.wait_one_leader([h for h in group.running if names is None or h.name in names])
            for group in self.groups
        )
        return one, other

    def check(self) -> None:
        """What must hold at any time, in both."""
        for group in self.groups:
            group.check()
