"""A long day: ten agents, a change of leaders in each round, faults beside it; what must stay flat.

Promise: every round ends in agreement and is held against the promises; what most agents cost is
read at rest, from the kernel and from within. These agents live from the first to the last round.
Only `mortals` are ever killed.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.group import Group
from lab.hosts import Host
from lab.waiting import wait_until

ROUND_SECONDS = 60.0
REST_SECONDS = 3.0
"""Before a reading: what a fault has set off is over by then."""
COUNTED = ("memory", "descriptors", "threads", "tasks")
LIMITS = {"memory": 1024.0, "descriptors": 2.0, "threads": 1.0, "tasks": 3.0}
"""By how much the last quarter's median may exceed the second quarter's: KiB, or numbers."""

# In the agent's own process: how many tasks its loop has, asked by a signal that it does not use.
INSIDE = """
import asyncio, os, signal, sys
def tell(number, frame):
    with open(os.environ["FTL_SOAK"] + f"/tasks.{os.getpid()}", "w") as file:
        file.write(f"{len(asyncio.all_tasks())}\\n")
if "run" in sys.argv or "run" in getattr(sys, "orig_argv", ()):
    signal.signal(signal.SIGUSR1, tell)
"""


@dataclass
class Reading:
    """What one process costs: anonymous memory in KiB, and numbers."""

    memory: float
    descriptors: float
    threads: float
    tasks: float = 0.0


@dataclass
class Soak:
    """``readings``: of each agent and guardian that lives on, in order. ``changes``: of leaders."""

    group: Group
    rng: random.Random
    say: Callable[[str], None]
    readings: dict[str, list[Reading]] = field(default_factory=dict)
    changes: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    @property
    def mortals(self) -> list[Host]:
        """The hosts whose agents may be killed: the last three in ten."""
        hosts = self.group.hosts
        return hosts[-max(1, len(hosts) * 3 // 10) :]

    def run(self, seconds: float, round_seconds: float = ROUND_SECONDS) -> None:
        """Rounds until ``seconds`` are over. Raises AssertionError where a promise is broken."""
        self._start()
        end = time.monotonic() + seconds
        for number in itertools.count(1):
            if time.monotonic() >= end:
                return
            next_at = time.monotonic() + round_seconds
            self._round()
            self._read()
            most = max(seen[-1].memory for who, seen in self.readings.items() if "agent" in who)
            self.say(f"round {number}: {self.changes} leaders, an agent of {most:.0f} KiB at most")
            time.sleep(max(0.0, min(next_at, end) - time.monotonic()))

    # -- the rounds

    def _start(self) -> None:
        group = self.group
        place = group.network.directory / "soak"
        place.mkdir()
        (place / "sitecustomize.py").write_text(INSIDE)
        self._place = place
        for host in group.hosts:
            host.inside = ["env", f"PYTHONPATH={place}", f"FTL_SOAK={place}"]
        group.start()
        group.wait_one_leader()
        group.wait_all_vote()

    def _round(self) -> None:
        group = self.group
        leader = group.wait_one_leader()
        nuisances = self.rng.sample(self._nuisances(leader), k=2)
        self._do(self.rng.choice(self._depositions(leader)), leader)
        for nuisance in nuisances:
            hosts = [host for host in group.running if host.role == "follower"]
            self._do(nuisance, self.rng.choice(hosts) if hosts else leader)
        group.heal()
        group.wait_one_leader(group.hosts)
        time.sleep(REST_SECONDS)
        group.wait_one_leader(group.hosts)
        group.check()
        self.changes += sum(r.is_hook_start and r.what == "hook.leader" for r in group.records())
        group.log.compact()

    def _do(self, act: Callable[[Host], None], host: Host) -> None:
        name = act.__name__.strip("_")
        self.faults[name] = self.faults.get(name, 0) + 1
        act(host)

    def _depositions(self, leader: Host) -> list[Callable[[Host], None]]:
        acts: list[Callable[[Host], None]] = [self._step_down, self._cut, self._freeze, self._pull]
        if leader in self.mortals:
            acts += [self._restart, self._crash]
            # Without a guardian the job lives on until the agent is back: a known limit.
            acts += [] if self.group.quorum else [self._crash_both]
        return acts

    def _nuisances(self, leader: Host) -> list[Callable[[Host], None]]:
        return [self._lose, self._freeze, self._cut, self._pull, self._kill_a_mortal]

    # -- the faults; each is over when it returns, but for what is healed by the network

    def _step_down(self, host: Host) -> None:
        host.ask("step-down")
        self._wait_other_than(host)

    def _cut(self, host: Host) -> None:
        self.group.cut(host)
        self._for_a_while()
        self.group.heal()

    def _freeze(self, host: Host) -> None:
        # A job that was frozen with its host may work for a moment before its guardian ends it.
        host.freeze() if host.role == "leader" else host.suspend()
        self._for_a_while()
        host.thaw()

    def _pull(self, host: Host) -> None:
        host.carrier_down()
        self._for_a_while()
        host.carrier_up()

    def _lose(self, host: Host) -> None:
        self.group.lose(20)
        self._for_a_while()

    def _restart(self, host: Host) -> None:
        host.stop()
        host.wait_stopped()
        host.start()

    def _crash(self, host: Host) -> None:
        host.crash()
        self._for_a_while()
        host.start()

    def _crash_both(self, host: Host) -> None:
        host.crash_both()
        self._for_a_while()
        host.start()

    def _kill_a_mortal(self, host: Host) -> None:
        self._crash(self.rng.choice([mortal for mortal in self.mortals if mortal.is_running]))

    def _for_a_while(self) -> None:
        """As long as an election takes, twice at most."""
        time.sleep(self.group.timing.takeover * self.rng.uniform(0.2, 2))

    def _wait_other_than(self, host: Host) -> None:
        wait_until(lambda: host.role != "leader", self.group.timing.patience, f"{host} has ended")

    # -- the readings

    def _read(self) -> None:
        for host in self.group.hosts:
            if host in self.mortals:
                continue
            agent, guardian = host.agent_pid, host.guardian_pid
            told = read(agent)
            told.tasks = self._tasks(agent)
            self.readings.setdefault(f"{host} agent", []).append(told)
            if guardian is not None:
                self.readings.setdefault(f"{host} guardian", []).append(read(guardian))

    def _tasks(self, pid: int) -> float:
        answer = self._place / f"tasks.{pid}"
        answer.unlink(missing_ok=True)
        os.kill(pid, signal.SIGUSR1)
        wait_until(lambda: _text(answer), 10, f"agent {pid} counts its tasks")
        return float(_text(answer))


def read(pid: int) -> Reading:
    """What the kernel says of a process."""
    place = Path("/proc", str(pid))
    anonymous = next(
        line for line in (place / "smaps_rollup").read_text().splitlines() if "Anonymous:" in line
    )
    threads = next(
        line for line in (place / "status").read_text().splitlines() if "Threads:" in line
    )
    return Reading(
        float(anonymous.split()[1]), len(os.listdir(place / "fd")), float(threads.split()[1])
    )


def growth(readings: Sequence[Reading], what: str) -> float:
    """The last quarter's median less the second quarter's."""
    values: list[float] = [getattr(reading, what) for reading in readings]
    quarter = max(1, len(values) // 4)
    early = values[quarter : 2 * quarter] or values[:1]
    grown: float = statistics.median(values[-quarter:]) - statistics.median(early)
    return grown


def verdict(readings: dict[str, list[Reading]]) -> list[str]:
    """What grew beyond its limit, in words."""
    return [
        f"{who}: {what} grew by {grown:g} (limit {LIMITS[what]:g})"
        for who, seen in readings.items()
        for what in COUNTED
        if (grown := growth(seen, what)) > LIMITS[what]
    ]


def table(readings: dict[str, list[Reading]]) -> str:
    """For agents and for guardians: median at first and in the end, the most ever, worst growth."""
    lines = [
        f"{'':22} {'second quarter':>14} {'last quarter':>13} {'most':>9} {'worst growth':>13}"
    ]
    for kind in ("agent", "guardian"):
        all_of_kind = [seen for who, seen in readings.items() if who.endswith(kind)]
        for what in COUNTED:
            if kind == "guardian" and what == "tasks":
                continue
            early, late, most = [], [], []
            for seen in all_of_kind:
                values = [getattr(reading, what) for reading in seen]
                quarter = max(1, len(values) // 4)
                early.append(statistics.median(values[quarter : 2 * quarter] or values[:1]))
                late.append(statistics.median(values[-quarter:]))
                most.append(max(values))
            unit = " KiB" if what == "memory" else ""
            worst = max(growth(seen, what) for seen in all_of_kind)
            lines.append(
                f"{kind + ' ' + what + unit:22} {statistics.median(early):14g} "
                f"{statistics.median(late):13g} {max(most):9g} {worst:13g}"
            )
    return "\n".join(lines)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return ""
