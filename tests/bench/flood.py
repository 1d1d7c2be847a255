"""What a flood costs the leader of a quorum group, and how much of it that bears.

    make bench ROWS=flood

Each line is a kind of datagram at one rate, sent to the leader by one further host; ``from many``
is in the names of 150 hosts, mDNS goes to everybody. A missed lease is a role that changed. The
rate is what the kernel took of the sender. All hosts share this machine's processors: the sender's
half of the kernel's work is not the agent's, and still takes time from it.
"""

from __future__ import annotations

import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.process import cpu_seconds, pss_alone
from lab import flooder as floods
from lab.flooder import Flooder
from lab.group import Group
from lab.hosts import Host
from lab.stories import changes_since

SECONDS = 5.0
RATES = (1_000, 10_000, 100_000)
MDNS_RATES = (100, 1_000, 10_000)
MANY = ("10.77.0.50", 150)
TITLES = (
    *("datagrams", "a second", "missed leases", "read", "answered", "CPU, %"),
    *("per 1,000/s", "MiB before", "most", "after"),
)


@dataclass(frozen=True, slots=True)
class Kind:
    """What is sent, in how many names; ``by_mdns``: to everybody."""

    name: str
    pool: Callable[[], list[bytes]]
    sources: tuple[str, int] | None = None
    by_mdns: bool = False


KINDS = (
    Kind("noise", floods.noise),
    Kind("greetings", lambda: floods.hellos("lab")),
    Kind("greetings from many", lambda: floods.hellos("lab"), MANY),
    Kind("heartbeats from many", lambda: floods.heartbeats("lab"), MANY),
    Kind("PING", lambda: [b"PING"]),
    Kind("mDNS members", lambda: floods.members("lab"), by_mdns=True),
    Kind("mDNS members from many", lambda: floods.members("lab"), MANY, by_mdns=True),
)


def report() -> bool:
    """Print a table without a key and one with; tell whether every lease was kept."""
    kept = True
    for key in (False, True):
        print(f"\n{'with a key' if key else 'without a key'}", flush=True)
        print(f"| {' | '.join(TITLES)} |\n{'|---' * len(TITLES)}|", flush=True)
        for kind in KINDS:
            try:
                kept = _measure(kind, key=key) and kept
            except (AssertionError, RuntimeError, subprocess.SubprocessError) as broken:
                print(f"{kind.name}: MISSED\n{broken}", flush=True)
                kept = False
    print(f"no lease is missed: {'ok' if kept else 'MISSED'}  make bench ROWS=flood", flush=True)
    return kept


def _measure(kind: Kind, *, key: bool) -> bool:
    """One group for all rates of a kind, so that what grows is seen."""
    with Group(4, quorum=True, hook="ok", settings={"voters": ["h1", "h2", "h3"]}) as group:
        flooder, hosts = Flooder(group, "h4"), group.hosts[:3]
        if key:
            _give_key(group)
        group.start(hosts)
        leader = group.wait_one_leader(hosts)
        time.sleep(5)  # what is asked in the beginning is over
        missed = 0
        for rate in MDNS_RATES if kind.by_mdns else RATES:
            leader = group.wait_one_leader(hosts)
            missed += _flood(group, flooder, leader, kind, rate)
        group.check()
    return missed == 0


def _flood(group: Group, flooder: Flooder, leader: Host, kind: Kind, rate: int) -> int:
    at = group.log.note("-", "fault", "flood")
    pid = leader.agent_pid
    memory = [pss_alone([pid])[0]]
    before, cpu, began = _counted(leader), cpu_seconds(pid), time.monotonic()
    target = None if kind.by_mdns else leader
    with flooder.flood(kind.pool(), target, rate, SECONDS, sources=kind.sources) as flood:
        while flood.process.poll() is None:
            memory.append(pss_alone([pid])[0])
            time.sleep(1)
    seconds = time.monotonic() - began
    cpu, after = cpu_seconds(pid) - cpu, _counted(leader)
    time.sleep(2)
    memory.append(pss_alone([pid])[0])
    missed = len([r for r in changes_since(group, at) if r.phase != "leader"])
    sent, used = flood.sent / SECONDS, 100 * cpu / SECONDS
    read, answered = ((after[word] - before[word]) / seconds for word in ("received", "sent"))
    cells = [kind.name, f"{sent:,.0f}", str(missed), f"{read:,.0f}", f"{answered:,.0f}"]
    cells += [f"{used:.1f}", f"{1000 * used / sent:.2f}"]
    cells += [f"{memory[0]:.1f}", f"{max(memory):.1f}", f"{memory[-1]:.1f}"]
    print(f"| {' | '.join(cells)} |", flush=True)
    return missed


def _counted(host: Host) -> dict[str, int]:
    counters: dict[str, int] = host.status()["counters"]
    return counters


def _give_key(group: Group) -> None:
    line = f"old {secrets.token_urlsafe(32)}\n"
    for host in group.hosts:
        path = host.directory / "svc.key"
        path.touch(0o600)
        path.write_text(line)
        group.configure(host, key_file=str(path))
