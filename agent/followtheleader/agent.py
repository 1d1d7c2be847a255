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
from types import TracebackType

from followtheleader import report
from followtheleader.config import load
from followtheleader.config.reload import changed
from followtheleader.config.settings import Settings
from followtheleader.core.actions import ChangeRole
from followtheleader.core.events import Settled, StepDownRequested, StopRequested
from followtheleader.core.types import MS, NANOSECONDS, Address, Instant, LeaderInfo, Role, Span
from followtheleader.driver import Driver, Profile
from followtheleader.errors import ConfigError, InvariantBroken, StateError
from followtheleader.guardian.link import GuardianLink
from followtheleader.host.clock import boottime, wall_ms
from followtheleader.host.directories import Directories
from followtheleader.host.identity import node_id
from followtheleader.host.instance import InstanceLock
from followtheleader.host.journal import Journal
from followtheleader.host.notify import Notify
from followtheleader.host.sockets import LocalServer, serve
from followtheleader.host.statefiles import StateFiles
from followtheleader.net.interfaces import usable
from followtheleader.roles_here import HookFailures, role_link
from followtheleader.supervision import Supervision

EXIT_DEFECT = 70
STATE_FILE_PAUSE_SECONDS = 0.2
MINUTE: Span = 60 * NANOSECONDS
WATCHDOG_AT_LEAST: Span = 2 * NANOSECONDS


def run(settings: Settings, directories: Directories) -> int:
    """Run the agent until it is told to stop; return its exit code.

    Raises `StateError`, `InstanceRunning` or `AddressError` if it cannot begin.
    """
    lock = InstanceLock.acquire(directories.runtime)
    try:
        return asyncio.run(_main(settings, directories))
    finally:
        lock.release()


async def _main(settings: Settings, directories: Directories) -> int:
    agent = Agent(settings, directories)
    try:
        await agent.start()
        await agent.finished.wait()
    finally:
        await agent.close()
    return agent.exit_code


def profile_of(settings: Settings, directories: Directories) -> Profile:
    """Say in the driver's words what the configuration says."""
    return Profile(
        id=node_id(directories.state, settings.node, settings.service),
        service=settings.service,
        name=settings.node,
        priority=settings.priority,
        timing=settings.timing,
        voters=settings.voters,
        witness=settings.witness,
        host=settings.host,
        port=settings.port,
        interfaces=settings.interfaces,
        mdns="mdns" in settings.discovery,
        peers=tuple((p.host, p.port) for p in settings.peers)
        if "static" in settings.discovery
        else (),
        state_dir=directories.state,
    )


class Agent:
    """One running instance; an `Observer` of its driver."""

    def __init__(self, settings: Settings, directories: Directories) -> None:
        self._settings = settings
        self._directories = directories
        self.finished = asyncio.Event()
        self.exit_code = 0
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
            own_address=_own_address(settings),
            since_ms=wall_ms(),
            since_at=boottime(),
        )
        self._failures = HookFailures()
        self._guardian = Supervision(self._new_link, self._journal, settings.stop_timeout)
        self._guardian.on_ready = self._on_guardian_ready
        self._guardian.on_settled = self._on_settled
        self._guardian.on_lost = self._on_guardian_lost
        self._ready = False
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
        if self.exit_code == 0:
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

    def on_stopped(self) -> None:
        """The election has said goodbye."""
        self.finished.set()

    def _is_leader(self) -> bool:
        return self._driver.view().role is Role.LEADER

    def _after(self, name: str, seconds: float, action: object) -> None:
        """Call ``action`` once after a while, unless that is planned already."""
        if name not in self._timers and callable(action):
            loop = asyncio.get_running_loop()

            def fire() -> None:
                self._timers.pop(name, None)
                action()

            self._timers[name] = loop.call_later(seconds, fire)

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        """A library's stray exception is logged; a defect of ours stops us, as a follower."""
        error = context.get("exception")
        text = str(context.get("message", ""))
        if not isinstance(error, BaseException):
            self._journal.warning("loop", text, limit=MINUTE)
            return
        if not isinstance(error, InvariantBroken) and not _is_ours(error.__traceback__):
            self._journal.warning("library", f"{text}: {error!r}", limit=MINUTE)
            return
        self._journal.error("defect", f"{text}: {error!r}; this agent stops")
        traceback.print_exception(error, file=sys.stderr)
        # No goodbye: our state is in doubt. The guardian sees us die, ends the job, and sends the
        # last will.
        os._exit(EXIT_DEFECT)

    # -- what the election says

    def on_role(self, change: ChangeRole) -> None:
        """Files, then the guardian: see the order at the top."""
        diary = self._diary
        before = diary.since_at
        diary.since_at, diary.since_ms = boottime(), wall_ms()
        diary.reason, diary.change = change.reason.value, change.change
        written = self._publish()
        self._log_role(change, diary.since_at - before)
        facts = report.hook_facts(change, self._state())
        if change.role is Role.LEADER:
            if not written:
                self._driver.post(StepDownRequested(MINUTE))
            self.on_lease(change.deadline)
        event = "reelection" if change.role is Role.CANDIDATE else change.role.value
        if change.role is Role.LEADER and not written:
            return
        self._guardian.tell(event, change.change, facts)
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
        facts = {**self._state(), "reason": text}
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
            self._notify.ready(self._status_line())
            limit = max(3 * self._driver.node.timing.lock, WATCHDOG_AT_LEAST)
            self._notify.watchdog_limit(limit)

    def _tell_status(self) -> None:
        self._notify.status(self._status_line())

    def _status_line(self) -> str:
        return report.status_line(self._driver.view(), self._driver.node, boottime())

    def _beat_watchdog(self) -> None:
        """From this loop, and only while the election is not late."""
        if not self._notify.enabled:
            return
        if self._driver.is_punctual():
            self._notify.watchdog()
        limit = max(3 * self._driver.node.timing.lock, WATCHDOG_AT_LEAST)
        self._after("watchdog", limit / 4e9, self._beat_watchdog)

    def _on_reload_signal(self) -> None:
        """Read the configuration again; the role stays."""
        self._notify.reloading()
        try:
            new = load(self._settings.path, self._settings.instance)
        except ConfigError as error:
            self._journal.error(
                "reload", f"configuration not reloaded, the old one stays:\n{error}"
            )
        else:
            self._reload(new)
        self._notify.ready(self._status_line())

    def _reload(self, new: Settings) -> None:
        fixed = changed(self._settings, new, reload=False)
        self._guardian.reload()
        if fixed:
            names = ", ".join(fixed)
            self._journal.warning("reload", f"{names}: changed, but applied only by a restart")
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

    def _on_guardian_ready(self, told: str | None) -> None:
        """Whatever an earlier guardian owed has ended."""
        self.on_relief("guardian")
        if told != Role.LEADER.value:
            self._driver.post(Settled(self._diary.change))

    def _on_guardian_lost(self, reason: str) -> None:
        self.on_trouble("guardian", f"{reason}; starting another")

    def _on_settled(self, event: str, change: int, ok: bool) -> None:
        if event == Role.FOLLOWER.value:
            self._driver.post(Settled(change))
        elif event == Role.LEADER.value and ok:
            self._failures.forget()
        elif event == Role.LEADER.value and self._is_leader():
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
            self._on_reload_signal()
            return {"done": True}
        return {"error": f"unknown command {command!r}: step-down, reload"}


def _own_address(settings: Settings) -> str:
    if settings.host != "0.0.0.0":
        return settings.host
    return next((interface.address for interface in usable(settings.interfaces)), "")


def _is_ours(trace: TracebackType | None) -> bool:
    """Did the innermost frames of ours belong to the election or its shell?"""
    ours = ("followtheleader/core/", "followtheleader/driver.py", "followtheleader/agent.py")
    while trace is not None:
        if any(part in trace.tb_frame.f_code.co_filename for part in ours):
            return True
        trace = trace.tb_next
    return False
