"""The agent of one instance on one machine, as its units run it, and all that can befall it.

Promise: as everywhere in the lab, a fault is in the log *before* it is done. What has to be looked
up for it (which process, which unit) is looked up before that, so gaps are of the fault alone.
"""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import yaml

from followtheleader.errors import NoAnswer
from followtheleader.host import client
from lab import checker
from lab.events import EventLog, now
from lab.machines import SHARED, Machine, is_alive
from lab.starve import starving
from lab.waiting import wait_until

HOOK = """#!/bin/sh
exec {stamp} hook {log} {host} {directory} {mode} - -- "$@"
"""
JOB = """[Unit]
Description=Follows the leader of {instance}
BindsTo=ftl-leader@{instance}.target
After=ftl-leader@{instance}.target

[Service]
ExecStart={stamp} job {log} {host} /run/ftl/{instance}/state.json {mode}
TimeoutStopSec={patience}

[Install]
WantedBy=ftl-leader@{instance}.target
"""


class Member:
    """One machine's agent of one instance."""

    def __init__(self, machine: Machine, instance: str, log: EventLog) -> None:
        self.machine = machine
        self.name = machine.name
        self.instance = instance
        self.log = log
        self.agent = f"ftl-agent@{instance}.service"
        self.guardian = f"ftl-guardian@{instance}.service"
        self.target = f"ftl-leader@{instance}.target"
        self.job = f"job-{instance}.service"
        self.config = f"/etc/ftl/{instance}.yaml"

    def __repr__(self) -> str:
        return f"{self.instance} on {self.name}"

    # -- what an administrator does

    def configure(self, settings: dict[str, Any]) -> None:
        """Write the YAML and the two hook scripts, which stamp."""
        text = yaml.safe_dump(settings, sort_keys=False) if settings else ""
        self.machine.write(self.config, text)
        for event in ("leader", "follower"):
            self.write_hook(event, "ok")

    def write_hook(self, event: str, mode: str) -> None:
        """/etc/ftl/INSTANCE/on_EVENT.sh: runs stamp's hook in that mode."""
        words = self._words() | {"directory": "-", "mode": mode}
        script = HOOK.format(**words)
        self.machine.write(f"/etc/ftl/{self.instance}/on_{event}.sh", script, 0o755)

    def install_job(self, mode: str = "ok", patience: str = "90s") -> None:
        """A unit that is bound to the target by three lines, and stamps while it lives.

        ``mode`` is one of stamp's; systemd has ``patience`` with its end (90 s, as everywhere).
        """
        words = self._words() | {"instance": self.instance, "mode": mode, "patience": patience}
        text = JOB.format(**words)
        self.machine.write(f"/etc/systemd/system/{self.job}", text)
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "enable", self.job)

    def _words(self) -> dict[str, str]:
        log = SHARED / self.log.path.parent.name / self.log.path.name
        return {"stamp": str(SHARED / "stamp"), "log": str(log), "host": self.name}

    def enable(self) -> int:
        """``systemctl enable --now``: returns when systemd does, with the instant before."""
        return self._systemctl("enable", "--now", fault="start")

    def start(self) -> int:
        return self._systemctl("start")

    def stop(self) -> int:
        return self._systemctl("stop")

    def restart(self) -> int:
        return self._systemctl("restart")

    def reload(self) -> int:
        return self._systemctl("reload")

    def _systemctl(self, *words: str, fault: str = "") -> int:
        at = self.log.note(self.name, "fault", fault or words[0])
        self.machine.run("systemctl", *words, self.agent, within=90)
        return at

    # -- what befalls it

    def kill_agent(self) -> int:
        """SIGKILL to the agent alone."""
        return self._kill("crash", self.agent)

    def kill_guardian(self) -> int:
        """SIGKILL to the guardian alone."""
        return self._kill("crash-guardian", self.guardian)

    def kill_both(self) -> int:
        """SIGKILL to both. Units have a second line: unlike `Host.crash_both` it ends nothing."""
        return self._kill("kill-both", self.guardian, self.agent)

    def _kill(self, fault: str, *units: str) -> int:
        return self._signal(fault, signal.SIGKILL, *units)

    def freeze(self) -> int:
        """SIGSTOP to the agent alone, as if it hung."""
        return self._signal("freeze", signal.SIGSTOP, self.agent)

    def thaw(self) -> int:
        """SIGCONT to the agent; systemd may have started another meanwhile."""
        return self._signal("thaw", signal.SIGCONT, self.agent)

    def starve(self) -> int:
        """The agent meets a limit of memory: the kernel kills it when it next needs some."""
        pid = self.pid(self.agent)
        with starving(self.machine, self.agent, pid) as starve:
            at = self.log.note(self.name, "fault", "out-of-memory")
            starve()
            what = f"the kernel kills {self}"
            wait_until(lambda: self._is_gone(pid), 10, what, self.tail)
        return at

    def _is_gone(self, pid: int) -> bool:
        self.status()  # it needs memory to answer
        return not is_alive(pid)

    def _signal(self, fault: str, signum: signal.Signals, *units: str) -> int:
        pids = [self.pid(unit) for unit in units]
        at = self.log.note(self.name, "fault", fault)
        for pid in pids:
            self.machine.signal(pid, signum)
        return at

    def wait_job(self) -> None:
        """Wait until the job's unit has a process, and that has given its first sign of life."""
        at = now()
        self.pid(self.job)

        def works() -> bool:
            return self.name in checker.hosts_at_work(self.log.read(at), at)

        wait_until(works, 15, f"the job of {self} works", self.tail)

    def pid(self, unit: str) -> int:
        """The main process of one of its units, as it is known outside."""
        what = f"{unit} on {self.name} has a process"
        return wait_until(lambda: self.machine.main_pid(unit), 15, what, self.tail)

    # -- what it says of itself

    @property
    def role(self) -> str:
        """The word of the role file; ``none`` if it is missing, which means "not the leader"."""
        try:
            return self._file("role").read_text().strip()
        except (FileNotFoundError, ProcessLookupError):
            return "none"

    def _file(self, name: str) -> Path:
        return self.machine.path(f"/run/ftl/{self.instance}/{name}")

    def ask(self, command: str, **words: object) -> dict[str, Any]:
        """Ask the running agent by its control socket; NoAnswer if it does not answer."""
        return client.ask(str(self._file("control.sock")), {"command": command, **words}, 5.0)

    def status(self) -> dict[str, Any]:
        """The agent's answer to ``status``; empty if it does not answer."""
        try:
            return client.ask(str(self._file("status.sock")), {"command": "status"}, 5.0)
        except NoAnswer:
            return {}

    def is_active(self, unit: str) -> bool:
        return self.machine.code("systemctl", "is-active", "--quiet", unit) == 0

    def tail(self) -> str:
        """The end of its units' journal, for the report of a failure."""
        units = (self.agent, self.guardian, self.target, self.job, f"ftl-guardian@{self.instance}")
        return f"role file: {self.role}\n{self.machine.journal(30, *units)}"
