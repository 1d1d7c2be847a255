"""Booted machines on one switch with the package installed, and the elections that run on them.

    with Cluster([Plan("svc"), Plan("db", quorum=True)]) as cluster:
        cluster.start()
        leader = cluster["db"].wait_settled()
        leader.kill_agent()
        cluster["db"].wait_settled()
        cluster["db"].check()

Each election has a log of its own, stamped by the hooks and by a unit that is bound to its target
by three lines. `Election.wait_settled` returns only when role files, hooks *and* jobs agree.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from lab import checker, rootfs
from lab.events import EventLog, Record, now
from lab.group import Timing, hooks_agree
from lab.hosts import build_stamp
from lab.machines import Machine, sweep_cgroups
from lab.members import Member
from lab.net import Network
from lab.waiting import wait_until

POLL = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """One instance to run on every machine.

    stop_ms   `stop_timeout` (default 400 in a quorum group: the product's 2 s make stories slower)
    settings  more keys of the YAML; without any, and in an open group, the file is empty
    """

    instance: str
    quorum: bool = False
    stop_ms: int | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def stop(self) -> int:
        """`stop_timeout` in milliseconds."""
        return self.stop_ms if self.stop_ms is not None else 400 if self.quorum else 0

    def document(self, names: Sequence[str]) -> dict[str, Any]:
        """The YAML of this instance on every one of these hosts."""
        own: dict[str, Any] = {"stop_timeout": f"{self.stop}ms"} if self.stop else {}
        if self.quorum:
            own["voters"] = list(names)
        return own | self.settings


class Election:
    """The members of one instance, one on each machine, and their log."""

    def __init__(self, plan: Plan, machines: Sequence[Machine], shared: Path) -> None:
        self.plan = plan
        self.instance = plan.instance
        self.quorum = plan.quorum
        self.timing = Timing(0.25, 3, plan.stop / 1000)
        home = shared / plan.instance
        home.mkdir()
        self.log = EventLog(home / "events.log")
        self.members = [Member(machine, plan.instance, self.log) for machine in machines]
        self._stamp = shared / "stamp"
        self._watcher: subprocess.Popen[bytes] | None = None

    # -- acts

    def furnish(self, among: Iterable[Member] | None = None) -> None:
        """Write the configuration, the hooks and the job's unit on these running machines."""
        names = [member.name for member in self.members]
        for member in among or self.members:
            member.configure(self.plan.document(names))
            member.install_job()

    def watch(self) -> None:
        """Stamp what the role files say, from now on."""
        places = [
            f"{member.name}={member.machine.directory}/live/run/ftl/{self.instance}"
            for member in self.members
        ]
        self._watcher = subprocess.Popen([self._stamp, "poll", self.log.path, *places])

    def unwatch(self) -> None:
        if self._watcher is not None:
            self._watcher.kill()
            self._watcher.wait()

    def lead(self, member: Member) -> None:
        """Let that member lead, whoever leads now.

        It may have to be asked for again: refused while its leader has not heard it, and in vain
        while the guardian of a host that is just back is not ready.
        """
        until = time.monotonic() + 3 * self.patience
        while self.wait_settled() is not member:
            assert time.monotonic() < until, f"{member} does not lead\n{self.describe()}"
            self.wait_all_vote()
            answer = member.ask("switchover", to=member.name)
            time.sleep(0.1 if answer.get("done") else 0.5)

    # -- observations

    @property
    def patience(self) -> float:
        """How long a test waits for anything that an election decides."""
        return self.timing.patience + 5

    @property
    def running(self) -> list[Member]:
        return [member for member in self.members if member.machine.is_on]

    def others(self, *members: Member) -> list[Member]:
        return [member for member in self.running if member not in members]

    def records(self, since: int = 0) -> list[Record]:
        return self.log.read(since)

    def wait_settled(
        self,
        among: Sequence[Member] | None = None,
        within: float | None = None,
        jobs: bool = True,
    ) -> Member:
        """Wait until one of these leads, the others follow, and hooks (and jobs) have caught up."""
        members = among if among is not None else self.running
        names = " ".join(member.name for member in members)
        what = f"one of {names} leads {self.instance}, the others follow, hooks and jobs agree"
        seconds = within or self.patience
        return wait_until(
            partial(self._agreed, members, jobs), seconds, what, self.describe, poll=POLL
        )

    def _agreed(self, members: Sequence[Member], jobs: bool) -> Member | None:
        roles = {member: member.role for member in members}
        leaders = [member for member, role in roles.items() if role == "leader"]
        if len(leaders) != 1 or list(roles.values()).count("follower") != len(members) - 1:
            return None
        records, at = self.records(), now()
        agree = all(hooks_agree(records, member.name, roles[member]) for member in members)
        names = {member.name for member in members}
        working = checker.hosts_at_work(records, at - checker.LATE) & names
        return leaders[0] if agree and (not jobs or working == {leaders[0].name}) else None

    def wait_job_end(self, member: Member, at: int) -> int:
        """When the job that ran on that member's machine at that instant has ended (ns)."""

        def ended() -> int | None:
            return checker.job_end(self.records(), at, member.name, now())

        return wait_until(ended, self.patience, f"the job on {member.name} ends", self.describe)

    def wait_no_leader(self, among: Sequence[Member]) -> None:
        """Wait until none of these leads, and no job of theirs lives."""
        names = {member.name for member in among}

        def idle() -> bool:
            at = now()
            working = checker.hosts_at_work(self.records(), at - checker.LATE) & names
            return not working and not any(member.role == "leader" for member in among)

        wait_until(idle, self.patience, f"none of {sorted(names)} leads", self.describe, poll=POLL)

    def wait_all_vote(self) -> None:
        """Wait for the end of the quarantine: a voter that was started follows in silence first."""
        if self.quorum:
            what = f"no voter of {self.instance} is in quarantine"
            wait_until(self._all_vote, 20, what, self.describe, poll=POLL)

    def _all_vote(self) -> bool:
        said = [member.status().get("quorum") for member in self.running]
        return all(quorum is not None and not quorum["quarantined"] for quorum in said)

    def check(self) -> None:
        """Everything that holds at any time in this kind of group."""
        records = self.records()
        checker.check_hooks(records)
        if self.quorum:
            checker.check_quorum(records)

    def describe(self) -> str:
        """The log without ticks and the end of every member's journal."""
        return "\n".join([self.log.story(), *(member.tail() for member in self.members)])


class Cluster:
    """``releases`` says how many machines h1, h2 … there are, and what each of them runs.

    installed  the package is there already; without it the machines have nothing of ours
    furnish    configuration, hooks and job of every instance are there already
    """

    def __init__(
        self,
        plans: Sequence[Plan] = (),
        *,
        releases: Sequence[str] = ("bookworm",) * 3,
        package: Path | None = None,
        installed: bool = True,
        furnish: bool = True,
    ) -> None:
        self._plans = plans
        self._releases = releases
        self._installed = installed
        self._furnish = furnish
        self._package = package
        self._stack = ExitStack()
        self.machines: list[Machine] = []
        self.elections: list[Election] = []

    def __enter__(self) -> Cluster:
        sweep_cgroups()
        self.package = self._package or rootfs.package()
        names = [f"h{number + 1}" for number in range(len(self._releases))]
        with self._stack as stack:
            self.network = stack.enter_context(Network(names))
            self.shared = self.network.directory / "shared"
            self.shared.mkdir()
            build_stamp(self.shared, "-static")
            for name, release in zip(names, self._releases, strict=True):
                self.machines.append(self._machine(name, release))
                stack.callback(self.machines[-1].end)
            self.power_on(self.machines)
            for plan in self._plans:
                self.elections.append(Election(plan, self.machines, self.shared))
                if self._furnish:
                    self.elections[-1].furnish()
                stack.callback(self.elections[-1].unwatch)
                self.elections[-1].watch()
            self._stack = stack.pop_all()
        return self

    def _machine(self, name: str, release: str) -> Machine:
        layers = (
            rootfs.installed(release, self.package) if self._installed else rootfs.bare(release)
        )
        return Machine(name, self.network, layers, self.shared, release)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def __getitem__(self, instance: str) -> Election:
        return next(each for each in self.elections if each.instance == instance)

    # -- acts

    def start(self) -> None:
        """Enable every agent on every machine; h1 leads everywhere, every voter votes."""
        units = [f"ftl-agent@{election.instance}" for election in self.elections]
        self.note("start")
        self.everywhere("systemctl", "enable", "--now", *units)
        self.rest()

    def rest(self) -> None:
        """Wait until every election is settled, with h1 as leader, and read no more what was."""
        for election in self.elections:
            election.wait_settled()
        for election in self.elections:
            election.wait_all_vote()
            election.lead(election.members[0])
        for election in self.elections:
            election.check()
            election.log.compact()

    def everywhere(self, *argv: str) -> None:
        """Run a command on all machines at once; RuntimeError where it fails."""
        processes = [machine.start(*argv) for machine in self.machines]
        said = [process.communicate(timeout=60)[0] for process in processes]
        codes = [process.returncode for process in processes]
        if any(codes):
            raise RuntimeError(f"{' '.join(argv)}: exit {codes}: {said}\n{self.describe()}")

    def power_on(self, machines: Iterable[Machine]) -> None:
        """Boot these at once."""
        chosen = list(machines)
        for machine in chosen:
            machine.power_on()
        for machine in chosen:
            machine.wait_booted()

    def pull_the_plug(self, *machines: Machine) -> int:
        """No power, from one moment to the next, for these."""
        at = min([self.note("power-off", machine.name) for machine in machines])
        for machine in machines:
            machine.pull_the_plug()
        return at

    def shut_down(self, machine: Machine) -> int:
        """A clean power-off, to its end."""
        at = self.note("shutdown", machine.name)
        machine.run("systemctl", "poweroff")
        machine.wait_off(within=60)
        return at

    def cut(self, machine: Machine) -> int:
        """Nothing in, nothing out; the carrier stays."""
        at = self.note("cut", machine.name)
        self.network.cut(machine.name)
        return at

    def heal(self) -> int:
        at = self.note("heal")
        self.network.heal()
        return at

    def note(self, fault: str, host: str = "-") -> int:
        """Write a fault into every log; return its instant."""
        return min([election.log.note(host, "fault", fault) for election in self.elections])

    def of_each(self, act: Callable[[Election], Any]) -> list[Any]:
        """Do this with each election, one after the other."""
        return [act(election) for election in self.elections]

    def describe(self) -> str:
        stories = [election.describe() for election in self.elections]
        return "\n".join(stories or [machine.journal() for machine in self.machines])
