"""A group of hosts in the lab, and the words its stories are told in.

    with Group(5) as group:
        group.start()
        leader = group.wait_one_leader()
        leader.crash()
        group.wait_one_leader()
        group.check()

Promise: `wait_one_leader` returns only when the role files *and* the hooks of all named hosts
agree; `check` holds everything that must always be true, so a story states only what is special.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

from lab import checker
from lab.events import EventLog, Record
from lab.hosts import Host, build_stamp
from lab.net import Network
from lab.waiting import POLL, wait_until
from lab.weather import Weather

HEARTBEATS = {None: 0.25, "fast": 0.025, "relaxed": 0.75}  # seconds
GATHERING = 60.0  # seconds that a few agents may take to find the others
SLACK = 3.0  # what two busy cores may add to any bound, in seconds


@dataclass(frozen=True, slots=True)
class Timing:
    """The times of one configuration, in seconds, as they follow from its two knobs."""

    heartbeat: float
    failed: int
    stop: float

    @property
    def silence(self) -> float:
        return self.heartbeat * (self.failed + 1)

    @property
    def lease(self) -> float:
        return self.silence / 1.25

    @property
    def lock(self) -> float:
        return 1.25 * (self.lease + self.stop)

    @property
    def takeover(self) -> float:
        """The most that silence alone may cost: a lock that was just renewed, and an election."""
        return self.lock + 3 * self.heartbeat

    @property
    def patience(self) -> float:
        """How long a test waits for anything that an election decides."""
        return 3 * self.takeover + SLACK


class Group(Weather):
    """``size`` hosts h1, h2 … with agents of one service, not yet started.

    quorum   every host is a voter, unless ``settings`` names others
    stop_ms  `stop_timeout` (default 0 for an open group, 400 for a quorum group: the product's
             2 s would only make every story slower)
    preset   `timing`: fast or relaxed; without it the defaults are in force
    hook     what hooks do, see `Host.configure`; "job": on_leader starts one that stamps
    settings more keys of the YAML, for every host
    service  the name of the election
    beside   another group: this one is a second service on the first of its hosts
    ipv4, ipv6  which addresses hosts have, beside the link-local ones, see `Network`
    """

    def __init__(
        self,
        size: int,
        *,
        quorum: bool = False,
        stop_ms: int | None = None,
        preset: str | None = None,
        hook: str | Mapping[str, str] = "job",
        settings: Mapping[str, Any] | None = None,
        service: str = "lab",
        beside: Group | None = None,
        ipv4: bool = True,
        ipv6: bool = False,
    ) -> None:
        names = [f"h{number + 1}" for number in range(size)]
        stop_ms = stop_ms if stop_ms is not None else 400 if quorum else 0
        self.quorum = quorum
        self.timing = Timing(HEARTBEATS[preset], 3, stop_ms / 1000)
        self.service = service
        self.network: Network = (
            Network(names, ipv4=ipv4, ipv6=ipv6) if beside is None else beside.network
        )
        self._owns_network = beside is None
        self._names = names
        self.hosts: list[Host] = []
        self._hook = hook
        self._settings: dict[str, Any] = {"service": service, "stop_timeout": f"{stop_ms}ms"}
        if preset:
            self._settings["timing"] = preset
        if quorum:
            self._settings["voters"] = names
        self._settings |= settings or {}
        self._watcher: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Group:
        if self._owns_network:
            self.network.__enter__()
        try:
            self._populate()
        except BaseException:
            if self._owns_network:
                self.network.__exit__(None, None, None)
            raise
        return self

    def _populate(self) -> None:
        home = self.network.directory / self.service
        home.mkdir()
        stamp = build_stamp(home)
        self.log = EventLog(home / "events.log")
        for name in self._names:
            host = Host(name, self.network, self.log, stamp, self.service)
            self.configure(host)
            self.hosts.append(host)
        places = [f"{host.name}={host.runtime_dir}" for host in self.hosts]
        self._watcher = subprocess.Popen([stamp, "watch", self.log.path, *places])

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            print(self.describe())  # pytest shows it with the failure
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()
        if self._owns_network:
            self.network.__exit__(kind, value, trace)
        for host in self.hosts:
            host.end()

    # -- acts

    def configure(
        self, host: Host, /, hook: str | Mapping[str, str] | None = None, **settings: Any
    ) -> None:
        """Write a host's YAML; ``settings`` override the group's, ``hooks`` adds to `hooks:`."""
        hooks = settings.pop("hooks", {})
        host.configure({**self._settings, **settings}, hook or self._hook, **hooks)

    def start(self, hosts: Iterable[Host] | None = None) -> int:
        """Start these agents (all of them by default); return the instant before the first."""
        return min([host.start() for host in hosts or self.hosts])

    def gather(self, at_once: int = 4) -> int:
        """Start all agents, a few at a time; return the instant before the first.

        A hundred machines do not share two processors: each few start when those before have a
        role. Those that come later find a leader.
        """
        began = self.start(self.hosts[:1])
        self.wait_one_leader(self.hosts[:1])
        for first in range(1, len(self.hosts), at_once):
            few = self.hosts[first : first + at_once]
            self.start(few)
            what = f"{few} follow"
            wait_until(partial(_follow, few), GATHERING, what, self.describe, poll=0.05)
        return began

    def split(self, *parts: Iterable[Host]) -> int:
        """Cut the network between these parts; the hosts not named form one more."""
        at = self.log.note("-", "fault", "split")
        self.network.partition(*([host.name for host in part] for part in parts))
        return at

    def sever(self, one: Host, other: Host) -> int:
        """These two no longer hear each other; everybody else hears both."""
        at = self.log.note(one.name, "fault", f"severed-from-{other.name}")
        self.network.block([(one.name, other.name), (other.name, one.name)])
        return at

    # -- observations

    @property
    def running(self) -> list[Host]:
        return [host for host in self.hosts if host.is_running]

    def leaders(self, among: Iterable[Host] | None = None) -> list[Host]:
        """The hosts whose role file says leader, of those that run."""
        return [host for host in among or self.running if host.role == "leader"]

    def followers(self) -> list[Host]:
        return [host for host in self.running if host.role == "follower"]

    def records(self, since: int = 0) -> list[Record]:
        return self.log.read(since)

    def wait_one_leader(
        self, among: Sequence[Host] | None = None, within: float | None = None
    ) -> Host:
        """Wait until one of these hosts leads, all others follow, and the hooks have caught up."""
        hosts = among or self.running
        names = " ".join(host.name for host in hosts)
        seconds = within or self.timing.patience
        what = f"one of {names} leads, the others follow, hooks agree"
        poll = max(POLL, len(hosts) / 1000)
        return wait_until(lambda: self._agreed(hosts), seconds, what, self.describe, poll=poll)

    def wait_all_vote(self) -> None:
        """Wait for the end of the quarantine: a voter that was started follows in silence first."""
        if self.quorum:
            wait_until(self._all_vote, 20, "no voter is in quarantine", self.describe)

    def _all_vote(self) -> bool:
        return all(_votes(host) for host in self.running)

    def _agreed(self, hosts: Sequence[Host]) -> Host | None:
        dead = [host for host in hosts if not host.is_running]
        if dead:  # waiting on would not bring them back
            raise AssertionError(f"no agent runs on {dead}\n{self.describe()}")
        leaders = [host for host in hosts if host.role == "leader"]
        follow = sum(host.role == "follower" for host in hosts)
        if len(leaders) != 1 or follow != len(hosts) - 1:
            return None
        records = self.records()
        agree = all(hooks_agree(records, host.name, host.role) for host in hosts)
        return leaders[0] if agree else None

    def wait_no_leader(self, among: Sequence[Host], within: float | None = None) -> None:
        """Wait until the role files of all these hosts, and their last hooks, say: not leader."""
        names = " ".join(host.name for host in among)

        def nobody_leads() -> bool:
            if any(host.role == "leader" for host in among):
                return False
            records = self.records()
            return all(hooks_agree(records, host.name, host.role) for host in among)

        seconds = within or self.timing.patience
        wait_until(nobody_leads, seconds, f"none of {names} leads", self.describe)

    def wait_hook(self, host: Host, event: str, phase: str = "start", since: int = 0) -> Record:
        """Wait for a line of a hook and return it."""

        def seen() -> Record | None:
            wanted = (host.name, f"hook.{event}", phase)
            found = (r for r in self.records(since) if (r.host, r.what, r.phase) == wanted)
            return next(found, None)

        what = f"{phase} of on_{event} on {host}"
        return wait_until(seen, self.timing.patience, what, self.describe)

    def check(self) -> None:
        """Everything that holds at any time in this kind of group."""
        records = self.records()
        checker.check_hooks(records)
        if self.quorum:
            checker.check_quorum(records)

    def describe(self) -> str:
        """The log without ticks and the end of every agent's own log."""
        story = [self.log.story(), *(host.tail() for host in self.hosts)]
        return "\n".join(story)


def _follow(hosts: Iterable[Host]) -> bool:
    return all(host.role == "follower" for host in hosts)


def _votes(host: Host) -> bool:
    quorum = host.status().get("quorum")
    return quorum is not None and not quorum["quarantined"]


def hooks_agree(records: Sequence[Record], host: str, role: str) -> bool:
    """The last role hook of that host is the role's, and none still runs."""
    if (checker.last_role_hook(records, host) == "leader") != (role == "leader"):
        return False
    last = [r for r in records if r.host == host and r.what in checker.ROLE_HOOKS]
    return not last or last[-1].phase == "end"
