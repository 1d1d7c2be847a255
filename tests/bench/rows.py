"""The figures of the bench: each is a list of samples from real agents on namespaced hosts.

Every gap starts at a stamp written *before* the fault and ends at the first line of a hook, in one
clock, so it errs upwards. Faults come at a random moment of the heartbeat's period.
"""

from __future__ import annotations

import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from bench.process import cpu_seconds, pss_alone, pss_rollup
from lab import checker
from lab.events import NS, Record
from lab.group import Group
from lab.hosts import Host
from lab.waiting import wait_until

SIZE = 5
CPU_WINDOW = 30.0
LOSS_SECONDS = 60.0
BARE = """
import os, socket, sys, time
ours = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
ours.bind(("127.0.0.1", 0))
parent = os.getpid()
if os.fork():
    while True:
        data, sender = ours.recvfrom(2048)
        ours.sendto(data, sender)
while os.getppid() == parent:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.sendto(bytes(80), ours.getsockname())
    time.sleep(float(sys.argv[1]))
"""
"""Answers a datagram in each heartbeat's period, and does nothing with it."""
Samples = list[float]
Gap = Callable[[Sequence[Record], int, str], int]


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: ``measure(n)`` returns its samples, the median of which must keep ``limit``.

    Where ``every`` is set, each of them must; without a ``limit`` the figure is only told.
    """

    name: str
    what: str
    unit: str
    limit: float | None
    measure: Callable[[int], Samples]
    every: bool = False

    def keeps(self, samples: Samples) -> bool:
        """Do these samples keep the target?"""
        judged = max(samples) if self.every else statistics.median(samples)
        return self.limit is None or judged <= self.limit


# -- faults


@dataclass(frozen=True, slots=True)
class Fault:
    """``strike`` returns the instant before the fault; ``mend`` brings the host back."""

    strike: Callable[[Group, Host], int]
    mend: Callable[[Group, Host], object]


CRASH = Fault(lambda _, host: host.crash(), lambda _, host: host.start())
FREEZE = Fault(lambda _, host: host.freeze(), lambda _, host: host.thaw())
CUT = Fault(lambda group, host: group.cut(host), lambda group, _: group.heal())


def _restart(_: Group, host: Host) -> None:
    host.wait_stopped()
    host.start()


STOP = Fault(lambda _, host: host.stop(), _restart)


def takeovers(
    fault: Fault, gap: Gap, n: int, *, quorum: bool = False, preset: str | None = None
) -> Samples:
    """Strike the leader ``n`` times in one life of a group and measure what follows."""
    samples = []
    with _group(quorum=quorum, preset=preset) as group:
        group.start()
        for _ in range(n):
            old = group.wait_one_leader()
            group.wait_all_vote()
            _let_a_random_time_pass(group)
            at = fault.strike(group, old)
            group.wait_one_leader([host for host in group.hosts if host is not old])
            fault.mend(group, old)
            group.wait_one_leader()
            samples.append(gap(group.records(at), at, old.name) / NS)
        group.check()
    return samples


def launches(n: int) -> Samples:
    """From the first agent's start to one leader whom all others follow, by the role files."""
    samples = []
    for _ in range(n):
        with _group() as group:
            at = group.start()
            group.wait_one_leader()
            samples.append((_agreed_at(group.records(at)) - at) / NS)
            group.check()
    return samples


def healings(n: int) -> Samples:
    """How long two leaders exist after a split of 2:3 has healed."""
    samples = []
    with _group() as group:
        group.start()
        for _ in range(n):
            old = group.wait_one_leader()
            rest = [host for host in group.hosts if host is not old]
            group.split(rest[1:], [old, rest[0]])
            group.wait_one_leader(rest[1:])
            group.wait_one_leader([old, rest[0]])
            _let_a_random_time_pass(group)
            at = group.heal()
            group.wait_one_leader()
            samples.append(checker.two_leaders_ns(group.records(), at) / NS)
        group.check()
    return samples


def claims(percent: int, n: int, *, quorum: bool = False) -> Samples:
    """New leaders in a minute of loss on every link, the one it began with counted as the first.

    A sample takes a minute, so there are at most three.
    """
    samples: Samples = []
    with _group(quorum=quorum) as group:
        group.start()
        for _ in range(min(n, 3)):
            group.wait_one_leader()
            group.wait_all_vote()
            at = group.lose(percent)
            time.sleep(LOSS_SECONDS)
            until = group.heal()
            gains = [r for r in group.records(at) if r.is_hook_start and r.what == "hook.leader"]
            samples.append(1.0 + sum(gain.at < until for gain in gains))
        group.wait_one_leader()
        group.check()
    return samples


def _group(size: int = SIZE, *, quorum: bool = False, preset: str | None = None) -> Group:
    """A group with the product's defaults: in a quorum group the job gets two seconds to end."""
    stop_ms = 2000 if quorum else 0
    return Group(size, quorum=quorum, stop_ms=stop_ms, preset=preset, hook="ok")


def _let_a_random_time_pass(group: Group) -> None:
    """Strike anywhere in the heartbeat's period: right after a heartbeat would be the best case."""
    time.sleep(group.timing.heartbeat * random.uniform(2, 3))


def _agreed_at(records: Sequence[Record]) -> int:
    roles: dict[str, str] = {}
    for record in records:
        if record.what == "role":
            roles[record.host] = record.phase
            if sorted(roles.values()) == ["follower"] * (SIZE - 1) + ["leader"]:
                return record.at
    raise AssertionError("the role files never showed one leader and four followers")


# -- what it costs


def memory(whose: int, n: int) -> Samples:
    """PSS of the agent (0) or its guardian (1), alone on a host, once it leads."""
    samples = []
    for _ in range(n):
        with _group(1) as group:
            group.start()
            group.wait_one_leader()
            (host,) = group.hosts
            pids = [host.agent_pid, _guardian(host)]
            alone = pss_alone(pids)
            if alone[whose] < pss_rollup(pids[whose]) * 0.99:
                raise AssertionError("alone on a host cannot be less than in company")
            samples.append(alone[whose])
    return samples


def follower_cpu(n: int) -> Samples:
    """CPU seconds per hour of a follower, agent and guardian together, extrapolated."""
    samples: Samples = []
    with _group() as group:
        group.start()
        leader = group.wait_one_leader()
        followers = [host for host in group.hosts if host is not leader]
        time.sleep(20)  # first contacts, and what mDNS asks in the beginning, are over
        while len(samples) < n:
            before, began = [_cpu(host) for host in followers], time.monotonic()
            time.sleep(CPU_WINDOW)
            spent = [_cpu(host) - start for host, start in zip(followers, before, strict=True)]
            seconds = time.monotonic() - began
            samples += [3600 * each / seconds for each in spent]
        if group.wait_one_leader() is not leader:
            raise AssertionError(f"the leader changed while the followers were measured\n{group}")
    return samples


def follower_cpu_ratio(n: int) -> Samples:
    """CPU of a follower in units of a bare loop that answers as many datagrams, side by side.

    Seconds depend on the machine, and on what else keeps its caches warm; their ratio much less.
    """
    samples: Samples = []
    with _group() as group:
        group.start()
        leader = group.wait_one_leader()
        followers = [host for host in group.hosts if host is not leader]
        place = group.network.enter(leader.name)
        period = str(group.timing.heartbeat)
        bare = subprocess.Popen([*place, sys.executable, "-c", BARE, period])
        try:
            time.sleep(20)
            while len(samples) < n:
                before = [cpu_seconds(bare.pid), *map(_cpu, followers)]
                time.sleep(CPU_WINDOW)
                after = [cpu_seconds(bare.pid), *map(_cpu, followers)]
                spent = [late - early for early, late in zip(before, after, strict=True)]
                samples += [each / spent[0] for each in spent[1:]]
        finally:
            bare.kill()
            bare.wait()
        if group.wait_one_leader() is not leader:
            raise AssertionError(f"the leader changed while the followers were measured\n{group}")
    return samples


def is_leader(n: int) -> Samples:
    """`ftl-agent is-leader` in units of `python3 -c pass`, one after the other."""
    samples = []
    with _group(1) as group:
        group.start()
        group.wait_one_leader()
        (host,) = group.hosts
        for _ in range(max(n, 20)):
            nothing = _duration([sys.executable, "-c", "pass"])
            samples.append(_duration(host.argv("is-leader", "lab")) / nothing)
    return samples


def _cpu(host: Host) -> float:
    return cpu_seconds(host.agent_pid) + cpu_seconds(_guardian(host))


def _guardian(host: Host) -> int:
    return wait_until(lambda: host.guardian_pid, 5, f"{host} has a guardian", host.tail)


def _duration(argv: Sequence[str]) -> float:
    began = time.perf_counter()
    subprocess.run(argv, check=True, stdout=subprocess.DEVNULL, timeout=30)
    return time.perf_counter() - began


# -- the table

_TAKEOVER, _HANDOVER = checker.takeover_gap, checker.handover_gap

ROWS = [
    Row("launch", "launch → one leader, four followers", "s", 1.5, launches),
    Row(
        *("crash", "crash of the agent → new on_leader, open", "s", 0.15),
        partial(takeovers, CRASH, _TAKEOVER),
    ),
    Row(
        *("crash-quorum", "crash of the agent → new on_leader, quorum", "s", 0.15),
        partial(takeovers, CRASH, _TAKEOVER, quorum=True),
    ),
    Row(
        *("freeze", "freeze of the agent → new on_leader, open (L = 1 s)", "s", 1.2),
        partial(takeovers, FREEZE, _TAKEOVER),
    ),
    Row(
        *("freeze-quorum", "freeze of the agent → new on_leader, quorum (L = 3.5 s)", "s", 3.7),
        partial(takeovers, FREEZE, _TAKEOVER, quorum=True),
    ),
    Row(
        *("cut", "cut → new on_leader, open (L = 1 s)", "s", 1.2),
        partial(takeovers, CUT, _TAKEOVER),
    ),
    Row(
        *("cut-quorum", "cut → new on_leader, quorum (L = 3.5 s)", "s", 3.7),
        partial(takeovers, CUT, _TAKEOVER, quorum=True),
    ),
    Row(
        *("cut-fast", "cut → new on_leader, timing: fast (L = 0.1 s)", "s", 0.15),
        partial(takeovers, CUT, _TAKEOVER, preset="fast"),
    ),
    Row(
        *("stop", "graceful stop: end of on_follower → new on_leader, open", "s", 0.02),
        partial(takeovers, STOP, _HANDOVER),
    ),
    Row(
        *("stop-quorum", "graceful stop: end of on_follower → new on_leader, quorum", "s", 0.02),
        partial(takeovers, STOP, _HANDOVER, quorum=True),
    ),
    Row("heal", "two leaders after a split has healed, open", "s", 0.15, healings),
    Row(
        *("loss", "claims in 60 s at 20 % packet loss, open", "", 1),
        *(partial(claims, 20), True),
    ),
    Row(
        *("loss-quorum", "claims in 60 s at 20 % packet loss, quorum", "", 1),
        *(lambda n: claims(20, n, quorum=True), True),
    ),
    Row("loss-40", "claims in 60 s at 40 % packet loss, open", "", None, partial(claims, 40)),
    Row(
        *("loss-40-quorum", "claims in 60 s at 40 % packet loss, quorum", "", None),
        lambda n: claims(40, n, quorum=True),
    ),
    Row("pss-agent", "memory of the agent, alone on a host", "MiB", 32, partial(memory, 0)),
    Row("pss-guardian", "memory of the guardian, alone on a host", "MiB", 12, partial(memory, 1)),
    Row("cpu", "CPU of a follower with its guardian", "s/h", 4, follower_cpu),
    Row(
        *("cpu-ratio", "the same ÷ a bare loop of recvfrom and sendto", "×", None),
        follower_cpu_ratio,
    ),
    Row("is-leader", "is-leader ÷ python3 -c pass", "×", 3, is_leader),
]
