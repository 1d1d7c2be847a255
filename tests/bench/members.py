"""What a group costs as it grows: packets, CPU and memory of its leader and of a follower.

    make bench ROWS=members

Promise: only the steady state is counted, in windows that end by the clock, and a window in which
the leader changed is not counted but taken again. Packets are the interface's own count, mDNS and
ARP included. Up to fifty hosts share this machine's processors and caches, so that each costs more
here than alone: the figures err upwards.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from bench.process import cpu_seconds, pss_alone
from lab.group import Group
from lab.hosts import Host

SIZES = (3, 10, 30, 50)
WINDOW = 30.0
SETTLING = 20.0
FOLLOWERS = 4
MOST_WINDOWS_LOST = 5
LEADER_CPU_LIMIT = 10.0
"""Percent of a processor that the leader of the largest group may take."""

TITLES = (
    *("members", "leader sends, packets/s", "receives", "kB/s out", "in"),
    *("leader's CPU, %", "its guardian's", "a follower's CPU, s/h", "its guardian's"),
    *("leader, MiB", "guardian", "follower"),
)


@dataclass(frozen=True, slots=True)
class Reading:
    """Counters of one host at one instant: packets, bytes, and CPU seconds of its two processes."""

    at: float
    sent: float
    received: float
    bytes_out: float
    bytes_in: float
    agent: float
    guardian: float

    def rate_since(self, before: Reading) -> Reading:
        """Everything per second; ``at`` is the length of the window."""
        seconds = self.at - before.at
        pairs = zip(astuple(self)[1:], astuple(before)[1:], strict=True)
        return Reading(seconds, *((now - then) / seconds for now, then in pairs))


@dataclass(frozen=True, slots=True)
class Cost:
    """A size of group: the leader's rates, a follower's, and PSS in MiB, each as if alone."""

    size: int
    leader: Reading
    follower: Reading
    memory: tuple[float, float, float]

    def cells(self) -> list[str]:
        leader, follower = self.leader, self.follower
        return [
            str(self.size),
            *(f"{leader.sent:.0f}", f"{leader.received:.0f}"),
            *(f"{leader.bytes_out / 1000:.1f}", f"{leader.bytes_in / 1000:.1f}"),
            *(f"{100 * leader.agent:.2f}", f"{100 * leader.guardian:.2f}"),
            *(f"{3600 * follower.agent:.1f}", f"{3600 * follower.guardian:.1f}"),
            *(f"{mebibytes:.1f}" for mebibytes in self.memory),
        ]


def measure(size: int, windows: int) -> Cost:
    """Medians over so many windows; AssertionError if the group does not come to rest."""
    with Group(size, hook="ok") as group:
        group.gather()
        leader = group.wait_one_leader(within=60)
        time.sleep(SETTLING)
        followers = [host for host in group.hosts if host is not leader][:FOLLOWERS]
        leads: list[Reading] = []
        follows: list[Reading] = []
        lost = 0
        while len(leads) < windows:
            rates = _window([leader, *followers])
            if group.wait_one_leader(within=60) is leader:
                leads.append(rates[0])
                follows += rates[1:]
                continue
            lost += 1
            if lost > MOST_WINDOWS_LOST:
                raise AssertionError(f"the leader changed in {lost} windows\n{group.describe()}")
            leader = group.wait_one_leader(within=60)
            followers = [host for host in group.hosts if host is not leader][:FOLLOWERS]
        agent, guardian = pss_alone(_pids(leader))
        memory = (agent, guardian, pss_alone(_pids(followers[0]))[0])
        group.check()
    return Cost(size, _median(leads), _median(follows), memory)


def report(n: int) -> bool:
    """Measure each size, ``n`` windows at most three, and print the table; is it in its limits?"""
    windows = min(n, 3)
    print(f"| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|", flush=True)
    comfortable = True
    for size in SIZES:
        try:
            cost = measure(size, windows)
        except (AssertionError, RuntimeError, subprocess.SubprocessError) as broken:
            print(f"{size} members: MISSED\n{broken}", flush=True)
            comfortable = False
            continue
        print(f"| {' | '.join(cost.cells())} |", flush=True)
        comfortable = comfortable and 100 * cost.leader.agent <= LEADER_CPU_LIMIT
    verdict = "ok" if comfortable else "MISSED"
    print(f"leader's CPU ≤ {LEADER_CPU_LIMIT:g} %: {verdict}  make bench ROWS=members N={windows}")
    return comfortable


def _window(hosts: Sequence[Host]) -> list[Reading]:
    before = [_read(host) for host in hosts]
    time.sleep(WINDOW)
    return [_read(host).rate_since(then) for host, then in zip(hosts, before, strict=True)]


def _read(host: Host) -> Reading:
    agent, guardian = _pids(host)
    bytes_in, received, bytes_out, sent = _interface(agent)
    cpu = (cpu_seconds(agent), cpu_seconds(guardian))
    return Reading(time.monotonic(), sent, received, bytes_out, bytes_in, *cpu)


def _pids(host: Host) -> list[int]:
    guardian = host.guardian_pid
    if guardian is None:
        raise AssertionError(f"{host} has no guardian\n{host.tail()}")
    return [host.agent_pid, guardian]


def _interface(pid: int) -> tuple[int, int, int, int]:
    """Bytes and packets in, bytes and packets out, of eth0 where that process lives."""
    for line in Path("/proc", str(pid), "net", "dev").read_text().splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "eth0":
            words = [int(word) for word in counters.split()]
            return words[0], words[1], words[8], words[9]
    raise RuntimeError(f"process {pid} has no eth0")


def _median(readings: Sequence[Reading]) -> Reading:
    columns = zip(*(astuple(reading) for reading in readings), strict=True)
    return Reading(*(statistics.median(column) for column in columns))
