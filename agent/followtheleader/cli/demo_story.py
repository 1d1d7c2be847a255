"""The four acts of the demo: an election, a crash, a freeze, a stop.

Each act sends one signal, waits for what was promised, and measures. Whatever does not come within
`PATIENCE` raises `TooLate`; what comes otherwise than promised raises `Failed`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from followtheleader.cli.demo_group import DemoAgent, Group
from followtheleader.cli.demo_log import Record, boottime, broken_promises, first
from followtheleader.cli.terminal import Paint
from followtheleader.config import timeline
from followtheleader.config.durations import MS, SECOND, format_duration
from followtheleader.core.types import Instant, Span

T = TypeVar("T")

PATIENCE: Span = 10 * SECOND
"""How long a step may take before the demo gives up: far more than any promise."""
ALLOWANCE: Span = 500 * MS
"""What the start of hooks and a busy machine may add to a promise."""
AFTERMATH: Span = 300 * MS
"""How long to listen after each act for a job that works although it must not."""


class Failed(Exception):
    """A step did not end as promised; ``str()`` says which and how."""


class TooLate(Failed):
    """It took too long, or two led for a moment: a machine without time does that."""


class Gap(NamedTuple):
    """One measured change of leaders.

    ``gap``: from the fault to the first line of the next on_leader. ``election``: the part of it
    that ``promised`` speaks of.
    """

    what: str
    gap: Span
    election: Span
    promised: Span

    @property
    def held(self) -> bool:
        """Is the election's part within its promise?"""
        return self.election <= self.promised + ALLOWANCE


class Story:
    """Tells the acts on stdout; ``gaps`` are those measured so far."""

    def __init__(self, group: Group, paint: Paint) -> None:
        self.gaps: list[Gap] = []
        self._group = group
        self._paint = paint
        self._began: Instant = boottime()
        self._promised: dict[str, Span] = {}
        self._leader: DemoAgent | None = None
        self._silent: set[DemoAgent] = set()  # killed, frozen or told to stop

    def tell(self) -> None:
        """All acts. Raises `Failed`."""
        settings = next(iter(self._group.agents.values())).settings()
        self._promised = {wait.key: wait.span for wait in timeline.waits(settings)}
        self._promised |= {step.key: step.at for step in timeline.steps(settings)}
        heartbeat = format_duration(settings.heartbeat_interval)
        print(f"Three agents of one open group on 127.0.0.1, in {self._group.place}.")
        print(f"Heartbeats every {heartbeat}, a lock of {format_duration(settings.timing.lock)}.\n")
        timing = settings.timing
        self._elect(timing.listening + timing.skew + timing.claim_wait)
        self._crash()
        self._freeze()
        self._stop()

    # -- the acts

    def _elect(self, promised: Span) -> None:
        self._began = boottime()
        for agent in self._group.agents.values():
            agent.start()
        agents = list(self._group.agents.values())
        pids = ", ".join(f"{agent.name} (pid {agent.pid})" for agent in agents)
        self._act(f"start {pids}")
        self._wait(lambda: all(agent.is_up() for agent in agents), "the agents are up")
        up_at = boottime()
        self._say(up_at, "all are up, and listen whether somebody leads already")
        elected = self._wait_next_leader(0, "one of them leads")
        self._measure("launch", self._began, max(0, elected.at - up_at), elected.at, promised)
        self._wait_agreement()

    def _crash(self) -> None:
        victim, mark = self._current(), self._mark()
        self._silent.add(victim)
        at = self._signal(victim, signal.SIGKILL, "kill -9")
        self._wait(lambda: victim.has_ended, f"{victim.name} is dead")
        elected = self._wait_next_leader(mark, "another leads after a crash")
        ended = self._end_of(victim, mark)
        promised = self._promised["crash"]
        self._measure("leader killed", at, elected.at - ended.at, elected.at, promised)
        self._wait_agreement()
        victim.start()
        self._silent.remove(victim)
        self._act(f"start {victim.name} again (pid {victim.pid})")
        self._wait_agreement(f"{victim.name} is back as a follower")

    def _freeze(self) -> None:
        victim, mark = self._current(), self._mark()
        self._silent.add(victim)
        at = self._signal(victim, signal.SIGSTOP, "freeze")
        elected = self._wait_next_leader(mark, "another leads after a freeze")
        ended = self._end_of(victim, mark)
        promised = self._promised["latest_takeover"]
        self._measure("leader frozen", at, elected.at - at, elected.at, promised)
        early = _seconds(elected.at - ended.at)
        self._say(boottime(), f"the guardian of {victim.name} had ended its job {early} before")
        if victim.role_file() == "leader":
            raise Failed(f"{victim.name} is frozen, and its role file still says leader")
        self._wait_agreement()
        self._silent.remove(victim)
        self._signal(victim, signal.SIGCONT, "resume")
        self._wait_agreement(f"{victim.name} is back as a follower")

    def _stop(self) -> None:
        victim, mark = self._current(), self._mark()
        self._silent.add(victim)
        at = self._signal(victim, signal.SIGTERM, "stop")
        elected = self._wait_next_leader(mark, "another leads after a stop")
        ended = self._end_of(victim, mark)
        promised = self._promised["stop"]
        self._measure("leader stopped", at, elected.at - ended.at, elected.at, promised)
        self._wait(lambda: victim.has_ended, f"{victim.name} has left")
        if victim.exit_status != 0:
            raise Failed(f"{victim.name} left with exit status {victim.exit_status}, not 0")
        self._wait_agreement()

    # -- their parts

    def _current(self) -> DemoAgent:
        if self._leader is None:
            raise Failed("nobody was ever elected")
        return self._leader

    def _mark(self) -> int:
        return len(self._group.log.records)

    def _signal(self, agent: DemoAgent, number: signal.Signals, word: str) -> Instant:
        self._act(f"{word} {agent.name} (pid {agent.pid})")
        at = boottime()
        agent.send(number)
        return at

    def _measure(
        self, what: str, fault_at: Instant, election: Span, elected_at: Instant, promised: Span
    ) -> None:
        self.gaps.append(Gap(what, elected_at - fault_at, election, promised))
        self._say(boottime(), self._paint("bold", f"gap {_seconds(elected_at - fault_at)}"))

    def _wait_next_leader(self, mark: int, what: str) -> Record:
        def elected() -> Record | None:
            return first(self._group.log.records[mark:], lambda r: r.what == "on_leader")

        record = self._wait(elected, what)
        self._leader = self._group.agents[record.node]
        return record

    def _end_of(self, agent: DemoAgent, mark: int) -> Record:
        def ended() -> Record | None:
            return first(
                self._group.log.records[mark:],
                lambda r: r.what == "on_follower" and r.node == agent.name,
            )

        return self._wait(ended, f"on_follower of {agent.name} ran")

    def _wait_agreement(self, so: str = "") -> None:
        """Wait until all running agents name the same leader, then hold them to it for a while.

        ``so``: what to say as soon as they do.
        """
        leader = self._current()
        mark = self._mark()
        self._wait(lambda: self._agree(leader), f"all agents follow {leader.name}")
        if so:
            self._say(boottime(), so)
        until = boottime() + AFTERMATH
        while boottime() < until:
            self._listen()
        again = first(self._group.log.records[mark:], lambda r: r.what == "on_leader")
        if again is not None:
            raise TooLate(f"{again.node} took over from {leader.name}, which was well")
        if not self._agree(leader):
            raise TooLate(f"the agents did not stay with {leader.name}: {self._opinions()}")

    def _agree(self, leader: DemoAgent) -> bool:
        return all(
            (agent_role, led_by) == ("leader" if name == leader.name else "follower", leader.name)
            for name, agent_role, led_by in self._opinions()
        )

    def _opinions(self) -> list[tuple[str, str, str]]:
        """Name, role and leader that each running agent tells."""
        told = []
        for agent in self._group.agents.values():
            if agent not in self._silent:
                status: dict[str, Any] = agent.status() or {}
                leader = status.get("leader") or {}
                told.append((agent.name, status.get("role", "no answer"), leader.get("name", "?")))
        return told

    def _wait(self, condition: Callable[[], T | None], what: str) -> T:
        until = boottime() + PATIENCE
        while True:
            self._listen()
            value = condition()
            if value:
                return value
            if boottime() >= until:
                limit = format_duration(PATIENCE)
                raise TooLate(f"not within {limit}: {what}: {self._opinions()}")

    def _listen(self) -> None:
        """Hear what hooks and jobs say, show it, and hold it against the promises."""
        new = self._group.log.read(0.01)
        for record in new:
            self._show(record)
        if new and (broken := broken_promises(self._group.log.records)):
            raise (TooLate if broken[0].excusable else Failed)(broken[0].text)
        for agent in self._group.agents.values():
            if agent not in self._silent and agent.has_ended:
                raise Failed(f"{agent.name} ended by itself, exit status {agent.exit_status}")

    # -- what is seen

    def _act(self, text: str) -> None:
        if self.gaps:
            print()
        self._say(boottime(), self._paint("yellow", text))

    def _show(self, record: Record) -> None:
        if record.what == "job":
            return
        text = f"{record.node}: {record.what}"
        if record.what == "on_leader":
            text = self._paint("green", f"{text}, term {record.term}")
        self._say(record.at, text)

    def _say(self, at: Instant, text: str) -> None:
        print(f"{(at - self._began) / SECOND:8.3f}  {text}", flush=True)


def _seconds(span: Span) -> str:
    return f"{span / SECOND:.3f} s"
