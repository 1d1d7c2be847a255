"""Five hosts on which any contender runs, judged by the stamps of its hooks alone.

Promise: every contender meets the same hosts, the same faults and the same clock. A fault is in the
log before it is done. Only processes of these hosts are signalled, each by its pid, and none is
left at the end.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from bench.contenders import Contender, Place
from lab import checker
from lab.checker import Span
from lab.events import NS, EventLog, Record, now
from lab.hosts import build_stamp
from lab.net import Network
from lab.weather import Weather

POLL = 0.02


class Seat:
    """One host with the contender's processes on it."""

    def __init__(self, name: str, network: Network, log: EventLog, argv: Sequence[str]) -> None:
        self.name = name
        self.started_at = 0
        self._network = network
        self._log = log
        self._argv = list(argv)
        self._output = network.directory / name / "output.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> int:
        """Start it unless it runs; return the instant before."""
        if self._process is not None and self._process.poll() is None:
            return self.started_at
        command = [*self._network.enter(self.name), *self._argv]
        self.started_at = self._log.note(self.name, "fault", "start")
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        return self.started_at

    # -- what befalls it: each returns the instant before

    def crash(self) -> int:
        """SIGKILL to the process that elects; what else belongs to the contender lives."""
        return self._signal("crash", signal.SIGKILL, [self.elector])

    def crash_all(self) -> int:
        """SIGKILL to every process of the host."""
        at = self._signal("crash-both", signal.SIGKILL, self.pids())
        self.reap()
        return at

    def freeze(self) -> int:
        """SIGSTOP to the process that elects."""
        return self._signal("freeze", signal.SIGSTOP, [self.elector])

    def thaw(self) -> int:
        return self._signal("thaw", signal.SIGCONT, [self.elector])

    def stop(self) -> int:
        """SIGTERM to the process that was started, as a service manager does."""
        return self._signal("stop", signal.SIGTERM, [self._main])

    def is_gone(self) -> bool:
        """Has every process of it ended? The log is told once: what led here leads no more."""
        if self.pids():
            return False
        self.reap()
        self._log.note(self.name, "fault", "gone")
        return True

    # -- below

    @property
    def _main(self) -> int:
        if self._process is None or self._process.poll() is not None:
            raise RuntimeError(f"{self.name}: nothing runs\n{self.tail()}")
        return self._process.pid

    @property
    def elector(self) -> int:
        """The process that elects: keepalived's is a child of the one that was started."""
        main = self._main
        if self._argv[0] != "keepalived":
            return main
        children = [pid for pid in self.pids() if _parent(pid) == main]
        if len(children) != 1:
            raise RuntimeError(
                f"{self.name}: keepalived has {len(children)} children\n{self.tail()}"
            )
        return children[0]

    def pids(self) -> list[int]:
        """Every process of the host that is no hook."""
        return [pid for pid in self._network.pids(self.name) if _program(pid) != "stamp"]

    def tail(self, lines: int = 20) -> str:
        text = self._output.read_text(errors="replace") if self._output.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def reap(self) -> None:
        if self._process is not None:
            self._process.wait(timeout=10)

    def _signal(self, fault: str, signum: signal.Signals, pids: Sequence[int]) -> int:
        at = self._log.note(self.name, "fault", fault)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signum)
        return at


class Arena(Weather):
    """One life of a group of contenders, ``with Arena(contender) as arena``; not yet started."""

    def __init__(self, contender: Contender, size: int = 5) -> None:
        self.contender = contender
        self.network = Network([f"h{number + 1}" for number in range(size)])
        self.seats: list[Seat] = []

    def __enter__(self) -> Arena:
        self.network.__enter__()
        try:
            self._populate()
        except BaseException:
            self.network.__exit__(None, None, None)
            raise
        return self

    def _populate(self) -> None:
        stamp = build_stamp(self.network.directory)
        self.log = EventLog(self.network.directory / "events.log")
        for number, name in enumerate(self.network.hosts):
            directory = self.network.directory / name
            directory.mkdir()
            hook = [stamp, "hook", self.log.path, name, directory, "ok", "-", "--"]
            place = Place(
                *(name, number, self.network.address(name), directory),
                stamp=[str(word) for word in hook],
            )
            argv = self.contender.prepare(place)
            self.seats.append(Seat(name, self.network, self.log, argv))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.network.__exit__(kind, value, trace)
        for seat in self.seats:
            seat.reap()

    # -- acts

    def start(self) -> int:
        """Start all; return the instant before the first."""
        return min([seat.start() for seat in self.seats])

    def let_a_random_time_pass(self) -> None:
        """Strike anywhere in the heartbeat's period."""
        time.sleep(self.contender.period * random.uniform(1, 2))

    # -- observations

    def leaders(self) -> list[Seat]:
        """Wait until leadership moves no more, or patience ends; return who leads then.

        Followers may go on electing meanwhile: npm's do for ever, once they have lost a leader.
        """
        deadline = time.monotonic() + self.contender.patience
        while time.monotonic() < deadline and not self._is_calm():
            time.sleep(POLL)
        leading = {span.host for span in self.open_tenures()}
        return [seat for seat in self.seats if seat.name in leading]

    def _is_calm(self) -> bool:
        """Somebody leads, nothing has befallen a leader for a while, and all know their role."""
        records = self.log.read()
        spans = checker.tenures(records)
        if all(span.end is not None for span in spans):
            return False
        moves = [span.end or span.start for span in spans]
        moves += [record.at for record in records if record.what == "fault"]
        if now() - max(moves) < self.contender.quiet * NS:
            return False
        return all(self._has_a_role(seat, records) for seat in self.seats)

    def _has_a_role(self, seat: Seat, records: Sequence[Record]) -> bool:
        """ftl-agent's followers run no hook at their start; all others say what they became."""
        own = [r for r in records if r.host == seat.name and r.at >= seat.started_at]
        is_silent = any(r.phase in checker.UNGUARDED for r in own) or self.contender.needs == ""
        return is_silent or any(r.is_hook_start and r.what in checker.ROLE_HOOKS for r in own)

    def open_tenures(self, records: Sequence[Record] | None = None) -> list[Span]:
        """Who leads by the stamps of the hooks, now."""
        spans = checker.tenures(self.log.read() if records is None else records)
        return [span for span in spans if span.end is None]

    def several_led(self) -> bool:
        """Did two ever lead at the same time?"""
        spans = checker.tenures(self.log.read())
        return any(one.overlaps(other) for one, other in itertools.combinations(spans, 2))

    def one_since(self) -> int:
        """The instant since when the one who leads now has led alone."""
        spans = checker.tenures(self.log.read())
        (last,) = (span for span in spans if span.end is None)
        return max([last.start, *(span.end for span in spans if span.end is not None)])

    def takeover(self, at: int, old: Seat) -> int | None:
        """Wait for on_leader on another host than ``old``; nanoseconds from ``at``, or None."""
        deadline = time.monotonic() + self.contender.patience
        while time.monotonic() < deadline:
            gains = (r for r in self.log.read(at) if r.is_hook_start and r.what == "hook.leader")
            first = next((gain for gain in gains if gain.host != old.name), None)
            if first is not None:
                return first.at - at
            time.sleep(POLL)
        return None


def _parent(pid: int) -> int:
    """Its parent's pid; 0 if it has ended."""
    with contextlib.suppress(OSError):
        return int(Path("/proc", str(pid), "stat").read_text().rpartition(") ")[2].split()[1])
    return 0


def _program(pid: int) -> str:
    """The name of what it runs; empty if it has ended."""
    with contextlib.suppress(OSError):
        return Path("/proc", str(pid), "comm").read_text().strip()
    return ""
