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

from followtheleader import chronicle, report
from followtheleader.answers import Answers
from followtheleader.config import load
from followtheleader.config.durations import MINUTE
from followtheleader.config.keyfile import expanded
from followtheleader.config.reload import Changes, at_rest
from followtheleader.config.settings import Settings
from followtheleader.core.actions import ChangeRole, PauseChanged
from followtheleader.core.events import Settled, StepDownRequested, StopRequested
from followtheleader.core.types import NANOSECONDS, Address, Instant, LeaderInfo, Role
from followtheleader.defects import is_ours
from followtheleader.driver import Driver
from followtheleader.errors import ConfigError, InvariantBroken
from followtheleader.guardian.link import GuardianLink, Link, UnitLink
from followtheleader.guardian.orphans import Orphans
from followtheleader.host.clock import boottime, wall_ms
from followtheleader.host.directories import Directories
from followtheleader.host.instance import InstanceLock
from followtheleader.host.journal import Journal
from followtheleader.meaning import own_address, profile_of, role_link
from followtheleader.presence import LOOK_SECONDS, Presence
from followtheleader.service_manager import ServiceManager
from followtheleader.supervision import HookFailures, Supervision
from followtheleader.timers import Timers
from followtheleader.troubles import Troubles

EXIT_DEFECT = 70
GUARDIAN_SOCKET = "FTL_GUARDIAN"
"""In the environment: where the guardian's own unit listens; unset: it is a child of the agent."""
STATE_FILE_PAUSE_SECONDS = 0.2
STATE_FILE_RETRY_SECONDS = 2.0
GUARDIAN_PATIENCE_SECONDS = 5.0
KEYS = {"key_file", "key_mode"}
ERRORS = frozenset({"other-leader"})
"""Notes of what an operator must cure at once."""
ALARM_AGAIN = 10 * MINUTE
"""So often at most they run on_error, however many there are: anybody may cause them."""
LASTING = {
    "identity": 150.0,
    "identity-doubled": 150.0,
    "identity-taken": 150.0,
    "name-taken": 30.0,
}
"""Notes that are shown in ``status`` until what they tell of is over; when to look, in seconds."""
DOUBLES = frozenset({"identity-doubled", "name-taken"})
"""What tells of a voter that is there twice lasts until one of the two is known to be gone."""


def run(settings: Settings, directories: Directories) -> int:
    """Run the agent until it is told to stop; return its exit code.

    This process is its own: it may become the reaper of what descends from it, see `Supervision`.
    Raises `StateError`, `InstanceRunning` or `AddressError` if it cannot begin.
    """
    lock = InstanceLock.acquire(directories.runtime, directories.state)
    try:
        return asyncio.run(_main(settings, directories, lock))
    finally:
        lock.release()


async def _main(settings: Settings, directories: Directories, lock: InstanceLock) -> int:
    agent = Agent(settings, directories, lock)
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

    def __init__(self, settings: Settings, directories: Directories, lock: InstanceLock) -> None:
        self._settings = settings
        self._directories = directories
        self.finished = asyncio.Event()
        self._journal = Journal.open(settings.instance)
        self._timers = Timers()
        self._notes = chronicle.Notes(self._journal)
        self._troubles = Troubles(self._journal, self._timers)
        self._presence = Presence(
            directories.runtime,
            role_link(settings),
            lock,
            self._journal,
            self._role_and_state,
            self.on_trouble,
            self._troubles.end,
        )
        self._driver = Driver(profile_of(settings, directories), self, job_running=True)
        self._diary = report.Diary(
            instance=settings.instance,
            service=settings.service,
            started_ms=wall_ms(),
            own_address=own_address(settings),
            since_ms=wall_ms(),
            since_at=boottime(),
            problems=self._troubles.present,
        )
        self._failures = HookFailures()
        self._hooks_changed: list[str] = []
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
        self._guardian.on_reloaded = self._on_reloaded
        self._answers = Answers(
            self._driver, self._diary, self._guardian, settings.interfaces, self._reload_asked
        )
        self._manager = ServiceManager(self._driver, self._timers)
        self._stopping = False
        self._linkless = False
        self._alarm_at: Instant = 0
        self._reloading: asyncio.Task[report.Facts] | None = None

    # -- life

    async def start(self) -> None:
        """Begin: sockets, guardian, election."""
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(self._on_exception)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)
        port = self._driver.endpoint.port
        ring = self._driver.signing.ring
        chronicle.tell_start(self._journal, self._settings.service, self._driver.node, port, ring)
        self._move_link()
        self._publish()
        await self._presence.serve(self._answers.answer, self._answers.control)
        self._guardian.start()
        await self._driver.start()
        self._manager.begin()
        self._timers.after("look", LOOK_SECONDS, self._look)
        # What exists now stays: the collector need not walk through it again and again.
        gc.freeze()

    async def close(self) -> None:
        """End in order: guardian, network, sockets, files."""
        self._timers.cancel_all()
        await self._presence.close()
        await self._guardian.finish()
        await self._driver.close()
        self._presence.unlink_link()
        self._presence.withdraw()
        self._journal.info("stopped", "stopped")
        self._journal.close()

    def _on_stop_signal(self) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._manager.stopping()
        self._driver.post(StopRequested())
        if not self._guardian.ready:
            self._timers.after("leave", GUARDIAN_PATIENCE_SECONDS, self._leave_anyway)

    def on_stopped(self) -> None:
        """The election has said goodbye."""
        self.finished.set()

    def _is_leader(self) -> bool:
        return self._driver.view().role is Role.LEADER

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
        self._presence.withdraw()
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
                self._leave_unseen()
            self.on_lease(change.deadline)
            if not self._guardian.ready:
                self._timers.after("absent", GUARDIAN_PATIENCE_SECONDS, self._on_guardian_absent)
        event = "reelection" if change.role is Role.CANDIDATE else change.role.value
        if written or change.role is not Role.LEADER:
            self._guardian.tell(event, change.change, facts)
        # The hook need not wait for the log.
        lasted = diary.since_at - before
        chronicle.tell_role(self._journal, self._settings.service, change, lasted)
        self._manager.tell_status()
        if change.role is not Role.CANDIDATE:
            self._manager.become_ready()

    def on_lease(self, deadline: Instant) -> None:
        """The guardian ends the job at this instant unless it hears better."""
        self._guardian.extend(deadline)

    def on_token(self, token: int) -> None:
        """The state files carry the token."""
        self._publish_soon()

    def on_leader(self, leader: LeaderInfo) -> None:
        """Another leader, or the same under a new term; the role stays."""
        self._notes.tell_leader(leader)
        self._publish_soon()
        self._manager.become_ready()

    def on_will(self, datagrams: list[tuple[Address, bytes]]) -> None:
        """Deposit the last will."""
        self._guardian.deposit(datagrams)

    def on_members(self) -> None:
        """Somebody came or left."""
        self._publish_soon()

    def on_pause(self, change: PauseChanged) -> None:
        """The roles stay as they are, or may change again."""
        self._notes.tell_pause(change, self._driver.view(), self._driver.node)
        self._publish_soon()

    def on_interfaces(self) -> None:
        """We may be found at another address."""
        self._diary.own_address = own_address(self._settings)
        self._publish_soon()

    def on_note(self, kind: str, text: str, fields: dict[str, object]) -> None:
        """A line for the log; some are shown in ``status`` as well."""
        if kind in ERRORS:
            self._notes.tell(kind, text, fields, self._journal.error)
            if self._guardian.ready and boottime() >= self._alarm_at:
                self._alarm_at = boottime() + ALARM_AGAIN
                self._run_on_error(text)
            return
        if kind in LASTING:
            self.on_trouble(kind, text)
            self._timers.cancel(kind)
            self._timers.after(kind, LASTING[kind], lambda: self._see_if_over(kind))
            return
        self._notes.tell(kind, text, fields)

    def _see_if_over(self, kind: str) -> None:
        """Whoever shares an identity is noted again; whoever shares a name is seen."""
        view = self._driver.view()
        lasts = kind in DOUBLES and report.is_voter_doubled(view)
        if kind == "name-taken":
            lasts = lasts or report.is_name_shared(view, self._driver.node, boottime())
        if lasts:
            self._timers.after(kind, LASTING[kind], lambda: self._see_if_over(kind))
        else:
            self.on_relief(kind)

    def on_trouble(self, kind: str, text: str) -> None:
        """Something does not work: say so once, show it in status, run on_error."""
        if self._troubles.begin(kind, text):
            self._run_on_error(text)

    def _run_on_error(self, text: str) -> None:
        facts = {**report.bounded(self._state()), "reason": text}
        leader = self._driver.view().leader
        facts |= {"old_role": facts["role"], "leader": leader.name if leader else ""}
        self._guardian.tell_error(self._diary.change, facts)

    def on_relief(self, kind: str) -> None:
        """That trouble is over."""
        self._troubles.end(kind)

    # -- files

    def _state(self) -> report.Facts:
        return report.state_facts(self._driver.view(), self._driver.node, self._diary, boottime())

    def _role_and_state(self) -> tuple[Role, report.Facts]:
        return self._driver.view().role, report.lasting(self._state())

    def _publish(self) -> bool:
        """Write the state files; return whether they say the truth."""
        return self._see_to(self._presence.publish())

    def _see_to(self, written: bool) -> bool:
        if not written:
            self._timers.after("republish", STATE_FILE_RETRY_SECONDS, self._publish_later)
        return written

    def _look(self) -> None:
        """Files and sockets that somebody has removed are put back."""
        self._move_link()
        found, written = self._presence.look()
        if found:
            self._guardian.wake()  # its own directory may be gone as well
            self._after_publishing(self._see_to(written))
        self._timers.after("look", LOOK_SECONDS, self._look)

    def _publish_soon(self) -> None:
        self._timers.after("publish", STATE_FILE_PAUSE_SECONDS, self._publish_later)

    def _publish_later(self) -> None:
        self._after_publishing(self._publish())
        self._manager.tell_status()

    def _after_publishing(self, written: bool) -> None:
        """Nobody leads whose host cannot be told so."""
        if not written and self._is_leader():
            self._leave_unseen()

    def _leave_unseen(self) -> None:
        text = "state files cannot be written: stepping down, not claiming for a minute"
        self._journal.error("state-files", text, limit=MINUTE)
        self._driver.post(StepDownRequested(MINUTE))

    def _move_link(self) -> None:
        """Without a change as well: this may have become the only instance, or one of several."""
        link = role_link(self._settings)
        if link is None and not self._linkless:
            chronicle.tell_no_link(self._journal, self._settings.role_file)
        self._linkless = link is None
        self._presence.move_link(link)

    # -- reload

    def _on_reload_signal(self) -> None:
        self._begin_reload()

    async def _reload_asked(self) -> report.Facts:
        """A client that leaves does not leave a reload half done."""
        return await asyncio.shield(self._begin_reload())

    def _begin_reload(self) -> asyncio.Task[report.Facts]:
        """One that still waits for the file serves whoever asks meanwhile, too."""
        if self._reloading is None:
            self._reloading = asyncio.get_running_loop().create_task(self._reload())
        return self._reloading

    async def _reload(self) -> report.Facts:
        """Read the configuration again; the role stays. Return what the control socket answers."""
        self._manager.reloading()
        await at_rest(*_files_of(self._settings))
        self._reloading = None  # from here on another signal may mean what we do not see any more
        try:
            new = load(self._settings.path, self._settings.instance)
        except ConfigError as error:
            faults = f"configuration not reloaded, the old one stays:\n{error}"
            self.on_trouble("reload", faults)
            answer: report.Facts = {"done": False, "error": faults}
        else:
            self.on_relief("reload")
            changes = Changes.between(self._settings, new)
            self._apply(changes)
            answer = {"done": True, **changes.facts}
        self._manager.reloaded()
        return answer

    def _apply(self, changes: Changes) -> None:
        self._settings = changes.settings
        chronicle.tell_reload(self._journal, changes)
        me = self._driver.node.owner.id
        self._driver.change(profile_of(changes.settings, self._directories, me))
        if KEYS & set(changes.applied):
            chronicle.tell_keys(self._journal, self._driver.signing.ring)
        self._move_link()
        self._publish_later()
        self._hooks_changed += [key for key in changes.hooks if key not in self._hooks_changed]
        if not self._guardian.reload():
            self._journal.info("reload", "no guardian runs: the next one will read the hooks")

    def _on_reloaded(self, ok: bool) -> None:
        if ok:
            which = f": {', '.join(self._hooks_changed)}" if self._hooks_changed else ""
            self._hooks_changed.clear()
            self._journal.info("reload", f"hooks read again{which}")
        else:
            self._journal.error("reload", "hooks not read again: the guardian's line says why")

    # -- the guardian

    def _new_link(
        self, on_message: Callable[[report.Facts], None], on_lost: Callable[[str], None]
    ) -> Link:
        if path := os.environ.get(GUARDIAN_SOCKET):
            return UnitLink(path, on_message, on_lost)
        return GuardianLink(
            config=self._settings.path,
            instance=self._settings.instance,
            runtime_dir=self._directories.runtime,
            on_message=on_message,
            on_lost=on_lost,
        )

    def _on_guardian_ready(self, owed: bool) -> None:
        """Whatever an earlier guardian owed has ended; ``owed``: an on_follower is yet to run."""
        self._timers.cancel("absent", "leave")
        self.on_relief("guardian")
        if not owed and not self._is_leader():
            self._driver.post(Settled(self._diary.change))
        # A guardian that saw us late or was told to end took the state files away.
        self._publish_later()

    def _on_guardian_lost(self, reason: str) -> None:
        self.on_trouble("guardian", f"{reason}; starting another")
        if self._stopping:
            self._timers.after("leave", GUARDIAN_PATIENCE_SECONDS, self._leave_anyway)
        else:
            self._timers.after("absent", GUARDIAN_PATIENCE_SECONDS, self._on_guardian_absent)

    def _on_guardian_absent(self) -> None:
        """Without a guardian nothing runs here: let another node lead, now and next time."""
        sit_out = 2 * GUARDIAN_PATIENCE_SECONDS * NANOSECONDS
        if self._is_leader():
            self._journal.error("guardian", "no guardian: stepping down, not claiming for a minute")
            sit_out = MINUTE
        self._driver.post(StepDownRequested(int(sit_out)))
        self._timers.after("absent", GUARDIAN_PATIENCE_SECONDS, self._on_guardian_absent)

    def _leave_anyway(self) -> None:
        """Nobody is left to run on_follower: end the job, and leave without a goodbye."""
        self._journal.error("guardian", "no guardian: ending the job, leaving without handover")
        place = os.path.realpath(self._directories.runtime)
        left = Orphans(self._settings.instance, place)
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
            sit_out = self._failures.next_sit_out()
            seconds = sit_out // NANOSECONDS
            text = f"on_leader failed: stepping down, and not claiming for {seconds} s"
            self._journal.error("hook-failed", text)
            self._driver.post(StepDownRequested(sit_out))


def _files_of(settings: Settings) -> list[str]:
    """What a reload reads: nobody may be in the middle of writing it."""
    keys = expanded(settings.key_file) if settings.key_file else None
    return [settings.path, keys] if keys else [settings.path]
