"""One host of the lab: its configuration, its agent, and everything that can befall them.

Promise: a fault is written to the log *before* it is done, so no measured gap is flattered, and
only processes of this host are ever signalled, each by its pid.

The agent is ``.venv/bin/ftl-agent``; FTL_LAB_AGENT names another command line (a stand-in, a
container, an installed package).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from followtheleader.errors import NoAnswer
from followtheleader.host import client
from lab.events import EventLog
from lab.net import Network, run
from lab.waiting import wait_until

EVENTS = ("leader", "follower", "reelection", "error")
PATIENCE = 3.0
"""Seconds for what is done in milliseconds where nothing else runs."""
STAMP_SOURCE = Path(__file__).with_name("stamp.c")


def agent_command() -> list[str]:
    """The command line of the agent under test."""
    given = os.environ.get("FTL_LAB_AGENT")
    return shlex.split(given) if given else [str(Path(sys.executable).with_name("ftl-agent"))]


def build_stamp(directory: Path, *flags: str) -> Path:
    """Compile the hook program; CalledProcessError if the compiler objects."""
    program = directory / "stamp"
    options = ("-O2", "-Wall", "-Wextra", "-Werror", *flags)
    subprocess.run(["gcc", *options, "-o", program, STAMP_SOURCE], check=True)
    return program


class Host:
    """A host and its agent, in its own namespaces.

    ``settings`` are keys of the YAML, durations as written there; ``hook`` is a mode of stamp.c
    for all four events (or a mapping from event to mode), with an argument after a blank:
    ``"sleep 3000"``. ``inside`` are the words before the agent's command line that change what it
    lives in (``env``, or a shell that mounts something and then execs), for the next start.
    """

    def __init__(
        self, name: str, network: Network, log: EventLog, stamp: Path, service: str = "lab"
    ) -> None:
        self.name = name
        self.network = network
        self.log = log
        self.instance = service
        self.directory = network.directory / service / name
        self.runtime_dir = self.directory / "run"
        self.state_dir = self.directory / "state"
        self.config = self.directory / f"{service}.yaml"
        self.output = self.directory / "agent.log"
        self.inside: list[str] = []
        for path in (self.runtime_dir, self.state_dir):
            path.mkdir(parents=True)
        self.program: list[str] | None = None
        """What `start` starts instead of the agent under test: another build of it."""
        self._stamp = stamp
        self._agent: subprocess.Popen[bytes] | None = None

    def __repr__(self) -> str:
        return self.name

    # -- configuration

    def configure(
        self, settings: Mapping[str, Any], hook: str | Mapping[str, str] = "ok", **hooks: Any
    ) -> None:
        """Write the YAML; it is read at the next start. ``hooks`` are keys of `hooks:`."""
        modes = {
            event: hook if isinstance(hook, str) else hook.get(event, "ok") for event in EVENTS
        }
        hooks |= {f"on_{event}": self._hook_argv(mode) for event, mode in modes.items()}
        role_file = str(self.directory / "role")
        document = {"node": self.name, "role_file": role_file, **settings, "hooks": hooks}
        self.config.write_text(yaml.safe_dump(document, sort_keys=False))

    def _hook_argv(self, mode: str) -> list[str]:
        kind, _, argument = mode.partition(" ")
        stamp, log, directory = str(self._stamp), str(self.log.path), str(self.directory)
        return [stamp, "hook", log, self.name, directory, kind, argument or "-", "--"]

    # -- the agent

    def argv(self, command: str, *words: str) -> list[str]:
        """A command line of ftl-agent that reads this host's own directories."""
        directories = ["--runtime-dir", str(self.runtime_dir)]
        if command == "run":
            directories += ["--state-dir", str(self.state_dir)]
        program = self.program if command == "run" and self.program else agent_command()
        return [*program, command, *words, *directories]

    def start(self) -> int:
        """Start the agent and return the instant before; it is not waited for."""
        if self.is_running:
            raise RuntimeError(f"{self}: the agent runs already")
        with self.output.open("ab") as output:
            at = self.log.note(self.name, "fault", "start")
            self._agent = self.spawn("run", "-c", str(self.config), output=output.fileno())
        return at

    def spawn(self, *words: str, output: int) -> subprocess.Popen[bytes]:
        """Start any ftl-agent command on this host."""
        command = [*self.network.enter(self.name), *self.inside, *self.argv(*words)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
        )

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a reading command (``status --json``) to its end."""
        return subprocess.run(self.argv(*words), capture_output=True, text=True, timeout=10)

    def ask(self, command: str, **words: object) -> dict[str, Any]:
        """Ask the running agent by its control socket; NoAnswer if it does not answer."""
        path = self.runtime_dir / "control.sock"
        return client.ask(str(path), {"command": command, **words}, 5.0)

    def status(self) -> dict[str, Any]:
        """The agent's answer to ``status``; empty if it does not answer."""
        try:
            return client.ask(str(self.runtime_dir / "status.sock"), {"command": "status"}, 5.0)
        except NoAnswer:
            return {}

    def problems(self) -> str:
        """What ``status`` says that does not work, in one string."""
        return "; ".join(self.status().get("problems", []))

    def alive(self) -> set[str]:
        """The names of the other members that ``status`` shows as there."""
        return {member["name"] for member in self.status().get("members", []) if member["alive"]}

    def tool(self, *words: str) -> str:
        """Run a tool of the house in the running agent's own namespaces (mounts, network, name)."""
        return run("nsenter", "-t", str(self.agent_pid), "-m", "-n", "-u", *words)

    @property
    def is_running(self) -> bool:
        return self._agent is not None and self._agent.poll() is None

    @property
    def agent_pid(self) -> int:
        if self._agent is None or self._agent.poll() is not None:
            raise RuntimeError(f"{self}: no agent runs\n{self.output_tail()}")
        return self._agent.pid

    @property
    def guardian_pid(self) -> int | None:
        """The guardian of this host's runtime directory, whoever its parent is by now."""
        for pid in self.network.pids(self.name):
            words = _command_line(pid)
            is_guardian = any(word.split(".")[-1] == "guardian" for word in words)
            if is_guardian and str(self.runtime_dir) in words and pid != self._pid_or_none():
                return pid
        return None

    def _pid_or_none(self) -> int | None:
        return self._agent.pid if self._agent else None

    def reap(self) -> None:
        """Collect an agent that is known to be dead."""
        if self._agent is not None:
            self._agent.wait(timeout=10)

    # -- what befalls it

    def crash(self) -> int:
        """SIGKILL to the agent alone; the guardian lives."""
        return self._kill("crash", [self.agent_pid])

    def crash_both(self) -> int:
        """SIGKILL to agent and guardian; hooks and jobs live on as orphans."""
        return self._kill("crash-both", [*self._guardians(), self.agent_pid])

    def crash_guardian(self) -> int:
        """SIGKILL to the guardian alone; the agent lives."""
        at = self.log.note(self.name, "fault", "crash-guardian")
        self._signal_all(signal.SIGKILL, self._guardians())
        return at

    def power_off(self) -> int:
        """Pull the plug: SIGKILL to every process of the host, the cable goes dead.

        Nothing lives on, not even what was being born when the plug was pulled.
        """
        at = self.log.note(self.name, "fault", "power-off")
        self.network.set_carrier(self.name, up=False)
        while pids := self.network.pids(self.name):
            self._signal_all(signal.SIGKILL, pids)
        self.reap()
        self._note_again("power-off")
        return at

    def power_on(self) -> int:
        """The cable and the agent come back; the runtime directory of a booted host is empty."""
        for path in self.runtime_dir.rglob("*"):
            if not path.is_dir():
                path.unlink()
        self.network.set_carrier(self.name, up=True)
        return self.start()

    def freeze(self) -> int:
        """SIGSTOP to the agent alone, as if it hung."""
        at = self.log.note(self.name, "fault", "freeze")
        self._signal_all(signal.SIGSTOP, [self.agent_pid])
        return at

    def suspend(self) -> int:
        """SIGSTOP to every process of the host, also to what was being born meanwhile."""
        at = self.log.note(self.name, "fault", "suspend")
        stopped: set[int] = set()
        while born := set(self.network.pids(self.name)) - stopped:
            self._signal_all(signal.SIGSTOP, born)
            stopped |= born
        self._note_again("suspend")
        return at

    def thaw(self) -> int:
        """SIGCONT to every process of the host, the guardian first as it is the one on guard."""
        at = self.log.note(self.name, "fault", "thaw")
        pids = self.network.pids(self.name)
        guardians = self._guardians()
        self._signal_all(signal.SIGCONT, [*guardians, *(p for p in pids if p not in guardians)])
        return at

    def thaw_guardian(self) -> int:
        """SIGCONT to the guardian alone, the first moment of a resumed host."""
        at = self.log.note(self.name, "fault", "thaw-guardian")
        self._signal_all(signal.SIGCONT, self._guardians())
        return at

    def resume(self, *, job_is_over: bool) -> int:
        """The end of `suspend`: the guardian goes on first; if the time of its job was up, alone
        until that has ended."""
        self.thaw_guardian()
        if job_is_over:
            what = f"the job of {self} has ended"
            wait_until(lambda: not self._works(), PATIENCE, what, self.tail)
        return self.thaw()

    def stop(self) -> int:
        """SIGTERM: leave on purpose. Returns at once, see `wait_stopped`."""
        at = self.log.note(self.name, "fault", "stop")
        os.kill(self.agent_pid, signal.SIGTERM)
        return at

    def wait_stopped(self, within: float = 10) -> int:
        """Wait for the agent's end and return its exit code."""
        agent = self._agent
        if agent is None:
            raise RuntimeError(f"{self}: never started")
        wait_until(lambda: agent.poll() is not None, within, f"the agent of {self} ends", self.tail)
        return agent.wait()

    def carrier_down(self) -> int:
        at = self.log.note(self.name, "fault", "carrier-down")
        self.network.set_carrier(self.name, up=False)
        return at

    def carrier_up(self) -> int:
        at = self.log.note(self.name, "fault", "carrier-up")
        self.network.set_carrier(self.name, up=True)
        return at

    def link_down(self) -> int:
        """The administrator takes the interface down."""
        at = self.log.note(self.name, "fault", "link-down")
        self.network.set_link(self.name, up=False)
        return at

    def link_up(self) -> int:
        at = self.log.note(self.name, "fault", "link-up")
        self.network.set_link(self.name, up=True)
        return at

    def end(self) -> None:
        """Not a story's fault but its end: nothing of this host's agent is left."""
        pids = self._guardians()
        if self._agent is not None and self._agent.poll() is None:
            pids.append(self._agent.pid)
        self._signal_all(signal.SIGKILL, pids)
        self.reap()

    # -- what it says of itself

    @property
    def role(self) -> str:
        """The word of the role file; ``none`` if it is missing, which means "not the leader"."""
        try:
            return (self.runtime_dir / "role").read_text().strip()
        except FileNotFoundError:
            return "none"

    def output_tail(self, lines: int = 40) -> str:
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def tail(self) -> str:
        """The end of the agent's own log, for the report of a failure."""
        return f"--- {self} (role file: {self.role}, runs: {self.is_running})\n{self.output_tail()}"

    # -- below

    def _guardians(self) -> list[int]:
        guardian = self.guardian_pid
        return [] if guardian is None else [guardian]

    def _kill(self, fault: str, pids: list[int]) -> int:
        at = self.log.note(self.name, "fault", fault)
        self._signal_all(signal.SIGKILL, pids)
        self.reap()
        return at

    def _note_again(self, fault: str) -> None:
        """A fault is noted before it is done; what the host became in between ends here as well."""
        role = self.role

        def is_stamped() -> bool:
            roles = [r for r in self.log.read() if (r.host, r.what) == (self.name, "role")]
            return role in (roles[-1].phase if roles else role, "none")

        wait_until(is_stamped, PATIENCE, f"{self}: role {role} is in the log")
        self.log.note(self.name, "fault", fault)

    def _works(self) -> bool:
        """Is there anything of a job, or of the hook that starts one?"""
        for pid in self.network.pids(self.name):
            program, *words = _command_line(pid) or [""]
            if program.endswith("/stamp") and ("leader" in words or words[:1] == ["job"]):
                return True
        return False

    def _signal_all(self, signum: signal.Signals, pids: Iterable[int]) -> None:
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)


def _command_line(pid: int) -> list[str]:
    try:
        raw = Path("/proc", str(pid), "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return []
    return raw.decode(errors="replace").split("\0")
