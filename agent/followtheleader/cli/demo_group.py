"""The demo's three agents: real processes in a private directory, bound to 127.0.0.1.

Promise: however the ``with`` block is left, no process of it survives and the directory is gone;
`Group.left_behind` says what had to be killed for that.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from types import TracebackType
from typing import Any

from followtheleader import config
from followtheleader.cli import terminal
from followtheleader.cli.demo_log import NODE_SCRIPT, Log
from followtheleader.config.settings import Settings
from followtheleader.errors import NoAnswer
from followtheleader.host import client
from followtheleader.host.places import STATUS_SOCKET

NAMES = ("a", "b", "c")
STOP_SECONDS = 8.0
LONGEST_PLACE = 60
"""Bytes of the directory's name: a socket's path has 103."""

_OF_A_SUPERVISOR = (
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "RUNTIME_DIRECTORY",
    "STATE_DIRECTORY",
    "JOURNAL_STREAM",
)


class DemoAgent:
    """One agent. ``process`` is None until it was started."""

    def __init__(self, place: str, name: str) -> None:
        self.name = name
        self.place = os.path.join(place, name)
        self.config = os.path.join(self.place, "demo.yaml")
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its process; 0 if it was never started."""
        return self.process.pid if self.process else 0

    @property
    def has_ended(self) -> bool:
        """Was it started, and is its process gone?"""
        return self.process is not None and self.process.poll() is not None

    @property
    def exit_status(self) -> int | None:
        """With what its process ended: negative for a signal."""
        return self.process.returncode if self.process else None

    def configure(self, port: int, others: list[int], script: str, pipe: str) -> None:
        """Write its configuration: JSON, which is YAML."""
        os.mkdir(self.place)
        hook = ["/bin/sh", script, pipe]
        settings = {
            "service": "demo",
            "node": self.name,
            "host": "127.0.0.1",
            "port": port,
            "discovery": ["static"],
            "peers": [f"127.0.0.1:{other}" for other in others],
            "hooks": {"on_leader": hook, "on_follower": hook, "timeout": "5s"},
        }
        with open(self.config, "w") as file:
            json.dump(settings, file, indent=2)

    def settings(self) -> Settings:
        """Its configuration, as the agent itself reads it."""
        return config.load(self.config)

    def start(self) -> None:
        """Start it; its log goes to a file beside its configuration."""
        command = [sys.executable, "-P", "-m", "followtheleader", "run", "-c", self.config]
        command += ["--runtime-dir", f"{self.place}/run", "--state-dir", f"{self.place}/state"]
        environment = {k: v for k, v in os.environ.items() if k not in _OF_A_SUPERVISOR}
        with open(f"{self.place}/log", "ab") as log:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                # ^C is for the demo, which then stops its agents in order.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the agent's process, if it has one."""
        if self.process is not None:
            self.process.send_signal(number)

    def status(self) -> dict[str, Any] | None:
        """What it says of itself; None if it does not answer."""
        try:
            return client.ask(f"{self.place}/run/{STATUS_SOCKET}", {"command": "status"}, 1.0)
        except NoAnswer:
            return None

    def role_file(self) -> str | None:
        """The word in its role file; None if there is no file."""
        try:
            with open(f"{self.place}/run/role") as file:
                return file.read().strip()
        except FileNotFoundError:
            return None

    def is_up(self) -> bool:
        """Whether its status socket exists: it listens."""
        return os.path.exists(f"{self.place}/run/{STATUS_SOCKET}")

    def last_words(self, lines: int = 5) -> str:
        """The end of its log."""
        try:
            with open(f"{self.place}/log", errors="replace") as log:
                return "".join(log.readlines()[-lines:])
        except OSError:
            return ""


class Group:
    """Three agents, not yet started, and the log of their hooks."""

    def __init__(self) -> None:
        self.place = _private_directory()
        self.log = Log(os.path.join(self.place, "pipe"))
        self.agents = {name: DemoAgent(self.place, name) for name in NAMES}
        self.left_behind: list[str] = []

    def prepare(self) -> None:
        """Write the hooks and configurations."""
        script = os.path.join(self.place, "hook.sh")
        with open(script, "w") as file:
            file.write(NODE_SCRIPT)
        ports = _free_ports(len(NAMES))
        for agent, port in zip(self.agents.values(), ports, strict=True):
            agent.configure(port, [p for p in ports if p != port], script, self.log.path)

    def last_words(self) -> str:
        """The end of each agent's log."""
        told = [(agent.name, agent.last_words()) for agent in self.agents.values()]
        return "\n".join(f"--- the log of {name} ends with\n{text}" for name, text in told if text)

    def __enter__(self) -> Group:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._end_agents()
            self._end_others()
        finally:
            self.log.close()
            shutil.rmtree(self.place, ignore_errors=True)

    def _end_agents(self) -> None:
        running = [
            a.process for a in self.agents.values() if a.process and a.process.poll() is None
        ]
        for process in running:
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.left_behind.append(f"agent (pid {process.pid}) did not stop by itself")
                process.kill()
                process.wait()

    def _end_others(self) -> None:
        """Guardians and jobs end by themselves; whatever does not is killed, and told."""
        deadline = time.monotonic() + STOP_SECONDS
        while left := self._processes():
            if time.monotonic() >= deadline:
                for pid, command in left:
                    self.left_behind.append(f"{command} (pid {pid}) did not end by itself")
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    def _processes(self) -> list[tuple[int, str]]:
        """Every process of ours whose command names our directory: others may name it, too."""
        mark, found = os.fsencode(self.place), []
        for entry in os.listdir("/proc"):
            if not entry.isdigit() or int(entry) == os.getpid():
                continue
            try:
                if os.stat(f"/proc/{entry}").st_uid != os.geteuid():
                    continue
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    command = file.read()
            except OSError:
                continue
            if mark in command:
                shown = command.replace(b"\0", b" ").decode(errors="replace")
                found.append((int(entry), terminal.clean(shown)))
        return found


def loopback_works() -> bool:
    """Whether a datagram to 127.0.0.1 arrives; it does not where ``lo`` is down."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        try:
            endpoint.bind(("127.0.0.1", 0))
            endpoint.settimeout(1.0)
            endpoint.sendto(b"?", endpoint.getsockname())
            return endpoint.recv(1) == b"?"
        except OSError:
            return False


def _private_directory() -> str:
    place = tempfile.mkdtemp(prefix="ftl-demo-")
    if len(os.fsencode(place)) > LONGEST_PLACE:
        os.rmdir(place)
        place = tempfile.mkdtemp(prefix="ftl-demo-", dir="/tmp")
    return place


def _free_ports(count: int) -> list[int]:
    """UDP ports that were free on 127.0.0.1 a moment ago, all different."""
    with contextlib.ExitStack() as stack:
        endpoints = []
        for _ in range(count):
            endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            endpoints.append(stack.enter_context(endpoint))
            endpoint.bind(("127.0.0.1", 0))
        return [endpoint.getsockname()[1] for endpoint in endpoints]


def _die_with_parent() -> None:
    """Have the kernel kill this process when the demo is killed without a chance to clean up."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, int(signal.SIGKILL), 0, 0, 0)
    except (ImportError, OSError, AttributeError):
        pass  # Without it a killed demo leaves its agents; everything else is the same.
