"""Several real hosts on one machine: network namespaces on a switch that can be broken.

Promise: nothing leaves these namespaces, names are unique to this process, and everything is
removed at the end: processes by their pid, namespaces by our own prefix. What a killed run left
behind is swept by the next one. Needs root, iproute2 and nftables.

Every fault but carrier loss is a rule on the *switch*, set in one transaction: all links break and
heal in the same instant, and senders see nothing (a rule on the sending host would fail sendto).
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType

from lab.waiting import wait_until

PREFIX = "ftl-lab-"
NETNS = Path("/run/netns")
HOME = Path("/var/lib")  # root-owned all the way up: the guardian may insist on that
MACHINE_ID = Path("/etc/machine-id")
PACKAGES = {"ip": "iproute2", "nft": "nftables", "gcc": "gcc libc6-dev", "nsenter": "util-linux"}

# The kernel drops routes with the last address, and when the interface goes down.
MULTICAST = "route replace 224.0.0.0/4 dev eth0\n"

# Each host has its own name and machine identity, and a /sys that shows its own interfaces.
ENTER = (
    'mount -t sysfs sysfs /sys && mount --bind "$2" /etc/machine-id'
    ' && echo "$1" >/proc/sys/kernel/hostname && shift 2 && exec "$@"'
)

# All namespaces share one table of neighbours, with room for 1024 (gc_thresh3). More hosts than
# these are told each other's addresses for good, which takes no room there.
MOST_WHO_ASK = 25

_serial = itertools.count()


def missing_prerequisites() -> str:
    """Why no lab can be built here, with the cure; an empty string if it can."""
    if os.geteuid() != 0:
        return "the lab needs root (network namespaces)"
    packages = [package for command, package in PACKAGES.items() if not shutil.which(command)]
    if packages:
        return f"apt-get install {' '.join(packages)}"
    if not MACHINE_ID.exists():
        return f"{MACHINE_ID} is missing: run systemd-machine-id-setup"
    return ""


def run(*argv: str, stdin: str = "") -> str:
    """Run a tool of the house to its end; its words become the error if it fails."""
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=30)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


class Network:
    """One switch and its hosts, ``with Network(["h1", "h2"]) as network:``.

    ``directory`` is private to this network and root-owned; host N has the addresses 10.77.0.N if
    ``ipv4``, fd77::N if ``ipv6``, and the link-local one that the kernel gives it, on its interface
    ``eth0``. There may be more LANs, each a switch of its own: see `plug`, `recable`.
    """

    def __init__(self, hosts: Sequence[str], *, ipv4: bool = True, ipv6: bool = False) -> None:
        self.hosts = list(hosts)
        self._ipv4 = ipv4
        self._ipv6 = ipv6
        self._without = ""
        self.prefix = f"{PREFIX}{os.getpid()}-{next(_serial)}-"
        self._switch = f"{self.prefix}switch"
        self._blocked: set[tuple[str, str]] = set()
        self._lossy: dict[tuple[str, str], int] = {}
        self._by_hand = False
        self._multicast = True
        self._lans = {0}

    def __enter__(self) -> Network:
        sweep()
        self.directory = Path(tempfile.mkdtemp(prefix=self.prefix, dir=HOME))
        try:
            self._build()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._remove()

    # -- where things are

    def netns(self, host: str) -> str:
        return f"{self.prefix}{host}"

    def address(self, host: str, above: int = 0) -> str:
        return f"10.77.0.{self._number(host) + above}"

    def address6(self, host: str, above: int = 0) -> str:
        return f"fd77::{self._number(host) + above:x}"

    def lan_address(self, host: str, lan: int) -> str:
        """The address that a host is given on LAN 1, 2 …"""
        return f"10.77.{lan}.{self._number(host)}"

    @property
    def switch(self) -> str:
        """The network namespace of the switch; its ports are called like the hosts."""
        return self._switch

    def machine_id(self, host: str) -> Path:
        """The file that is the host's /etc/machine-id."""
        return self.directory / f"{host}.machine-id"

    def enter(self, host: str) -> list[str]:
        """The words before a command that make it run *as* that host; every step is an exec."""
        net = f"--net={NETNS / self.netns(host)}"
        return [
            *("nsenter", net, "unshare", "--mount", "--uts"),
            *("sh", "-c", ENTER, "sh", host, str(self.machine_id(host))),
        ]

    def pids(self, host: str) -> list[int]:
        """Every process that lives on that host."""
        return netns_pids(self.netns(host))

    # -- faults

    def set_carrier(self, host: str, up: bool) -> None:
        """Plug or pull the cable: the host's own interface loses its carrier."""
        run("ip", "-n", self._switch, "link", "set", host, "up" if up else "down")

    def cut(self, host: str) -> None:
        """Nothing in, nothing out; the carrier stays."""
        self.partition([host])

    def deafen(self, host: str) -> None:
        """Nothing reaches the host; what it says is heard."""
        self.block((other, host) for other in self.hosts if other != host)

    def mute(self, host: str) -> None:
        """Nothing that the host says is heard; everything reaches it."""
        self.block((host, other) for other in self.hosts if other != host)

    def partition(self, *groups: Iterable[str]) -> None:
        """Cut every link between two groups; the hosts not named form one more group."""
        part = {host: number for number, group in enumerate(groups, 1) for host in group}
        self.block(
            (a, b)
            for a, b in itertools.permutations(self.hosts, 2)
            if part.get(a, 0) != part.get(b, 0)
        )

    def block(self, links: Iterable[tuple[str, str]]) -> None:
        """Cut these links, each (from, to): one direction."""
        self._blocked.update(links)
        self._apply()

    def lose(self, percent: int) -> None:
        """Lose so many percent (0-99) of all packets on every link."""
        self._lossy = dict.fromkeys(itertools.permutations(self.hosts, 2), percent)
        self._apply()

    def block_multicast(self, blocked: bool) -> None:
        """The switch carries no multicast, as in many a cloud; `heal` leaves it so."""
        self._multicast = not blocked
        self._apply()

    def forward_by_hand(self, by_hand: bool) -> None:
        """The switch itself forwards nothing: a program at its ports does (`lab.forwarder`)."""
        self._by_hand = by_hand
        self._apply()

    def cut_family(self, family: int) -> None:
        """No IPv4 (4) or no IPv6 (6) on any link; the other one goes on."""
        self._without = "ip6" if family == 6 else "{ ip, arp }"
        self._apply()

    def move(self, host: str) -> None:
        """Give the host other addresses, a hundred higher, in place of its own."""
        address, address6 = f"{self.address(host)}/24", f"{self.address6(host)}/64"
        moved, moved6 = f"{self.address(host, 100)}/24", f"{self.address6(host, 100)}/64"
        lines = ""
        if self._ipv4:
            lines += f"addr add {moved} dev eth0\naddr del {address} dev eth0\n"
            lines += MULTICAST
            # The kernel takes what it calls secondary addresses of a net with the first.
            lines += f"addr replace {moved} dev eth0\n"
        if self._ipv6:
            lines += f"addr add {moved6} dev eth0 nodad\naddr del {address6} dev eth0\n"
        self._on_host(host, lines)

    def switch_ipv6_off(self, host: str) -> None:
        """As by net.ipv6.conf.all.disable_ipv6: sockets can be had, addresses cannot."""
        run(*self.enter(host), "sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6")

    def heal(self) -> None:
        """Every cut and every loss ends at once (carriers are left as they are)."""
        self._without = ""
        self._blocked.clear()
        self._lossy.clear()
        self._apply()

    def _apply(self) -> None:
        pairs = ", ".join(f'"{a}" . "{b}"' for a, b in sorted(self._blocked))
        rules = [f"iifname . oifname {{ {pairs} }} drop"] if pairs else []
        if self._without:
            rules.append(f"ether type {self._without} drop")
        if not self._multicast:
            rules += ["ip daddr 224.0.0.0/4 drop", "ip6 daddr ff00::/8 drop"]
        if self._by_hand:
            rules = ["drop"]
        for (a, b), percent in self._lossy.items():
            rules.append(f'iifname "{a}" oifname "{b}" numgen random mod 100 < {percent} drop')
        script = (
            "add table bridge lab\ndelete table bridge lab\n"
            "table bridge lab { chain forward { type filter hook forward priority 0\n"
            + "\n".join(rules)
            + "\n}\n}\n"
        )
        run("nsenter", f"--net={NETNS / self._switch}", "nft", "-f", "-", stdin=script)

    # -- the hosts' own ends

    def set_link(self, host: str, up: bool) -> None:
        """The host's administrator takes its interface down, or up again."""
        self._on_host(host, f"link set eth0 {'up' if up else 'down'}\n" + up * MULTICAST)

    def renew(self, host: str) -> None:
        """Take the host's IPv4 address away for a tenth of a second, as some DHCP clients do."""
        address = f"{self.address(host)}/24"
        self._on_host(host, f"addr del {address} dev eth0\n")
        time.sleep(0.1)
        self._on_host(host, f"addr add {address} dev eth0\n{MULTICAST}")

    def rename(self, host: str, name: str, new: str) -> None:
        """For the host it is as if ``name`` were unplugged and ``new`` plugged in."""
        down_and_up = f"link set {name} down\nlink set {name} name {new}\nlink set {new} up\n"
        self._on_host(host, down_and_up)
        if new == "eth0":
            self._on_host(host, MULTICAST)

    def plug(self, host: str, lan: int) -> None:
        """Give a running host one more interface, ``ethLAN``, on another LAN (1, 2 …)."""
        self._make_lan(lan)
        port = f"{host}.{lan}"
        cable = (
            f"link add {port} type veth peer name eth{lan} netns {self.netns(host)}\n"
            f"link set {port} master br{lan}\nlink set {port} up\n"
        )
        run("ip", "-n", self._switch, "-batch", "-", stdin=cable)
        address = f"addr add {self.lan_address(host, lan)}/24 dev eth{lan}\n"
        self._on_host(host, f"{address}link set eth{lan} up\n")

    def recable(self, host: str, lan: int) -> None:
        """Put the host's only cable into another LAN; its address becomes one of that LAN."""
        self._make_lan(lan)
        socket = f"link set {host} master br{lan}\n"
        run("ip", "-n", self._switch, "-batch", "-", stdin=socket)
        address = self.lan_address(host, lan)
        self._on_host(host, f"addr flush dev eth0\naddr add {address}/24 dev eth0\n{MULTICAST}")

    def _on_host(self, host: str, script: str) -> None:
        run("ip", "-n", self.netns(host), "-batch", "-", stdin=script)

    def _make_lan(self, lan: int) -> None:
        if lan not in self._lans:
            self._lans.add(lan)
            bridge = f"link add br{lan} type bridge mcast_snooping 0\nlink set br{lan} up\n"
            run("ip", "-n", self._switch, "-batch", "-", stdin=bridge)

    # -- building and removing

    def _build(self) -> None:
        run("ip", "netns", "add", self._switch)
        bridge = "link set lo up\nlink add br0 type bridge mcast_snooping 0\nlink set br0 up\n"
        run("ip", "-n", self._switch, "-batch", "-", stdin=bridge)
        for host in self.hosts:
            self._build_host(host)
            self.machine_id(host).write_text(f"{os.urandom(16).hex()}\n")

    def _build_host(self, host: str) -> None:
        netns = self.netns(host)
        run("ip", "netns", "add", netns)
        cable = (
            f"link add {host} type veth peer name eth0 netns {netns} address {self._mac(host)}\n"
            f"link set {host} master br0\nlink set {host} up\n"
        )
        run("ip", "-n", self._switch, "-batch", "-", stdin=cable)
        port = "link set lo up\nlink set eth0 up\n"
        if self._ipv4:
            port += f"addr add {self.address(host)}/24 dev eth0\n{MULTICAST}"
        if self._ipv6:
            port += f"addr add {self.address6(host)}/64 dev eth0 nodad\n"
        if len(self.hosts) > MOST_WHO_ASK:
            port += self._neighbours(host)
        self._on_host(host, port)

    def _neighbours(self, host: str) -> str:
        """Lines for ip(8): where each address of each other host is."""
        lines = []
        for other in self.hosts:
            known = [f"fe80::aff:fe4d:{self._number(other):x}"]  # as the kernel makes it of the MAC
            known += [self.address(other)] if self._ipv4 else []
            known += [self.address6(other)] if self._ipv6 else []
            if other != host:
                lines += [f"neigh add {one} lladdr {self._mac(other)} dev eth0\n" for one in known]
        return "".join(lines)

    def _number(self, host: str) -> int:
        return self.hosts.index(host) + 1

    def _mac(self, host: str) -> str:
        return f"02:00:0a:4d:00:{self._number(host):02x}"

    def _remove(self) -> None:
        try:
            remove_namespaces(self.prefix)
        finally:
            if not os.environ.get("FTL_LAB_KEEP"):
                shutil.rmtree(self.directory, ignore_errors=True)


def netns_pids(netns: str) -> list[int]:
    """The processes of one namespace, the oldest first; none if it does not exist."""
    if not (NETNS / netns).exists():
        return []
    try:
        return sorted(int(word) for word in run("ip", "netns", "pids", netns).split())
    except RuntimeError:
        if (NETNS / netns).exists():
            raise
        return []


def remove_namespaces(prefix: str) -> None:
    """End every process of the namespaces whose name starts so, then delete them."""
    for netns in sorted(path.name for path in NETNS.glob(f"{prefix}*")):
        wait_until(functools.partial(_all_ended, netns), 10, f"processes of {netns} end")
        try:
            run("ip", "netns", "del", netns)
        except RuntimeError:
            if (NETNS / netns).exists():  # else another run has swept it up meanwhile
                raise


def _all_ended(netns: str) -> bool:
    pids = netns_pids(netns)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return not pids


def sweep() -> None:
    """Remove what earlier runs left whose process is gone; running ones are left alone."""
    names = [path.name for place in (NETNS, HOME) for path in place.glob(f"{PREFIX}*")]
    owners = {match[1] for name in names if (match := re.match(rf"{PREFIX}(\d+)-", name))}
    for owner in sorted(owners):
        if Path("/proc", owner).exists():
            continue
        remove_namespaces(f"{PREFIX}{owner}-")
        for path in HOME.glob(f"{PREFIX}{owner}-*"):
            shutil.rmtree(path, ignore_errors=True)
