"""A whole host of the lab: real systemd, booted by systemd-nspawn on a host of a `Network`.

Promise: a machine is what `Network` calls a host (its cable, address and faults are those), with a
disk of its own that survives a power cut and is gone with the network's directory. All its
processes are in one cgroup, so pulling the plug is one write, and nothing else is ever signalled.
Left behind by a killed run, they are ended by the next sweep of the networks; the cgroups by ours.

This needs a kernel with cgroup v2, of which only the tree is used: no controller has to be there.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.net import NETNS, PREFIX, Network
from lab.waiting import wait_until

BOOTING = 30.0  # seconds; it takes half of one when the processors are free
SHARED = Path("/lab")  # where every machine finds the directory that all share

# The host's own /sys and cgroup tree; the overlay is gone with this namespace of mounts. Each step
# is an exec, so the process that was started is systemd-nspawn in the end.
BOOT = """
mount -t sysfs sysfs /sys
mount -t cgroup2 none /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$1"
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
mount -t overlay overlay -o "lowerdir=$2,upperdir=$3/upper,workdir=$3/work" "$3/root"
exec systemd-nspawn --quiet --directory="$3/root" --machine="$1" --boot --register=no \
  --keep-unit --capability=CAP_NET_ADMIN --console=read-only --link-journal=no --bind="$4:/lab"
"""

# Whatever a distribution wakes up for every day would only disturb the measurements.
MASKED = (
    *("apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "fstrim.timer"),
    *("e2scrub_all.timer", "e2scrub_reap.service", "motd-news.timer", "console-getty.service"),
)


class Machine:
    """One booted host: ``layers`` are its root file system, the upper first, read only.

    ``shared`` is a directory that it, and every other machine, sees as /lab.
    """

    def __init__(
        self, name: str, network: Network, layers: Sequence[Path], shared: Path, release: str
    ) -> None:
        self.name = name
        self.network = network
        self.release = release
        self.directory = network.directory / "machines" / name
        self.console = self.directory / "console.log"
        self._layers = ":".join(map(str, layers))
        self._shared = shared
        self._group = f"{network.prefix}{name}"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._init = 0
        self._furnish()

    def __repr__(self) -> str:
        return f"{self.name} ({self.release})"

    def _furnish(self) -> None:
        """What makes it a host of its own: its name, its identity, a journal that lasts."""
        for part in ("upper", "work", "root"):
            (self.directory / part).mkdir(parents=True)
        etc, journal = self.directory / "upper/etc", self.directory / "upper/var/log/journal"
        (etc / "systemd/system").mkdir(parents=True)
        journal.mkdir(parents=True)
        (etc / "hostname").write_text(f"{self.name}\n")
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n127.0.1.1 {self.name}\n")
        (etc / "machine-id").write_text(self.network.machine_id(self.name).read_text())
        for unit in MASKED:
            (etc / "systemd/system" / unit).symlink_to("/dev/null")

    # -- power

    def power_on(self, *, plugged: bool = True) -> None:
        """Begin to boot, with the cable in its socket or without; see `wait_booted`."""
        if self.is_on:
            raise RuntimeError(f"{self}: is on already")
        netns = NETNS / self.network.netns(self.name)
        words = (self._group, self._layers, str(self.directory), str(self._shared))
        place = ("nsenter", f"--net={netns}", "unshare", "--mount")
        with self.console.open("ab") as console:
            self._nspawn = subprocess.Popen(
                [*place, "sh", "-euc", BOOT, "sh", *words],
                stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT,
            )  # fmt: skip
        self.network.set_carrier(self.name, up=plugged)

    def wait_booted(self) -> None:
        """Wait until systemd has started all that it starts."""
        what = f"{self} boots"
        self._init = wait_until(self._find_init, BOOTING, what, self.console_tail)
        link = self.directory / "live"
        link.unlink(missing_ok=True)
        link.symlink_to(f"/proc/{self._init}/root")
        manager = link / "run/systemd/private"
        wait_until(manager.exists, BOOTING, what, self.console_tail)
        self.run("systemctl", "is-system-running", "--wait", check=False, within=BOOTING)

    def pull_the_plug(self) -> None:
        """Every process ends at once, and the cable goes dead."""
        self.network.set_carrier(self.name, up=False)
        for tree in _trees(self._group):
            (tree / "cgroup.kill").write_text("1")
        self._reap()

    def wait_off(self, within: float = 30) -> None:
        """Wait for the end of a clean power-off; the cable goes dead with the host."""
        wait_until(lambda: not self.is_on, within, f"{self} is off", self.console_tail)
        self.network.set_carrier(self.name, up=False)
        self._reap()

    @property
    def is_on(self) -> bool:
        return self._nspawn is not None and self._nspawn.poll() is None

    def _reap(self) -> None:
        if self._nspawn is not None:
            self._nspawn.wait(timeout=20)
        self._nspawn, self._init = None, 0
        remove_cgroup(self._group)

    def end(self) -> None:
        """Not a story's fault but its end: nothing of this machine is left but its directory."""
        for tree in _trees(self._group):
            (tree / "cgroup.kill").write_text("1")
        self._reap()

    def _find_init(self) -> int:
        """Process 1 of the machine, as it is known outside; 0 while there is none."""
        if not self.is_on:
            raise AssertionError(f"{self} does not boot:\n{self.console_tail()}")
        for pid in self.network.pids(self.name):
            if _inner_pid(pid) == 1 and _name(pid) == "systemd":
                return pid
        return 0

    # -- inside

    def path(self, inside: str | Path) -> Path:
        """Where a file of the running machine is found from outside."""
        return Path(f"/proc/{self._init}/root", str(inside).lstrip("/"))

    def run(self, *argv: str, check: bool = True, stdin: str = "", within: float = 30) -> str:
        """Run a command on the machine, as root; what it printed (with its errors)."""
        done = subprocess.run(
            [*self._enter(), *argv], input=stdin, text=True, timeout=within,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if check and done.returncode != 0:
            raise RuntimeError(f"{self}: {' '.join(argv)}: exit {done.returncode}: {done.stdout}")
        return done.stdout

    def start(self, *argv: str) -> subprocess.Popen[str]:
        """The same, not waited for; what it prints is in a pipe."""
        return subprocess.Popen(
            [*self._enter(), *argv], stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def code(self, *argv: str) -> int:
        """The exit code of a command on the machine."""
        done = subprocess.run([*self._enter(), *argv], capture_output=True, timeout=30)
        return done.returncode

    def write(self, inside: str, text: str, mode: int = 0o644) -> None:
        """Put a file of root's there."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)

    def copy_in(self, source: Path, inside: str) -> None:
        """Put a copy of that file there."""
        self.path(inside).write_bytes(source.read_bytes())

    def property(self, unit: str, name: str) -> str:
        """What `systemctl show` says of a unit."""
        return self.run("systemctl", "show", "--value", "-p", name, unit).strip()

    def main_pid(self, unit: str) -> int:
        """The main process of a unit, as it is known outside; 0 if there is none."""
        inner = int(self.property(unit, "MainPID") or 0)
        pids = self.network.pids(self.name) if inner else []
        return next((pid for pid in pids if _inner_pid(pid) == inner), 0)

    def signal(self, pid: int, signum: signal.Signals) -> None:
        """Signal a process of this machine by its number outside."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signum)

    def failed_units(self) -> list[str]:
        words = self.run("systemctl", "--failed", "--plain", "--no-legend").splitlines()
        return [line.split()[0] for line in words if line.strip()]

    # -- for the report of a failure

    def journal(self, lines: int = 40, *units: str) -> str:
        """The end of its journal; of its console, if it is off."""
        if not self._init or not self.is_on:
            return f"--- {self} is off\n{self.console_tail()}"
        chosen = [word for unit in units for word in ("-u", unit)]
        command = ["journalctl", "-o", "short-monotonic", "--no-pager", "-n", str(lines), *chosen]
        return f"--- {self}\n{self.run(*command, check=False)}"

    def console_tail(self, lines: int = 25) -> str:
        text = self.console.read_text(errors="replace") if self.console.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _enter(self) -> list[str]:
        if not self._init:
            raise RuntimeError(f"{self}: is off")
        # As systemd would start it: a PATH with sbin, no variables of ours.
        return [*f"nsenter -t {self._init} -m -u -i -n -p -C".split(), "env", "-i",
                "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive"]  # fmt: skip


# -- cgroups


def _trees(name: str) -> list[Path]:
    """The cgroup of that name in the v2 tree, wherever that is mounted here."""
    homes = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    return [home / name for home in homes if (home / name / "cgroup.kill").exists()]


def remove_cgroup(name: str) -> None:
    """Remove an empty cgroup and all below it."""
    for tree in _trees(name):
        for path, _, _ in os.walk(tree, topdown=False):
            wait_until(functools.partial(_removed, path), 5, f"the cgroup {path} is empty")


def _removed(path: str) -> bool:
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def sweep_cgroups() -> None:
    """End and remove what earlier runs left whose process is gone."""
    homes = [Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup")]
    for path in (path for home in homes for path in home.glob(f"{PREFIX}*")):
        match = re.match(rf"{PREFIX}(\d+)-", path.name)
        if match and not Path("/proc", match[1]).exists() and (path / "cgroup.kill").exists():
            (path / "cgroup.kill").write_text("1")
            remove_cgroup(path.name)


def _inner_pid(pid: int) -> int:
    """The number of a process in its innermost namespace; 0 if it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next(int(line.split()[-1]) for line in text.splitlines() if line.startswith("NSpid:"))


def is_alive(pid: int) -> bool:
    """Does that process (its number outside) still do anything?"""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


def _name(pid: int) -> str:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""
