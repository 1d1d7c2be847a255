"""A test's stand: real agents as processes on loopback, and hooks that write to one log.

An append to the log is atomic, so the order of its lines is the order of what happened, whichever
agent's hook wrote them. Nothing here needs root, mDNS or a network beyond 127.0.0.1.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from followtheleader.errors import NoAnswer
from followtheleader.host import client
from lab.waiting import wait_until

PATIENCE = 15.0
"""Seconds within which anything must have happened on a busy machine."""
QUICK = "75ms"
"""A heartbeat at which an election takes as long as listening: 300 ms."""
COMMAND = ("-P", "-m", "followtheleader")
CANNOT_OVERRIDE: tuple[str, ...] = ()
"""Before a command: modes of files hold for it, as they do for everybody but root."""
if os.geteuid() == 0:
    CANNOT_OVERRIDE = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
SET_BY_OTHERS = ("NOTIFY_SOCKET", "JOURNAL_STREAM", "RUNTIME_DIRECTORY", "STATE_DIRECTORY")

Facts = dict[str, Any]


class Line(NamedTuple):
    """What a hook wrote: which node, which event, ``begin`` or ``end``, and why."""

    node: str
    event: str
    phase: str
    term: str
    replay: str
    reason: str


class Stand:
    """Nodes of one service in one folder; `close` ends every process of theirs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hook_log = folder / "hooks.log"
        self.hook_log.touch()
        self.nodes: list[Node] = []

    def node(self, name: str = "a", **keys: Any) -> Node:
        """A node, configured but not started; ``keys`` as in the configuration, see `configure`."""
        made = Node(self, name, free_port())
        self.nodes.append(made)
        made.configure(**keys)
        return made

    def group(self, names: str, **keys: Any) -> list[Node]:
        """One node for each letter, each a static peer of all others."""
        nodes = [self.node(name) for name in names]
        for node in nodes:
            node.configure(**keys)
        return nodes

    def pair(self, **keys: Any) -> tuple[Node, Node]:
        """Two nodes that run: the one that leads, then the one that follows it.

        An open group's start one after the other: on a busy machine both may lead for a moment.
        """
        first, second = self.group("ab", **keys)
        first.start()
        if not keys.get("voters"):
            first.wait_role("leader")
        second.start()
        leader = self.wait_one_leader()
        return leader, second if leader is first else first

    def lines(self, node: Node | None = None) -> list[Line]:
        """What hooks (of ``node``) have written so far."""
        text = self.hook_log.read_text()
        whole = text[: text.rfind("\n") + 1].splitlines()
        read = [Line(*row.split()) for row in whole]
        return [line for line in read if node is None or line.node == node.name]

    def begun(self, node: Node) -> list[str]:
        """The events whose hooks have begun on ``node``, in order."""
        return [line.event for line in self.lines(node) if line.phase == "begin"]

    def describe(self) -> str:
        """Everything that a failed wait should show."""
        rows = [" ".join(line) for line in self.lines()]
        return "\n".join([*rows, *(f"--- {node.name}\n{node.log}" for node in self.nodes)])

    def wait(self, condition: Any, what: str, within: float = PATIENCE) -> Any:
        """Wait for a true value of ``condition()`` and return it."""
        return wait_until(condition, within, what, self.describe)

    def wait_one_leader(self, nodes: Iterable[Node] | None = None) -> Node:
        """Wait until one leads, all others follow it, and its on_leader has ended."""
        among = list(nodes or self.nodes)
        found: Node = self.wait(
            lambda: self._agreed(among), f"one leads of {[n.name for n in among]}"
        )
        return found

    def _agreed(self, among: list[Node]) -> Node | None:
        seen = {node.name: node.status() for node in among}
        leaders = [node for node in among if seen[node.name].get("role") == "leader"]
        if len(leaders) != 1:
            return None
        followed = {(facts.get("leader") or {}).get("name") for facts in seen.values()}
        settled = [line[1:3] for line in self.lines(leaders[0])][-1:]
        agreed = followed == {leaders[0].name} and settled == [("leader", "end")]
        return leaders[0] if agreed else None

    def close(self) -> None:
        """End every process whose command line names this folder."""
        wait_until(self._all_ended, PATIENCE, "every process is gone")

    def _all_ended(self) -> bool:
        """Kill whatever lives: what died may have started something else just before."""
        living = self.processes() + self._hooks()
        for pid in living:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        started = [node.process for node in self.nodes if node.process is not None]
        return all(process.poll() is not None for process in started) and not living

    def _hooks(self) -> list[int]:
        """What hooks of this folder have started: it need not name the folder, its environment
        does."""
        mark = os.fsencode(f"FTL_RUNTIME_DIR={self.folder}/")
        every = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in every if mark in _read(pid, "environ")]

    def processes(self, word: bytes = b"") -> list[int]:
        """Agents, guardians and hooks of this folder, with ``word`` in their command line."""
        mark = os.fsencode(f"{self.folder}/")
        every = [int(name) for name in os.listdir("/proc") if name.isdigit()]
        return [pid for pid in every if _is(pid, mark, word)]


class Node:
    """One agent: its configuration, its directories, its process."""

    def __init__(self, stand: Stand, name: str, port: int) -> None:
        self.stand, self.name, self.port = stand, name, port
        self.folder = stand.folder / name
        self.folder.mkdir()
        self.config = self.folder / f"{name}.yaml"
        self.runtime, self.state = self.folder / "run", self.folder / "state"
        self.log_file = self.folder / "log"
        self.log_file.touch()
        self.process: subprocess.Popen[bytes] | None = None

    def configure(
        self, leader: str = "", follower: str = "", hooks: Mapping[str, Any] | None = None, **k: Any
    ) -> None:
        """Write the configuration: shell bodies of two hooks, more of ``hooks:``, other keys.

        A key that is None is left out.
        """
        others = [f"127.0.0.1:{n.port}" for n in self.stand.nodes if n is not self]
        bodies = {"on_leader": [[self.script("on_leader", leader)]]}
        bodies["on_follower"] = [[self.script("on_follower", follower)]]
        keys: Facts = {"service": "test", "node": self.name, "heartbeat_interval": QUICK}
        # Without others its own address stands in: static discovery wants a peer.
        keys |= {"host": "127.0.0.1", "port": self.port, "discovery": ["static"]}
        keys |= {"peers": others or [f"127.0.0.1:{self.port}"]}
        keys |= {"role_file": str(self.folder / "role-link"), "hooks": {**bodies, **(hooks or {})}}
        keys |= k
        text = json.dumps({key: value for key, value in keys.items() if value is not None})
        self.config.write_text(text)

    def script(self, name: str, body: str = "") -> str:
        """An executable that says when it begins and ends, with ``body`` between."""
        path = self.folder / f"{name}.hook"
        fresh = path.with_suffix(".new")  # the other may be running, and then cannot be written
        fresh.write_text(
            "#!/bin/sh\n"
            f'say() {{ echo "{self.name} $FTL_EVENT $1 $FTL_TERM $FTL_REPLAY ${{FTL_REASON:--}}" '
            f">> {self.stand.hook_log}; }}\nsay begin\n{body}\nsay end\n"
        )
        fresh.chmod(0o755)
        fresh.replace(path)
        return str(path)

    def start(
        self, *, env: Mapping[str, str] | None = None, code: str = "", prefix: tuple[str, ...] = ()
    ) -> Node:
        """Start the agent; ``code`` runs in its process before it, ``prefix`` is put before it."""
        program = ("-P", "-c", f"{code}\n{_MAIN}") if code else COMMAND
        places = ["-c", str(self.config), "--runtime-dir", str(self.runtime)]
        places += ["--state-dir", str(self.state)]
        with self.log_file.open("ab") as errors:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, *program, "run", *places],
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                env={**_environment(), **(env or {})},
            )
        return self

    def wait_answer(self) -> Facts:
        """Wait until the agent answers; its first status."""
        found: Facts = self.stand.wait(self.status, f"{self.name} answers")
        return found

    def wait_role(self, role: str) -> Facts:
        """Wait until its role file says ``role``; the status then."""
        self.stand.wait(lambda: self.role == role, f"the role file of {self.name} says {role}")
        return self.status()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the agent."""
        assert self.process is not None
        self.process.send_signal(number)

    def wait_end(self, within: float = PATIENCE) -> int:
        """Wait until the agent has ended; its exit code."""
        process = self.process
        assert process is not None
        self.stand.wait(lambda: process.poll() is not None, f"{self.name} ends", within)
        assert process.returncode is not None
        return process.returncode

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.send(signal.SIGTERM)
        return self.wait_end()

    def kill(self) -> None:
        """Kill -9 of the agent alone, and collect it."""
        self.send(signal.SIGKILL)
        self.wait_end()

    @property
    def log(self) -> str:
        """What the agent, its guardian and a traceback wrote."""
        return self.log_file.read_text(errors="replace")

    @property
    def role(self) -> str:
        """The word of the role file; empty if there is none."""
        try:
            return (self.runtime / "role").read_text().strip()
        except OSError:
            return ""

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    @property
    def guardian(self) -> int:
        """The pid of the guardian that the agent has now; 0 if there is none."""
        guardians = self.stand.processes(b"followtheleader.guardian")
        return next((pid for pid in reversed(guardians) if _parent(pid) == self.pid), 0)

    def status(self) -> Facts:
        """The answer to ``status``; empty if none answers."""
        return self.ask("status", "status.sock")

    @property
    def problems(self) -> str:
        """The problems that status shows, line by line."""
        return "\n".join(self.status().get("problems", []))

    def ask(self, command: str, place: str = "control.sock", **more: str) -> Facts:
        """Send a command to a local socket; empty if none answers."""
        try:
            return client.ask(str(self.runtime / place), {"command": command, **more}, 2.0)
        except NoAnswer:
            return {}


_MAIN = "import sys; from followtheleader.cli.main import main; sys.exit(main(sys.argv[1:]))"


def free_port() -> int:
    """A UDP port of 127.0.0.1 that nobody holds."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as trial:
        trial.bind(("127.0.0.1", 0))
        port: int = trial.getsockname()[1]
        return port


def never_leads_twice(events: list[str]) -> bool:
    """Is there an on_follower between any two on_leader?"""
    roles = [event for event in events if event in ("leader", "follower")]
    return ("leader", "leader") not in pairwise(roles)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in SET_BY_OTHERS}


def _is(pid: int, *words: bytes) -> bool:
    line = _read(pid, "cmdline")
    return all(word in line for word in words)


def _read(pid: int, name: str) -> bytes:
    """One of a process's files in /proc; empty once it is gone (of a zombie, too)."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0
