"""An ordeal: random faults on real agents, one after another or two at once; what must hold.

Promise: after every fault the log is held against the promises, and who must have a leader has
one in time: whoever is left together while a fault lasts, and all of them when it is over. One seed
gives the same faults in the same order, said of "the leader" and "the n-th of the others": how the
agents answer is their own affair, so a replay is a likely one, not an exact one.

Left out, as DESIGN.md 6 does not promise it: in a quorum group, agent and guardian are not killed
together; and the guardian of a host that stood still acts before its job does.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from functools import partial

import yaml

from lab import checker
from lab.events import Record, now
from lab.faults import BLINK, PASSING, Division, Fault, Link, Step, links, majority, parts, plan
from lab.group import GATHERING, SLACK, Group, hooks_agree
from lab.hosts import Host
from lab.ledger import Ledger
from lab.stories import LAUNCH, others
from lab.tally import Tally
from lab.waiting import wait_until

PROMPT = 3.0
"""Beside the lock, the seconds that an election may take where a majority is connected and well."""
POLL = 0.02


@dataclass
class Ordeal:
    """A group, not yet started, and what will befall it. ``stop``: another ordeal has failed.

    ``witness``: the last host, if it is one.
    """

    name: str
    group: Group
    steps: Sequence[Step]
    say: Callable[[str], None]
    stop: threading.Event = field(default_factory=threading.Event)
    witness: Host | None = None
    tally: Tally = field(default_factory=Tally)

    def __post_init__(self) -> None:
        self._network: dict[Fault, set[Link]] = {}
        self._restarted: set[str] = set()
        self._leader = self.group.hosts[0]
        self._division = Division()

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
        self._check_all(self.ledger.whole())
        self.tally.demand(minority=self.group.quorum and "crash-others" in self.tally.faults)

    def _start(self) -> None:
        self.group.log = self.ledger = Ledger(self.group.log.path)
        for host in self.group.hosts:
            host.log = self.ledger
        if self.witness is not None:
            self.group.configure(self.witness, witness=True)
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
        self._division.agree(now())
        self.tally.healed.append(time.monotonic() - since)
        return f"; {self._leader} leads {self.tally.healed[-1]:.1f} s after healing"

    def _wait_answers(self, within: float = LAUNCH) -> None:
        """Wait for those that were started: that takes what it takes on a busy machine."""
        for host in self.group.running:
            wait_until(host.status, within, f"{host} answers", host.tail, poll=POLL)

    def _all_name_it(self) -> bool:
        told = [host.status().get("leader") for host in self.group.hosts]
        return all(leader and leader["name"] == self._leader.name for leader in told)

    def _check(self) -> None:
        self._check_all(self.group.records())
        self.ledger.compact()

    def _check_all(self, records: Sequence[Record]) -> None:
        checker.check_hooks(records)
        checker.check_each_host(records)
        if self.group.quorum:
            checker.check_quorum(records)
        else:
            checker.check_open(records, self._division.windows())
        if self.witness is not None:
            checker.check_never_led(records, self.witness.name)

    # -- while it lasts

    def _hold(self, lasting: Sequence[Fault], begun_at: float) -> str:
        """Let the faults last until who is left has settled; how long that took, in words."""
        due = self._due()
        if any(fault.kind == "loss" for fault in lasting) or not due:
            told = "" if self._may_be_led() else self._end_of_leaders()
            ends_at = max((fault.ends_at for fault in lasting), default=0.0)
            time.sleep(max(0.0, begun_at + ends_at - time.monotonic()))
            return told
        self._wait_answers()
        since = time.monotonic()
        what = f"each of {due} has one leader"
        settled = partial(self._all_settled, due)
        wait_until(settled, self.bound, what, self.group.describe, poll=POLL)
        self.tally.settled.append(time.monotonic() - since)
        return f" (settled after {self.tally.settled[-1]:.1f} s)"

    def _due(self) -> list[list[Host]]:
        """The parts of the group that must have exactly one leader each as things are."""
        hosts = {host.name: host for host in self.group.hosts}
        well = [host.name for host in self.group.running]
        blocked = set[Link]().union(*self._network.values())
        if self.group.quorum:
            found = [majority(well, blocked, len(hosts))]
        else:
            found = parts(well, blocked, self._restarted)
        return [[hosts[name] for name in part] for part in found if part]

    def _may_be_led(self) -> bool:
        """Are enough agents there that one of them may lead, whatever the network is like?"""
        needed = len(self.group.hosts) // 2 + 1 if self.group.quorum else 1
        return len(self.group.running) >= needed

    def _end_of_leaders(self) -> str:
        """Wait until nobody leads any more; how long that took, in words."""
        since = time.monotonic()
        self.group.wait_no_leader(self.group.running, self.bound)
        self.tally.leaderless.append(time.monotonic() - since)
        return f" (nobody led after {self.tally.leaderless[-1]:.1f} s)"

    def _all_settled(self, due: Sequence[Sequence[Host]]) -> bool:
        records = self.group.records()
        for part in due:
            leaders = self.group.leaders(part)
            if len(leaders) != 1 or not hooks_agree(records, leaders[0].name, "leader"):
                return False
        return not self.group.quorum or len(self.group.leaders()) == 1

    # -- the faults

    def _begin(self, fault: Fault, order: Sequence[Host]) -> None:
        host = order[fault.target]
        self.tally.faults[fault.kind] += 1
        self._division.begin(fault.kind, now())
        match fault.kind:
            case "crash" | "crash-witness":
                host.crash()
            case "crash-others":
                for other in _all_but(host, order):
                    other.crash()
            case "crash-both":
                host.crash_both()
            case "power-off":
                host.power_off()
            case "freeze":
                host.freeze()
            case "suspend":
                host.suspend()
            case "restart":
                # One that has only just begun may not even know SIGTERM yet.
                wait_until(host.status, LAUNCH, f"{host} answers", host.tail, poll=POLL)
                host.stop()
            case "loss":
                self._network[fault] = set()
                self.group.lose(fault.percent)
            case _:
                self._network[fault] = links(fault, [one.name for one in order])
                host.log.note(host.name, "fault", fault.kind)
                self.group.network.block(self._network[fault])

    def _end(self, fault: Fault, order: Sequence[Host]) -> None:
        host = order[fault.target]
        match fault.kind:
            case "crash" | "crash-both" | "crash-witness":
                host.start()
                self._restarted.add(host.name)
            case "crash-others":
                self._restarted |= {other.name for other in _all_but(host, order)}
                self.group.start(_all_but(host, order))
            case "power-off":
                host.power_on()
                self._restarted.add(host.name)
            case "freeze":
                host.thaw()
            case "suspend":
                host.resume(job_is_over=fault.lasts > BLINK and self.group.quorum)
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
        return self.tally.line(self.name, self.ledger.whole(), quorum=self.group.quorum)


# -- four of them

GROUPS = {
    "quorum of 3": (3, True),
    "two and a witness": (3, True),
    "quorum of 5": (5, True),
    "open of 5": (5, False),
}
"""How many hosts, and whether they vote."""


def entries(
    build: Callable[..., Group],
    seed: int,
    faults: int,
    say: Callable[[str], None],
    stop_ms: int | None = None,
) -> list[Ordeal]:
    """An ordeal for each of GROUPS, so many faults in all.

    ``stop_ms``: of the quorum groups' `stop_timeout`; None: the lab's own.
    """
    stop = threading.Event()
    found = []
    for number, (name, (size, quorum)) in enumerate(GROUPS.items()):
        count = faults // len(GROUPS) + (number < faults % len(GROUPS))
        has_one = "witness" in name
        rng = random.Random(f"{seed} {name}")
        steps = plan(rng, size, count, quorum=quorum, witness=has_one)
        group = build(size, quorum=quorum, stop_ms=stop_ms if quorum else None)
        found.append(Ordeal(name, group, steps, say, stop, group.hosts[-1] if has_one else None))
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


def _all_but(host: Host, order: Sequence[Host]) -> list[Host]:
    return [other for other in order if other is not host]


def _told(fault: Fault, order: Sequence[Host]) -> str:
    word = " but" if fault.kind == "crash-others" else " of"
    of = f" {fault.percent} %" if fault.kind == "loss" else f"{word} {order[fault.target]}"
    return f"{fault.kind}{of} for {fault.lasts:.1f} s"
