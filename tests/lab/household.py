"""One instance as its units run it, without systemd: the guardian is root's, the agent a user's.

Promise: the guardian is the real program at its real door. As under systemd it is started by who
comes, the agent lives in a control group of its unit's name, and what is root's lies where root
alone can write. Everything is gone when the block ends; a network there is none.

    with Household() as house:
        house.start_agent()
        house.as_user(PLAIN, "cat", house.runtime / "role")
"""

from __future__ import annotations

import os
import select
import shutil
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from followtheleader.errors import NoAnswer
from followtheleader.host import client
from lab.hosts import agent_command
from lab.machines import remove_cgroup, sweep_cgroups
from lab.net import HOME, PREFIX
from lab.waiting import wait_until

AGENT, PLAIN, IN_GROUP = 61001, 61002, 61003
"""The agent's user, with a group of the same number, and two who are not it."""
TREES = (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))

# What systemd does: the door is descriptor 3. systemctl has nothing to say here.
GUARD = """
mount -t tmpfs none /usr/local/sbin
printf '#!/bin/sh\\n' >/usr/local/sbin/systemctl
chmod 755 /usr/local/sbin/systemctl
exec "$@"
"""
INHERIT = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
command = [sys.executable, "-I", "-m", "followtheleader.guardian", *sys.argv[2:]]
os.execv(sys.executable, command)
"""


def missing_for_households() -> str:
    """Why there cannot be one here; an empty string if there can."""
    if os.geteuid() != 0:
        return "becomes other users, which needs root"
    if _tree() is None:
        return "needs a tree of cgroup v2 that can be written"
    probe = as_user(AGENT, sys.executable, "-c", "import followtheleader")
    return f"other users cannot run {sys.executable}" if probe.returncode else ""


def _tree() -> Path | None:
    return next((tree for tree in TREES if (tree / "cgroup.procs").exists()), None)


def as_user(
    uid: int, *argv: object, groups: tuple[int, ...] = (), within: float = 30
) -> subprocess.CompletedProcess[str]:
    """Run a command as that user; AGENT's group and others by ``groups``."""
    return subprocess.run(
        [*becoming(uid, groups), *map(str, argv)],
        capture_output=True, text=True, timeout=within, cwd="/",
    )  # fmt: skip


def becoming(uid: int, groups: tuple[int, ...] = ()) -> list[str]:
    """The words before a command of that user."""
    also = f"--groups={','.join(map(str, groups))}" if groups else "--clear-groups"
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", also, "--inh-caps=-all"]


class Household:
    """``base`` is root's alone, and so is ``etc``; ``run`` is the agent's user's, as /run/ftl is,
    and ``runtime`` lies in it."""

    def __init__(self) -> None:
        self.base = HOME / f"{PREFIX}{os.getpid()}-users"
        self.etc, self.run = self.base / "etc", self.base / "run"
        self.runtime, self.state = self.run / "svc", self.base / "state"
        self.config, self.door = self.etc / "svc.yaml", self.base / "door.sock"
        self.log = self.base / "log"
        self.agent: subprocess.Popen[bytes] | None = None
        self._group = f"{PREFIX}{os.getpid()}-users.slice"
        self._stack = ExitStack()
        self._over = threading.Event()
        self._guardian: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Household:
        sweep_cgroups()
        with self._stack as stack:
            stack.callback(shutil.rmtree, self.base, ignore_errors=True)
            for place in (self.base, self.etc, self.etc / "svc", self.run, self.state):
                place.mkdir(mode=0o755)
            os.chown(self.run, AGENT, AGENT)
            os.chown(self.state, AGENT, AGENT)
            self.log.touch()
            self.configure()
            tree = _tree()
            assert tree is not None
            self._unit = tree / self._group / "ftl-agent@svc.service"
            self._unit.mkdir(parents=True)
            stack.callback(remove_cgroup, self._group)
            self._listening = stack.enter_context(socket.socket(socket.AF_UNIX))
            self._listening.bind(str(self.door))
            os.chown(self.door, AGENT, AGENT)
            self.door.chmod(0o600)
            self._listening.listen()
            self._manager = threading.Thread(target=self._manage)
            self._manager.start()
            stack.callback(self._end)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if value is not None:
            print(self.log.read_text(errors="replace"))
        self._stack.close()

    def configure(self, text: str = "", hook: str = "true") -> None:
        """Write the YAML and on_leader.sh, which is root's, as all of it."""
        self.config.write_text(f"host: 127.0.0.1\ndiscovery: static\npeers: [127.0.0.2]\n{text}")
        script = self.etc / "svc" / "on_leader.sh"
        script.write_text(f"#!/bin/sh\n{hook}\n")
        script.chmod(0o755)

    def start_agent(self, umask: int = 0o022) -> subprocess.Popen[bytes]:
        """Start an agent and wait until it leads."""
        inside = (
            f'echo $$ >{self._unit}/cgroup.procs; ip link set lo up; umask {umask:03o}; exec "$@"'
        )
        argv = [*agent_command(), "run", "-c", str(self.config)]
        argv += ["--runtime-dir", str(self.runtime), "--state-dir", str(self.state)]
        with self.log.open("ab") as log:
            self.agent = subprocess.Popen(
                ["unshare", "--net", "sh", "-euc", inside, "sh", *becoming(AGENT), *argv],
                env={"PATH": os.environ["PATH"], "FTL_GUARDIAN": str(self.door)},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip
        wait_until(lambda: self.role == "leader", 20, "it leads", self.tail)
        return self.agent

    def end_agent(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.agent is not None:
            self.agent.kill()
            self.agent.wait()

    def wait_guardian_gone(self) -> None:
        """Wait until nobody serves at the door."""
        wait_until(lambda: self._guardian is None, 20, "the guardian has ended", self.tail)

    @property
    def role(self) -> str:
        """The word of the role file; none if it is missing."""
        try:
            return (self.runtime / "role").read_text().strip()
        except OSError:
            return "none"

    def status(self) -> dict[str, Any]:
        """The agent's answer; empty if it does not answer."""
        try:
            return client.ask(str(self.runtime / "status.sock"), {"command": "status"}, 5.0)
        except NoAnswer:
            return {}

    def tail(self) -> str:
        """The end of what agent and guardians have said."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-40:])

    def _manage(self) -> None:
        """As systemd: whenever somebody comes and no guardian serves, one is started."""
        while not self._over.is_set():
            if self._guardian is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._guardian.wait(0.02)
                    self._guardian = None
            elif select.select([self._listening], [], [], 0.02)[0]:
                self._guardian = self._start_guardian()

    def _start_guardian(self) -> subprocess.Popen[bytes]:
        fd = self._listening.fileno()
        argv = [sys.executable, "-I", "-c", INHERIT, str(fd), "--instance", "svc"]
        argv += ["--config", str(self.config), "--runtime-dir", str(self.runtime)]
        argv += ["--home-dir", str(self.base / "guardian")]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                ["unshare", "--mount", "sh", "-euc", GUARD, "sh", *argv],
                pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/",
            )  # fmt: skip

    def _end(self) -> None:
        self.end_agent()
        self._over.set()
        self._manager.join()
        guardian = self._guardian
        if guardian is not None:
            try:
                guardian.wait(10)
            except subprocess.TimeoutExpired:
                guardian.kill()
                guardian.wait()
