"""The agent: one instance's election, seen and acted upon on this host.

It joins the driver (the election and the network) to what a role means here, and keeps this order:

    gain    state files, then the lease to the guardian, then the guardian runs on_leader
    loss    state files first; the guardian ends the job and runs on_follower; only then
            (`Settled`) may the election say that this node has stopped acting

Hooks never run in this process. If the guardian is lost it is started again, and told the role
again: what it owed it makes good first.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from followtheleader import report
from followtheleader.config import load
from followtheleader.config.reload import changed
from followtheleader.config.settings import Settings
from followtheleader.core.actions import ChangeRole
from followtheleader.core.events import Settled, StepDownRequested, StopRequested
from followtheleader.core.types import MS, NANOSECONDS, Address, Instant, LeaderInfo, Role, Span
from followtheleader.driver import Driver
from followtheleader.errors import ConfigError, InvariantBroken, StateError
from followtheleader.guardian.link import GuardianLink
from followtheleader.guardian.orphans import Orphans
from followtheleader.host.clock import boottime, wall_ms
from followtheleader.host.directories import Directories
from followtheleader.host.instance import InstanceLock
from followtheleader.host.journal import Journal
from followtheleader.host.notify import Notify
from followtheleader.host.sockets import LocalServer, serve
from followtheleader.host.statefiles import StateFiles
from followtheleader.net.interfaces import usable
from followtheleader.roles_here import (
    HookFailures,
    is_ours,
    own_address,
    profile_of,
    role_link,
    watchdog_limit,
)
from followtheleader.supervision import Supervision

EXIT_DEFECT = 70
STATE_FILE_PAUSE_SECONDS = 0.2
STATE_FILE_RETRY_SECONDS = 2.0
GUARDIAN_PATIENCE_SECONDS = 5.0
MINUTE: Span = 60 * NANOSECONDS


def run(settings: Settings, directories: Directories) -> int:
    """Run the agent until it is told to stop; return its exit code.

    Raises `StateError`, `InstanceRunning` or `AddressError` if it cannot begin.
    """
    lock = InstanceLock.acquire(directories.runtime, directories.state)
    try:
        return asyncio.run(_main(settings, directories))
    finally:
        lock.release()


async def _main(settings: Settings, directories: Directories) -> int:
    agent = Agent(settings, directories)
    try:
        await agent.start()
        await agent.finished.wait()
    except InvariantBroken as error:
        agent.abandon("start", error)
    finally:
        await agent.close()
    return 0


class Agent:
    """One running instance; an `Observer` of its driver."""

    def __init__(self, settings: Settings, directories: Directories) -> None:
        self._settings = settings
        self._directories = directories
        self.finished = asyncio.Event()
        self._journal = Journal.open(settings.instance)
        self._notify = Notify()
        self._link_path = role_link(settings)
        self._files = StateFiles(directories.runtime, self._link_path)
        self._files.withdraw()
        self._driver = Driver(profile_of(settings, directories), self, job_running=True)
        self._diary = report.Diary(
            instance=settings.instance,
            service=settings.service,
            started_ms=wall_ms(),
            own_address=own_address(settings),
            since_ms=wall_ms(),
            since_at=boottime(),
        )
        self._failures = HookFailures()
        self._guardian = Supervision(
            self._new_link,
            self._journal,
            stop_timeout=settings.stop_timeout,
            quorum=bool(settings.voters),
        )
        self._guardian.on_ready = self._on_guardian_ready
        self._guardian.on_settled = self._on_settled
        self._guardian.on_expired = self._on_expired
        self._guardian.on_lost = self._on_guardian_lost
        self._ready = False
        self._status_said = ""
        self._stopping = False
        self._servers: list[LocalServer] = []
        self._timers: dict[str, asyncio.TimerHandle] = {}

    # -- life

    async def start(self) -> None:
        """Begin: sockets, guardian, election."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_exception)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)
        self._log_start()
        self._publish()
        await self._serve()
        self._guardian.start()
        await self._driver.start()
        listening = self._driver.node.timing.listening / 1e9
        self._after("ready", listening, self._become_ready)
        self._beat_watchdog()
        # What exists now stays: the collector need not walk through it again and again.
        gc.freeze()

    def _log_start(self) -> None:
        node, settings = self._driver.node, self._settings
        group = f"quorum group of {', '.join(node.voters)}" if node.quorum else "open group"
        self._journal.info(
            "started",
            f"node {node.name} of service {settings.service} ({group}), "
            f"UDP port {self._driver.endpoint.port}",
            node=node.name,
            service=settings.service,
            port=self._driver.endpoint.port,
        )
        self._journal.warning(
            "unsigned", "datagrams are not signed: whoever is on this network can move roles"
        )
        if node.quorum and not node.votes:
            self._journal.warning(
                "not-a-voter", f"{node.name} is not among the voters: it follows and never leads"
            )

    async def _serve(self) -> None:
        runtime = self._directories.runtime
        self._servers = [
            await serve(os.path.join(runtime, "status.sock"), 0o666, None, self._answer),
            await serve(os.path.join(runtime, "control.sock"), 0o660, "ftl", self._control),
        ]

    async def close(self) -> None:
        """End in order: guardian, network, sockets, files."""
        for timer in self._timers.values():
            timer.cancel()
        for server in self._servers:
            await server.close()
        await self._guardian.finish()
        await self._driver.close()
        self._files.unlink_link()
        self._files.withdraw()
        self._journal.info("stopped", "stopped")
        self._journal.close()

    def _on_stop_signal(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._notify.stopping("handing over" if self._is_leader() else "leaving")
        self._driver.post(StopRequested())
        if not self._guardian.ready:
            self._after("leave", GUARDIAN_PATIENCE_SECONDS, self._leave_anyway)

    def on_stopped(self) -> None:
        """The election has said goodbye."""
        self.finished.set()

    def _is_leader(self) -> bool:
        return self._driver.view().role is Role.LEADER

    def _after(self, name: str, seconds: float, action: Callable[[], object]) -> None:
        """Call ``action`` once after a while, unless that is planned already."""
        if name not in self._timers:
            loop = asyncio.get_running_loop()

            def fire() -> None:
                self._timers.pop(name, None)
                action()

            self._timers[name] = loop.call_later(seconds, fire)

    def _cancel(self, *names: str) -> None:
        for name in names:
            if name in self._timers:
                self._timers.pop(name).cancel()

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A library's stray exception is logged; a defect of ours stops us, as a follower."""
        error = context.get("exception")
        text = str(context.get("message", ""))
        if not isinstance(error, BaseException):
            self._journal.warning("loop", text, limit=MINUTE)
            return
        if not isinstance(error, InvariantBroken) and not is_ours(error.__traceback__):
            self._journal.warning("library", f"{text}: {error!r}", limit=MINUTE)
            return
        self.abandon(text, error)

    def abandon(self, where: str, error: BaseException) -> NoReturn:
        """A defect of our own: end this process here and now, with a traceback.

        No goodbye: our state is in doubt. The guardian sees us die, removes the state files, ends
        the job, and sends the last will.
        """
        self._journal.error("defect", f"{where}: {error!r}; this agent stops")
        traceback.print_exception(error, file=sys.stderr)
        self._files.withdraw()
        os._exit(EXIT_DEFECT)

    # -- what the election says

    def on_role(self, change: ChangeRole) -> None:
        """Files, then the guardian: see the order at the top."""
        diary = self._diary
        before = diary.since_at
        diary.since_at, diary.since_ms = boottime(), wall_ms()
        diary.reason, diary.change = change.reason.value, change.change
        written = self._publish()
        facts = report.hook_facts(change, self._state())
        if change.role is Role.LEADER:
            if not written:
                self._driver.post(StepDownRequested(MINUTE))
            self.on_lease(change.deadline)
            if not self._guardian.ready:
                self._after("absent", GUARDIAN_PATIENCE_SECONDS, self._on_guardian_absent)
        event = "reelection" if change.role is Role.CANDIDATE else change.role.value
        if written or change.role is not Role.LEADER:
            self._guardian.tell(event, change.change, facts)
        self._log_role(change, diary.since_at - before)  # the hook need not wait for the log
        if change.role is Role.FOLLOWER:
            self._become_ready()

    def _log_role(self, change: ChangeRole, lasted: Span) -> None:
        leader = change.leader.name if change.leader else None
        self._journal.info(
            f"became-{change.role.value}",
            f"{change.role.value} of {self._settings.service}, term {change.term}: "
            f"{change.reason.value}",
            role=change.role.value,
            old_role=change.old_role.value,
            term=change.term,
            leader=leader,
            reason=change.reason.value,
            lasted_ms=lasted // MS,
        )
        self._tell_status()
        if change.role is Role.LEADER:
            self._become_ready()

    def on_lease(self, deadline: Instant) -> None:
        """The guardian ends the job at this instant unless it hears better."""
        self._guardian.extend(deadline)

    def on_token(self, token: int) -> None:
        """The state files carry the token."""
        self._publish_soon()

    def on_leader(self, leader: LeaderInfo) -> None:
        """Another leader, or the same under a new term; the role stays."""
        self._journal.info(
            "leader",
            f"following {leader.name}, term {leader.term}",
            leader=leader.name,
            term=leader.term,
        )
        self._publish_soon()
        self._become_ready()

    def on_will(self, datagrams: list[tuple[Address, bytes]]) -> None:
        """Deposit the last will."""
        self._guardian.deposit(datagrams)

    def on_members(self) -> None:
        """Somebody came or left."""
        self._publish_soon()

    def on_note(self, kind: str, text: str, fields: dict[str, object]) -> None:
        """A line for the log, at most once a minute for each kind of recurring ones."""
        limit = MINUTE if kind == "late" else 0
        self._journal.info(kind, text, limit=limit, **fields)

    def on_trouble(self, kind: str, text: str) -> None:
        """Something does not work: say so once, show it in status, run on_error."""
        if self._diary.problems.get(kind) == text:
            return
        self._diary.problems[kind] = text
        self._journal.warning(kind, text)
        facts = {**report.bounded(self._state()), "reason": text}
        leader = self._driver.view().leader
        facts |= {"old_role": facts["role"], "leader": leader.name if leader else ""}
        self._guardian.tell_error(self._diary.change, facts)

    def on_relief(self, kind: str) -> None:
        """That trouble is over."""
        if self._diary.problems.pop(kind, None) is not None:
            self._journal.info(kind, f"{kind} works again")

    # -- files and supervisor

    def _state(self) -> report.Facts:
        return report.state_facts(self._driver.view(), self._driver.node, self._diary, boottime())

    def _publish(self) -> bool:
        """Write the state files; return whether they say the truth."""
        try:
            self._files.publish(self._driver.view().role.value, self._state())
            refused = self._files.link()
        except StateError as error:
            self.on_trouble("state-files", str(error))
            self._after("republish", STATE_FILE_RETRY_SECONDS, self._publish_later)
            return False
        if refused is not None:
            self.on_trouble("role-file", refused)
        else:
            self.on_relief("role-file")
        self.on_relief("state-files")
        return True

    def _publish_soon(self) -> None:
        self._after("publish", STATE_FILE_PAUSE_SECONDS, self._publish_later)

    def _publish_later(self) -> None:
        if not self._publish() and self._is_leader():
            self._driver.post(StepDownRequested(MINUTE))
        self._tell_status()

    def _become_ready(self) -> None:
        if not self._ready:
            self._ready = True
            self._status_said = self._status_line()
            self._notify.ready(self._status_said)
            self._notify.watchdog_limit(watchdog_limit(self._driver.node.timing))

    def _tell_status(self) -> None:
        line = self._status_line()
        if line != self._status_said and not self._stopping:
            self._status_said = line
            self._notify.status(line)

    def _status_line(self) -> str:
        return report.status_line(self._driver.view(), self._driver.node, boottime())

    def _beat_watchdog(self) -> None:
        """From this loop, and only while the election is not late."""
        if not self._notify.enabled:
            return
        if self._driver.is_punctual():
            self._notify.watchdog()
        self._tell_status()  # who falls silent makes no event
        seconds = watchdog_limit(self._driver.node.timing) / 1e9
        self._after("watchdog", seconds / 4, self._beat_watchdog)

    def _on_reload_signal(self) -> str | None:
        """Read the configuration again; the role stays. Return its faults, or None."""
        if self._ready:
            self._notify.reloading()
        faults = None
        try:
            new = load(self._settings.path, self._settings.instance)
        except ConfigError as error:
            faults = f"configuration not reloaded, the old one stays:\n{error}"
            self._journal.error("reload", faults)
        else:
            self._reload(new)
        if self._ready:
            self._notify.ready(self._status_line())
        return faults

    def _reload(self, new: Settings) -> None:
        fixed = changed(self._settings, new, reload=False)
        self._guardian.reload()
        if fixed:
            text = f"{', '.join(fixed)}: changed, but applied only by a restart"
            self._journal.warning("reload", text)
        self._journal.info("reload", "hooks read again")

    # -- the guardian

    def _new_link(
        self, on_message: Callable[[report.Facts], None], on_lost: Callable[[str], None]
    ) -> GuardianLink:
        return GuardianLink(
            config=self._settings.path,
            instance=self._settings.instance,
            runtime_dir=self._directories.runtime,
            on_message=on_message,
            on_lost=on_lost,
        )

    def _on_guardian_ready(self, owed: bool) -> None:
        """Whatever an earlier guardian owed has ended; ``owed``: an on_follower is yet to run."""
        self._cancel("absent", "leave")
        self.on_relief("guardian")
        if not owed and not self._is_leader():
            self._driver.post(Settled(self._diary.change))
        # A guardian that saw us late or was told to end took the state files away.
        self._publish_later()

    def _on_guardian_lost(self, reason: str) -> None:
        self.on_trouble("guardian", f"{reason}; starting another")
        if self._stopping:
            self._after("leave", GUARDIAN_PATIENCE_SECONDS, self._leave_anyway)
        else:
            self._after("absent", GUARDIAN_PATIENCE_SECONDS, self._on_guardian_absent)

    def _on_guardian_absent(self) -> None:
        """Without a guardian nothing runs here: let another node lead."""
        if self._is_leader():
            self._journal.error("guardian", "no guardian: stepping down, not claiming for a minute")
            self._driver.post(StepDownRequested(MINUTE))

    def _leave_anyway(self) -> None:
        """Nobody is left to run on_follower: end the job, and leave without a goodbye."""
        self._journal.error("guardian", "no guardian: ending the job, leaving without handover")
        left = Orphans(self._settings.instance, self._directories.runtime)
        self._guardian.end_orphans(left, self.finished.set)

    def _on_expired(self) -> None:
        """Nothing runs here any more: who leads on would lead without a job."""
        if self._is_leader():
            self._driver.post(StepDownRequested(0))
        self._publish_later()  # the guardian took the state files away

    def _on_settled(self, event: str, change: int, ok: bool) -> None:
        if event == Role.FOLLOWER.value:
            self._driver.post(Settled(change))
        elif event != Role.LEADER.value or not self._is_leader():
            pass  # nobody waits for it; a lost leader's on_leader has neither worked nor failed
        elif ok:
            self._failures.forget()
        else:
            sit_out = self._failures.next_pause()
            seconds = sit_out // NANOSECONDS
            text = f"on_leader failed: stepping down, and not claiming for {seconds} s"
            self._journal.error("hook-failed", text)
            self._driver.post(StepDownRequested(sit_out))

    # -- the local sockets

    async def _answer(self, request: dict[str, object]) -> dict[str, object]:
        command = request.get("command")
        if command == "role":
            return {"role": self._driver.view().role.value}
        if command == "status":
            return self._status()
        return {"error": f"unknown command {command!r}: status, role"}

    def _status(self) -> dict[str, object]:
        from followtheleader import __version__

        driver = self._driver
        facts = report.status_facts(driver.view(), driver.node, self._diary, boottime())
        facts["last_hook"] = self._guardian.last_hook
        return facts | {
            "port": driver.endpoint.port,
            "interfaces": [f"{i.name} {i.address}" for i in usable(self._settings.interfaces)],
            "counters": dict(driver.counters),
            "pid": os.getpid(),
            "version": __version__,
        }

    async def _control(self, request: dict[str, object]) -> dict[str, object]:
        command = request.get("command")
        if command == "step-down":
            if not self._is_leader():
                return {"done": False, "error": "this node does not lead"}
            self._driver.post(StepDownRequested(0))
            return {"done": True}
        if command == "reload":
            faults = self._on_reload_signal()
            return {"done": True} if faults is None else {"done": False, "error": faults}
        return {"error": f"unknown command {command!r}: step-down, reload"}
