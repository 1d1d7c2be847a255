"""A test's stand: a real agent process, a real guardian, real hooks that write to one log.

Hooks append lines to one file; an append is atomic, so the order of its lines is the order of what
happened. Each line: ``uptime what event term event_id replay reason``.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

MS = 1_000_000
SECOND = 1_000_000_000

SMALL_AGENT = Path(__file__).with_name("small_agent.py")

Message = dict[str, Any]


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Line(NamedTuple):
    """One line of the hooks' log."""

    uptime: float
    what: str
    event: str
    term: str
    event_id: str
    replay: str
    reason: str


class Stand:
    """One instance: directory, configuration, hooks; agents and guardians of it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runtime = folder / "rt"
        self.runtime.mkdir(parents=True)
        self.log = folder / "log"
        self.log.touch()
        self.config = folder / "svc.yaml"
        self.agents: list[Agent] = []
        self.options: dict[str, Any] = {"timeout": "30s"}
        self.hooks: dict[str, Any] = {}

    def script(self, name: str, body: str, mode: int = 0o755, first: str = "#!/bin/sh") -> str:
        """Make an executable that says when it begins and ends; ``body`` runs between."""
        path = self.folder / name
        path.write_text(
            f"{first}\n"
            f"say() {{ read -r up idle < /proc/uptime; "
            f'echo "$up $1 $FTL_EVENT $FTL_TERM $FTL_EVENT_ID $FTL_REPLAY ${{FTL_REASON:--}}" '
            f">> {self.log}; }}\n"
            f"say begin\n{body}\nsay end\n"
        )
        path.chmod(mode)
        return str(path)

    def configure(self, leader: str = "", follower: str = "", **options: Any) -> None:
        """Write the configuration: the shell bodies of the two hooks, and further options."""
        self.hooks["on_leader"] = [self.script("on_leader", leader)]
        self.hooks["on_follower"] = [self.script("on_follower", follower)]
        self.options.update(options)
        self.write()

    def write(self) -> None:
        self.config.write_text(json.dumps({"hooks": {**self.hooks, **self.options}}))

    def start(self, wait_ready: bool = True, prefix: tuple[str, ...] = ()) -> Agent:
        """Start an agent (by way of the command ``prefix``), and with it a guardian."""
        agent = Agent(self, prefix)
        self.agents.append(agent)
        if wait_ready:
            agent.wait("ready")
        return agent

    def lines(self) -> list[Line]:
        """What the hooks have said."""
        rows = (row.split() for row in self.log.read_text().splitlines())
        return [Line(float(row[0]), *row[1:7]) for row in rows]

    def wait_line(self, what: str, event: str, count: int = 1, seconds: float = 15) -> Line:
        """Wait for the ``count``-th line that says this."""

        def found() -> list[Line]:
            return [line for line in self.lines() if (line.what, line.event) == (what, event)]

        wait_until(lambda: len(found()) >= count, f"{what} of on_{event}", seconds)
        return found()[count - 1]

    def close(self) -> None:
        for agent in self.agents:
            agent.kill_all()


class Agent:
    """A `small_agent.py` and the guardian that it has started."""

    def __init__(self, stand: Stand, prefix: tuple[str, ...]) -> None:
        self.stand = stand
        arguments = [str(stand.config), "svc", str(stand.runtime)]
        self.stderr = stand.folder / f"stderr{len(stand.agents)}"
        with self.stderr.open("wb") as errors:
            self.process = subprocess.Popen(
                [*prefix, sys.executable, str(SMALL_AGENT), *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.messages: list[Message] = []
        self._rest = b""
        self.guardian = int(self.wait("pid")["pid"])
        self.guardian_fd = os.pidfd_open(self.guardian)

    def do(self, **order: Any) -> None:
        """Give one order; hear meanwhile what the agent says, or both could wait for ever."""
        stdin = self.process.stdin
        assert stdin is not None
        os.set_blocking(stdin.fileno(), False)
        data = json.dumps(order).encode() + b"\n"
        while data:
            try:
                data = data[os.write(stdin.fileno(), data) :]
            except BlockingIOError:
                self.read(0.01)

    def lead(
        self,
        change: int,
        span: int = 60 * SECOND,
        stop_timeout: int = 0,
        term: int | None = None,
        quorum: bool = False,
    ) -> None:
        """Become leader with one lease that lasts ``span``."""
        self.do(do="lease", span=span, stop_timeout=stop_timeout, quorum=quorum)
        self.event("leader", change, role="leader", old_role="follower", term=term or change)

    def follow(self, change: int) -> None:
        """Become follower."""
        self.event("follower", change, role="follower", old_role="leader", term=change, reason="x")

    def event(self, event: str, change: int, **facts: Any) -> None:
        facts = {"service": "svc", "node": "n1", **facts}
        self.do(do="event", event=event, change=change, facts=facts)

    def will(self, *datagrams: tuple[str, int, bytes]) -> None:
        entries = [(host, port, base64.b64encode(data).decode()) for host, port, data in datagrams]
        self.do(do="will", datagrams=entries)

    def read(self, seconds: float = 0.0) -> None:
        """Take what the agent has printed."""
        stdout = self.process.stdout
        assert stdout is not None
        poll = select.poll()
        poll.register(stdout, select.POLLIN)
        while poll.poll(seconds * 1000):
            data = os.read(stdout.fileno(), 65536)
            if not data:
                return
            *lines, self._rest = (self._rest + data).split(b"\n")
            self.messages += [json.loads(line) for line in lines]
            seconds = 0.0

    def wait(self, kind: str, seconds: float = 15, **fields: Any) -> Message:
        """Wait for a message of the guardian with these fields; the first one there is."""
        until = time.monotonic() + seconds
        while True:
            for message in self.messages:
                if message["m"] == kind and fields.items() <= message.items():
                    return message
            if time.monotonic() > until:
                raise AssertionError(f"no {kind} {fields}; there was {self.messages[-8:]}")
            self.read(0.05)

    def all(self, kind: str, **fields: Any) -> list[Message]:
        self.read()
        return [m for m in self.messages if m["m"] == kind and fields.items() <= m.items()]

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> int:
        """SIGKILL; return the instant just before."""
        at = now()
        self.process.kill()
        self.process.wait()
        return at

    def signal_guardian(self, number: int) -> None:
        signal.pidfd_send_signal(self.guardian_fd, number)

    def wait_guardian_gone(self, seconds: float = 15) -> None:
        poll = select.poll()
        poll.register(self.guardian_fd, select.POLLIN)
        assert poll.poll(seconds * 1000), "the guardian is still there"

    def is_guardian_gone(self) -> bool:
        poll = select.poll()
        poll.register(self.guardian_fd, select.POLLIN)
        return bool(poll.poll(0))

    def kill_all(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        with suppress(ProcessLookupError):
            self.signal_guardian(signal.SIGKILL)
        self.wait_guardian_gone()
        self.process.communicate()
        os.close(self.guardian_fd)
        for pid in processes_of(self.guardian):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def processes_of(guardian: int) -> list[int]:
    """Living processes that carry the marker of this guardian's hooks."""
    return list(_marked(f"FTL_EVENT_ID={guardian}-".encode()))


def _marked(marker: bytes) -> Iterator[int]:
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if marker in Path(f"/proc/{name}/environ").read_bytes():
                    yield int(name)
            except OSError:
                continue


def is_alive(pid: int) -> bool:
    """Does ``pid`` run? A zombie does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(") ")[2][0] not in "ZX"


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 15) -> None:
    """Wait for a condition, looking often."""
    until = time.monotonic() + seconds
    pause = select.poll()
    while not condition():
        assert time.monotonic() < until, f"not within {seconds} s: {what}"
        pause.poll(2)
