"""An ordeal: random faults on real agents, one after another or two at once; what must hold.

Promise: after every fault the log is held against the promises, and who must have a leader has
one in time: whoever is left together while a fault lasts, and all of them when it is over. One seed
gives the same faults in the same order, said of "the leader" and "the n-th of the others": how the
agents answer is their own affair, so a replay is a likely one, not an exact one.

Left out, as DESIGN.md 6 does not promise it: in a quorum group, agent and guardian are not killed
together; and the guardian of a host that stood still acts before its job does.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import yaml

from lab import checker
from lab.events import NS
from lab.group import GATHERING, SLACK, Group, hooks_agree
from lab.hosts import Host
from lab.ledger import Ledger
from lab.stories import LAUNCH, others
from lab.waiting import wait_until

PASSING = ("freeze", "suspend", "restart")
"""Faults that end while the others last."""
ONE_WAY = ("mute", "deafen", "one-way")
LINKS = ("cut", "split", *ONE_WAY)
KINDS = ("crash", "power-off", "loss", *LINKS, *PASSING)
UNPROMISED = ("crash-both",)
"""In a quorum group the job would go on, and nobody be left to end it."""

BLINK = 0.3
"""A host that stands still for no longer than this has lost nothing (seconds)."""
HELD = 0.4
"""So often a fault lasts until whoever is left has settled; else it ends in the middle of that."""
RUSHED = 0.4
"""So often, if it does not, what comes next does not wait until all have settled."""
PAIRS = 0.35
"""So often there are two faults at once."""
PROMPT = 3.0
"""Beside the lock, the seconds that an election may take where a majority is connected and well."""
POLL = 0.02


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind``, beginning ``at`` seconds into its step and lasting so many.

    ``target`` 0 is who leads when the step begins, n the n-th of the others; ``percent``: of loss.
    """

    kind: str
    at: float
    lasts: float
    target: int
    percent: int = 0

    @property
    def ends_at(self) -> float:
        return self.at + self.lasts


@dataclass(frozen=True, slots=True)
class Step:
    """One fault, or two at once.

    ``held``: those that last do so until who is left has settled; ``rushed``: what comes next does
    not wait until all have settled.
    """

    faults: tuple[Fault, ...]
    held: bool
    rushed: bool


def plan(rng: random.Random, size: int, count: int, *, quorum: bool) -> list[Step]:
    """So many faults for a group of that size; each kind comes about as often as any other."""
    kinds = [*KINDS, *(() if quorum else UNPROMISED)]
    deck: list[str] = []
    steps = []
    while count:
        number = min(count, 2 if rng.random() < PAIRS else 1)
        # Half of all faults are the leader's: there are fewer of it.
        first = 0 if rng.random() < 0.5 else rng.randrange(1, size)
        targets = [first, (first + rng.randrange(1, size)) % size]
        faults: list[Fault] = []
        for target in targets[:number]:
            if not deck:
                deck = rng.sample(kinds, len(kinds))
            at = rng.uniform(0, 1.5) if faults and rng.random() < 0.7 else 0.0
            faults.append(_fault(rng, deck.pop(), at, target))
        count -= number
        held = rng.random() < HELD
        steps.append(Step(tuple(faults), held, count > 0 and not held and rng.random() < RUSHED))
    return steps


def _fault(rng: random.Random, kind: str, at: float, target: int) -> Fault:
    match kind:
        case "freeze":
            lasts = rng.uniform(0.1, 5)
        case "suspend":
            lasts = rng.uniform(0.1, BLINK) if rng.random() < 0.4 else rng.uniform(1.5, 5)
        case "restart":
            lasts = rng.uniform(0, 1)
        case "loss":
            return Fault(kind, at, rng.uniform(1, 4), target, rng.randint(10, 40))
        case _:
            lasts = rng.uniform(0, 3)
    return Fault(kind, at, lasts, target)


@dataclass
class Ordeal:
    """A group, not yet started, and what will befall it. ``stop``: another ordeal has failed."""

    name: str
    group: Group
    steps: Sequence[Step]
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    faults: Counter[str] = field(default_factory=Counter)
    settled: list[float] = field(default_factory=list)
    healed: list[float] = field(default_factory=list)
    """Seconds: while a fault lasted, until who was left had settled; after healing, until all."""

    def __post_init__(self) -> None:
        self._network: dict[Fault, set[tuple[str, str]]] = {}
        self._restarted: set[str] = set()
        self._leader = self.group.hosts[0]

    @property
    def bound(self) -> float:
        """Within this there is a leader; a voter that was restarted is silent for a lock first."""
        timing = self.group.timing
        return timing.lock * (2 if self.group.quorum else 1) + PROMPT + SLACK

    def run(self) -> None:
        """Every step. Raises AssertionError where a promise is broken."""
        self._start()
        for number, step in enumerate(self.steps, 1):
            if self.stop.is_set():
                return
            try:
                told = self._step(step)
            except (AssertionError, RuntimeError) as broken:
                story = self.group.describe()
                words = f"{self.name}, step {number} of {len(self.steps)}: {step}"
                raise AssertionError(f"{words}\n{story}\nbroken: {broken}") from broken
            self.say(f"{self.name} {number}/{len(self.steps)}: {told}")
        checker.check_hooks(self.ledger.whole())
        if self.group.quorum:
            checker.check_quorum(self.ledger.whole())

    def _start(self) -> None:
        self.group.log = self.ledger = Ledger(self.group.log.path)
        for host in self.group.hosts:
            host.log = self.ledger
        for host in self.group.hosts[1::2]:
            make_stubborn(self.group, host)
        self.group.start()
        self._wait_answers(GATHERING)
        self._leader = self.group.wait_one_leader(within=self.bound + self.group.timing.patience)
        self.group.wait_all_vote()

    # -- one step

    def _step(self, step: Step) -> str:
        self._leader = next(iter(self.group.leaders()), self._leader)
        order = [self._leader, *others(self.group, self._leader)]
        self._restarted.clear()
        lasting = [fault for fault in step.faults if fault.kind not in PASSING]
        acts = [(fault.at, partial(self._begin, fault, order)) for fault in step.faults]
        for fault in step.faults:
            if fault not in lasting or not step.held:
                acts.append((fault.ends_at, partial(self._end, fault, order)))
        begun_at = time.monotonic()
        for at, act in sorted(acts, key=lambda pair: pair[0]):
            time.sleep(max(0.0, begun_at + at - time.monotonic()))
            act()
        told = f"{self._leader} led; " + " and ".join(_told(fault, order) for fault in step.faults)
        if step.held:
            told += self._hold(lasting, begun_at)
            for fault in lasting:
                self._end(fault, order)
        told += "" if step.rushed else self._heal()
        self._check()
        return told

    def _heal(self) -> str:
        """Wait until all agree; how long that took, in words."""
        group = self.group
        self._wait_answers()
        since = time.monotonic()
        self._leader = group.wait_one_leader(group.hosts, self.bound)
        left = since + self.bound - time.monotonic()
        wait_until(self._all_name_it, left, f"all name {self._leader}", group.describe, poll=POLL)
        assert group.wait_one_leader(group.hosts, left) is self._leader
        self.healed.append(time.monotonic() - since)
        return f"; {self._leader} leads {self.healed[-1]:.1f} s after healing"

    def _wait_answers(self, within: float = LAUNCH) -> None:
        """Wait for those that were started: that takes what it takes on a busy machine."""
        for host in self.group.running:
            wait_until(host.status, within, f"{host} answers", host.tail, poll=POLL)

    def _all_name_it(self) -> bool:
        told = [host.status().get("leader") for host in self.group.hosts]
        return all(leader and leader["name"] == self._leader.name for leader in told)

    def _check(self) -> None:
        self.group.check()
        for host in self.group.hosts:
            own = [r for r in self.group.records() if r.host == host.name]
            jobs = checker.lives(own, "job")
            for one, other in itertools.combinations(jobs, 2):
                assert not one.overlaps(other), f"two jobs on one host:\n{one}\n{other}"
        self.ledger.compact()

    # -- while it lasts

    def _hold(self, lasting: Sequence[Fault], begun_at: float) -> str:
        """Let the faults last until who is left has settled; how long that took, in words."""
        parts = self._due()
        if any(fault.kind == "loss" for fault in lasting) or not parts:
            ends_at = max((fault.ends_at for fault in lasting), default=0.0)
            time.sleep(max(0.0, begun_at + ends_at - time.monotonic()))
            return ""
        self._wait_answers()
        since = time.monotonic()
        what = f"each of {parts} has one leader"
        settled = partial(self._all_settled, parts)
        wait_until(settled, self.bound, what, self.group.describe, poll=POLL)
        self.settled.append(time.monotonic() - since)
        return f" (settled after {self.settled[-1]:.1f} s)"

    def _due(self) -> list[list[Host]]:
        """The parts of the group that must have exactly one leader each as things are."""
        well = self.group.running
        blocked = set().union(*self._network.values())

        def connected(hosts: Iterable[Host]) -> bool:
            pairs = itertools.permutations((host.name for host in hosts), 2)
            return blocked.isdisjoint(pairs)

        if self.group.quorum:
            needed = len(self.group.hosts) // 2 + 1
            majorities = [*filter(connected, itertools.combinations(well, needed))]
            part = [host for host in well if any(host in majority for majority in majorities)]
            return [part] if part else []
        if any((there, here) not in blocked for here, there in blocked):
            return []  # heard one way only: several may lead
        parts: list[list[Host]] = []
        for host in well:
            joined = next((part for part in parts if connected([*part, host])), None)
            joined.append(host) if joined is not None else parts.append([host])
        # Whoever was restarted waits for those that it remembers before it leads.
        return [part for part in parts if not {host.name for host in part} <= self._restarted]

    def _all_settled(self, parts: Sequence[Sequence[Host]]) -> bool:
        records = self.group.records()
        for part in parts:
            leaders = self.group.leaders(part)
            if len(leaders) != 1 or not hooks_agree(records, leaders[0].name, "leader"):
                return False
        return not self.group.quorum or len(self.group.leaders()) == 1

    # -- the faults

    def _begin(self, fault: Fault, order: Sequence[Host]) -> None:
        host = order[fault.target]
        self.faults[fault.kind] += 1
        match fault.kind:
            case "crash":
                host.crash()
            case "crash-both":
                host.crash_both()
            case "power-off":
                power_off(host)
            case "freeze":
                host.freeze()
            case "suspend":
                suspend(host)
            case "restart":
                # One that has only just begun may not even know SIGTERM yet.
                wait_until(host.status, LAUNCH, f"{host} answers", host.tail, poll=POLL)
                host.stop()
            case "loss":
                self._network[fault] = set()
                self.group.lose(fault.percent)
            case _:
                self._network[fault] = links(fault, order)
                host.log.note(host.name, "fault", fault.kind)
                self.group.network.block(self._network[fault])

    def _end(self, fault: Fault, order: Sequence[Host]) -> None:
        host = order[fault.target]
        match fault.kind:
            case "crash" | "crash-both":
                host.start()
                self._restarted.add(host.name)
            case "power-off":
                host.power_on()
                self._restarted.add(host.name)
            case "freeze":
                host.thaw()
            case "suspend":
                resume(host, fault.lasts > BLINK and self.group.quorum)
            case "restart":
                assert host.wait_stopped() == 0, f"{host} did not stop well"
                host.start()
                self._restarted.add(host.name)
            case _:
                del self._network[fault]
                self.group.heal()
                for other, blocked in self._network.items():
                    self.group.network.block(blocked)
                    if other.kind == "loss":
                        self.group.lose(other.percent)

    # -- the verdict

    def summary(self) -> str:
        """One line: what befell the group, and how it bore it."""
        records = self.ledger.whole()
        gains = [r for r in records if r.is_hook_start and r.what == "hook.leader"]
        jobs = sorted(checker.lives(records, "job"), key=lambda job: job.start)
        idle, overlaps, until = 0, 0, jobs[0].start
        for job in jobs:
            idle, overlaps = max(idle, job.start - until), overlaps + (job.start < until)
            until = max(until, job.end or until)
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.faults.items()))
        may = "" if self.group.quorum else " (allowed here)"
        return (
            f"{self.name}: {self.faults.total()} faults ({kinds}); {len(gains)} leaders; longest "
            f"without a job {idle / NS:.1f} s; settled within {max(self.settled, default=0):.1f} s "
            f"{len(self.settled)} times, healed within {max(self.healed, default=0):.1f} s "
            f"{len(self.healed)} times; tokens {gains[0].token} to {gains[-1].token}; "
            f"overlaps {overlaps}{may}"
        )


# -- three of them


def entries(
    build: Callable[..., Group], seed: int, faults: int, say: Callable[[str], None]
) -> list[Ordeal]:
    """A quorum group of three, one of five and an open one of five, so many faults in all."""
    kinds = [("quorum of 3", 3, True), ("quorum of 5", 5, True), ("open of 5", 5, False)]
    stop = threading.Event()
    found = []
    for number, (name, size, quorum) in enumerate(kinds):
        count = faults // len(kinds) + (number < faults % len(kinds))
        steps = plan(random.Random(f"{seed} {name}"), size, count, quorum=quorum)
        found.append(Ordeal(name, build(size, quorum=quorum), steps, say, stop))
    return found


def run_side_by_side(ordeals: Sequence[Ordeal]) -> None:
    """All at once, each on a network of its own; the first failure ends the others, and raises."""
    with ThreadPoolExecutor(len(ordeals)) as pool:
        runs = [pool.submit(ordeal.run) for ordeal in ordeals]
        wait(runs, return_when=FIRST_EXCEPTION)
        for ordeal in ordeals:
            ordeal.stop.set()
    for done in runs:
        done.result()


# -- what befalls a host, beside what `Host` knows


def make_stubborn(group: Group, host: Host) -> None:
    """Its job ignores SIGTERM and no hook ends it: that is left to the guardian."""
    group.configure(host, hook={"leader": "ok"})
    document = yaml.safe_load(host.config.read_text())
    stamp = document["hooks"]["on_leader"][0]
    job = [stamp, str(host.log.path), host.name, str(host.runtime_dir / "state.json")]
    script = 'exec "$1" job "$2" "$3" "$4" stubborn </dev/null >/dev/null 2>&1 &'
    document["hooks"]["on_leader"] = [
        document["hooks"]["on_leader"],
        ["/bin/sh", "-c", script, "sh", *job],
    ]
    host.config.write_text(yaml.safe_dump(document, sort_keys=False))


def links(fault: Fault, order: Sequence[Host]) -> set[tuple[str, str]]:
    """The directions, from and to, that such a fault blocks."""
    names = [host.name for host in order]
    name = names[fault.target]
    rest = [other for other in names if other != name]
    match fault.kind:
        case "mute":
            return {(name, other) for other in rest}
        case "deafen":
            return {(other, name) for other in rest}
        case "one-way":
            return {(name, rest[fault.target % len(rest)])}
        case "cut":
            apart = {name}
        case _:
            # With the leader or without it: 2:3, or 1:2.
            apart = {name, *[other for other in rest if other != names[0]][: len(names) // 2 - 1]}
    return {(a, b) for a, b in itertools.permutations(names, 2) if (a in apart) != (b in apart)}


def power_off(host: Host) -> None:
    """Nothing lives on, not even what was being born when the plug was pulled."""
    host.power_off()
    while pids := host.network.pids(host.name):
        _signal_all(signal.SIGKILL, pids)
    _say_again(host, "power-off")


def suspend(host: Host) -> None:
    """Everything on the host stands still, also what was being born meanwhile."""
    host.suspend()
    stopped: set[int] = set()
    while born := set(host.network.pids(host.name)) - stopped:
        _signal_all(signal.SIGSTOP, born)
        stopped |= born
    _say_again(host, "suspend")


def _say_again(host: Host, fault: str) -> None:
    """A fault is noted before it is done; what the host became in between ends here as well."""
    role = host.role

    def is_stamped() -> bool:
        roles = [r for r in host.log.read() if (r.host, r.what) == (host.name, "role")]
        return role in (roles[-1].phase if roles else role, "none")

    wait_until(is_stamped, SLACK, f"{host}: role {role} is in the log", poll=POLL)
    host.log.note(host.name, "fault", fault)


def resume(host: Host, job_is_over: bool) -> None:
    """Everything goes on; the guardian first, until the job has ended if its time was up."""
    host.thaw_guardian()
    if job_is_over:
        wait_until(lambda: not _works(host), SLACK, f"the job of {host} has ended", host.tail)
    host.thaw()


def _works(host: Host) -> bool:
    """Is there anything of a job, or of the hook that starts one?"""
    for pid in host.network.pids(host.name):
        try:
            words = Path("/proc", str(pid), "cmdline").read_bytes().split(b"\0")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if words[0].endswith(b"/stamp") and (b"leader" in words or b"job" in words[:2]):
            return True
    return False


def _signal_all(signum: signal.Signals, pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signum)
        except ProcessLookupError:
            continue


def _told(fault: Fault, order: Sequence[Host]) -> str:
    of = f" {fault.percent} %" if fault.kind == "loss" else f" of {order[fault.target]}"
    return f"{fault.kind}{of} for {fault.lasts:.1f} s"
