"""The agent's side of the guardian's life: start it, tell it, start it again when it is lost.

Promise: a new guardian is told where we stand, after it has made good what the lost one owed, and
nothing that has run to its end is run once more. What a guardian leaves that was our child comes
to us (`guardian.estate`): the next one begins only when nothing of the job in it is left. The agent
hears of hooks by log lines, of settled changes by ``on_settled(event, change, ok)``, of a job that
was ended without its word by ``on_expired()``.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import suppress

from followtheleader.core.types import MS, NANOSECONDS, Address, Instant, Span
from followtheleader.guardian.estate import Estate
from followtheleader.guardian.job import Ending, Remains
from followtheleader.guardian.lease import Lease
from followtheleader.guardian.link import REFUSED, GuardianLink, Link, UnitLink
from followtheleader.guardian.orphans import Orphans
from followtheleader.guardian.proc import Blind, Process
from followtheleader.guardian.voice import OF_ITS_OWN
from followtheleader.host.clock import boottime, wall_ms
from followtheleader.host.journal import Journal
from followtheleader.pulse import Pulse

Facts = dict[str, object]

RESPAWN_FIRST_SECONDS = 0.02
RESPAWN_LAST_SECONDS = 5.0
LASTING: Span = 30 * NANOSECONDS
"""A guardian that worked this long did not die of its hooks: the next one comes at once."""
UNREADY_PATIENCE_SECONDS = 5.0
ORPHANS_PATIENCE: Span = 5 * NANOSECONDS
"""How long to wait after SIGKILL for a job that we must end ourselves."""
ORPHANS_LOOK_SECONDS = 0.02
COMPANY_LOOK_SECONDS = 1.0


LONGEST_SIT_OUT: Span = 300 * NANOSECONDS


class HookFailures:
    """How long to sit out after an on_leader that failed: 1 s, doubled each time, up to 5 min."""

    def __init__(self) -> None:
        self._count = 0

    def forget(self) -> None:
        """It worked."""
        self._count = 0

    def next_sit_out(self) -> Span:
        """It failed once more."""
        span = min(NANOSECONDS << min(self._count, 20), LONGEST_SIT_OUT)
        self._count += 1
        return span


class Supervision:
    """One guardian at a time, and the newest word for it."""

    def __init__(
        self,
        new_link: Callable[[Callable[[Facts], None], Callable[[str], None]], Link],
        journal: Journal,
        *,
        stop_timeout: Span,
        quorum: bool,
    ) -> None:
        self._new_link = new_link
        self._journal = journal
        self._stop_timeout = stop_timeout
        self._quorum = quorum
        self._link = new_link(self._on_message, self._on_lost)
        self._pause = RESPAWN_FIRST_SECONDS
        self._pulse = Pulse(self._must_answer, self._ask, self._on_silence)
        self._ready_at: Instant = 0
        self._respawn: asyncio.TimerHandle | None = None
        self._respawn_at: Instant = 0
        self._estate = Estate()
        self._company: asyncio.TimerHandle | None = None
        self._end = ""  # how one ended that was never ready
        self._closing = False
        self._event: tuple[str, int, Facts] | None = None
        # Has everything ended that the newest event set off?
        self._done = True
        # May a job run here: was a leader event told, and no end of it heard?
        self._job_possible = False
        self._deadline: Instant | None = None
        self._will: list[tuple[Address, bytes]] = []
        self.ready = False
        """Is a guardian there, and everything owed before it made good?"""
        self.last_hook: Facts | None = None
        self.on_ready: Callable[[bool], None] = _ignore
        """Called with whether an on_follower is yet to run."""
        self.on_settled: Callable[[str, int, bool], None] = _ignore
        self.on_expired: Callable[[], None] = _ignore
        """Called when the guardian has ended the job of a tenure that may still go on."""
        self.on_lost: Callable[[str], None] = _ignore
        self.on_reloaded: Callable[[bool], None] = _ignore

    def start(self) -> None:
        """Start the guardian, in the running loop. If it is our child, so is what it leaves."""
        if isinstance(self._link, GuardianLink):
            with suppress(Blind):
                self._estate.open()
            asyncio.get_running_loop().add_signal_handler(signal.SIGCHLD, self._reap)
        self._start_link()

    def _start_link(self) -> None:
        try:
            self._link.start()
            if self._link.pid:
                self._estate.guard(self._link.pid)
        except (OSError, Blind) as error:
            self._link.close()
            self._on_lost(f"the guardian cannot be started: {error}")
        else:
            self._link.attach(asyncio.get_running_loop())
            # Before anything else: until when what a lost guardian has left may be asked politely.
            self._send_lease()
        self._watch_company()

    async def finish(self) -> None:
        """Say goodbye, and wait until the hooks that run have ended."""
        self._closing = True
        self._pulse.stop()
        for timer in (self._respawn, self._company):
            if timer is not None:
                timer.cancel()
        self._link.send_bye()
        self._link.close()
        if self._link.pid and self._link.poll() is None:
            # One that was never ready may itself wait for an earlier one that hangs.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.ready else UNREADY_PATIENCE_SECONDS):
                    await _wait_for_end(self._link.pid)
        self._link.poll()

    def reload(self) -> bool:
        """Have the hooks read again: ``on_reloaded(ok)`` follows. False if no guardian runs."""
        return self._link.reload()

    def wake(self) -> None:
        """Have the guardian look around: something was removed."""
        self._link.send_ping()

    def tell(self, event: str, change: int, facts: Facts) -> None:
        """A role changed."""
        led_untold = self._event is not None and self._event[0] == "leader"
        led_untold = led_untold and not self._job_possible
        self._event, self._done = (event, change, facts), False
        if event != "leader":
            self._deadline = None
        if self.ready:
            self._send_event()
        elif event == "follower" and led_untold:
            # No guardian ever heard of that leadership: nothing of it runs here.
            self._settle(event, change, ok=True)

    def tell_error(self, change: int, facts: Facts) -> None:
        """Run on_error; nobody waits for that."""
        if self.ready:
            self._link.send_event("error", change, facts)

    def extend(self, deadline: Instant) -> None:
        """The lease was renewed."""
        self._deadline = deadline
        self._send_lease()

    def deposit(self, datagrams: list[tuple[Address, bytes]]) -> None:
        """Replace the last will."""
        self._will = datagrams
        if self.ready:
            self._link.send_will(datagrams)

    def end_orphans(self, orphans: Orphans, then: Callable[[], None]) -> None:
        """No guardian can be had: end what the job has left ourselves, then call ``then``.

        Should a guardian come meanwhile it is its business again, and ``then`` is not called.
        """
        if isinstance(self._link, UnitLink):
            # Its unit is root's: systemd ends the job with it, and the leader target with us.
            then()
            return
        kill_at = self._lease().kill_at(boottime())
        ending = Ending(lambda: self._all_left(orphans), boottime())

        def look() -> None:
            now = boottime()
            if self.ready:
                return
            ended = ending.step(now, kill_at)
            if not ended and now < kill_at + ORPHANS_PATIENCE:
                asyncio.get_running_loop().call_later(ORPHANS_LOOK_SECONDS, look)
                return
            if ended:
                self._journal.warning("orphans", "no guardian: nothing of the job is left running")
            else:
                self._journal.error("orphans", "no guardian: the job does not end, and is left")
            then()

        look()

    # -- what it says

    def _on_lost(self, reason: str) -> None:
        worked, self.ready = self.ready, False
        if self._closing:
            return
        self._pulse.stop()
        # One that only lets go of us, or speaks nonsense, must not keep a job from us.
        self._link.kill()
        if worked and boottime() - self._ready_at > LASTING:
            self._pause = RESPAWN_FIRST_SECONDS
        self._end = "" if worked else reason
        if worked:
            self.on_lost(reason)
        now = boottime()
        self._respawn_at = now + int(self._pause * NANOSECONDS)
        self._pause = min(2 * self._pause, RESPAWN_LAST_SECONDS)
        self._end_what_is_left(Ending(self._estate.members, now))

    def _end_what_is_left(self, ending: Ending) -> None:
        """First the dead guardian's job, by the rule that it would have followed itself."""
        now, kill_at = boottime(), self._lease().kill_at(ending.began_at)
        # Only what has died leaves its children to us.
        gone = not self._link.pid or self._link.poll() is not None
        if gone and (not self._job_possible or ending.step(now, kill_at)):
            self._settle_estate()
            wait = max(0, self._respawn_at - now) / NANOSECONDS
            self._respawn = asyncio.get_running_loop().call_later(wait, self._start_another)
            return
        if ending.stubborn:
            self._journal.error("orphans", f"of the lost guardian's job: {ending.stubborn}")
        due = ending.next_at if gone else now + 5 * MS
        wait = min(max(MS, due - now) / NANOSECONDS, ORPHANS_LOOK_SECONDS)
        loop = asyncio.get_running_loop()
        self._respawn = loop.call_later(wait, self._end_what_is_left, ending)

    def _settle_estate(self) -> None:
        with suppress(Blind):  # then it is seen when it matters
            self._estate.settle()

    def _all_left(self, orphans: Orphans) -> list[Process]:
        come = self._estate.members()
        known = {one.key for one in come}
        marked = Remains((), orphans.has).members()
        return come + [one for one in marked if one.key not in known]

    def _lease(self) -> Lease:
        return Lease(self._deadline, self._stop_timeout, self._quorum)

    def _reap(self) -> None:
        with suppress(Blind):
            self._estate.reap()

    def _watch_company(self) -> None:
        if self._company is not None:
            self._company.cancel()
            self._company = None
        if self._estate.adopts and self._estate.has_company:
            with suppress(Blind):
                self._estate.watch()
            loop = asyncio.get_running_loop()
            self._company = loop.call_later(COMPANY_LOOK_SECONDS, self._watch_company)

    def _start_another(self) -> None:
        status = self._link.poll()
        if status == REFUSED:
            self._on_refused()
        elif self._end:
            code = "" if status is None else f" (exit status {status})"
            self.on_lost(f"{self._end}{code} before it was ready: the log may say why")
        self._link = self._new_link(self._on_message, self._on_lost)
        self._start_link()

    def _on_refused(self) -> None:
        self._job_possible = False
        self.on_lost(
            f"the guardian refuses to work (exit status {REFUSED}): the log says why; until that "
            "is cured no hook runs here"
        )
        if self._event is not None and self._event[0] == "follower" and not self._done:
            self._settle(*self._event[:2], ok=False)

    def _on_message(self, message: Facts) -> None:
        kind = message.get("m")
        if kind == "ready":
            self._on_ready(replayed=message.get("replayed") is True)
        elif kind == "settled":
            change = message.get("change")
            if isinstance(change, int):
                self._settle(str(message.get("event")), change, ok=message.get("ok") is True)
        elif kind == "reloaded":
            self.on_reloaded(not message.get("fault"))
        elif kind == "expired":
            text = "the guardian ended the job: the lease ran out for it, or it was told to end"
            self._journal.warning("lease-ended", text)
            self.on_expired()
        elif kind == "pong":
            self._pulse.answered()
        elif kind in ("started", "output", "ended"):
            self._log_hook(str(kind), message)

    def _must_answer(self) -> bool:
        """May a job run, or is a hook owed? Otherwise nobody need be woken for a guardian."""
        return self.ready and (self._job_possible or not self._done)

    def _ask(self) -> None:
        self._link.send_ping()

    def _on_silence(self) -> None:
        self._journal.error("guardian-hangs", "the guardian does not answer: replacing it")
        self._link.kill()

    def _on_ready(self, *, replayed: bool) -> None:
        self.ready = True
        self._ready_at = boottime()
        ours, self._job_possible = replayed and self._job_possible, False
        newest = self._event
        event = newest[0] if newest else None
        self._done = event != "leader" and (self._done or ours)
        self.on_ready(event == "follower" and not self._done)
        if self._event is newest and not self._done:  # a newer one has been told already
            self._send_event()
        self._link.send_will(self._will)

    def _send_lease(self) -> None:
        if self._deadline is not None:
            self._link.send_lease(self._deadline, self._stop_timeout, self._quorum)

    def _send_event(self) -> None:
        if self._event is not None:
            if self._event[0] == "leader" and not self._job_possible:
                self._job_possible = True
                self._estate.begin_job(boottime())
            self._link.send_event(*self._event)
            self._pulse.feel()

    def _settle(self, event: str, change: int, *, ok: bool) -> None:
        if event == "follower" and self._event is not None and self._event[0] != "leader":
            self._job_possible = False
        if self._event is not None and self._event[:2] == (event, change):
            self._done = True
        self.on_settled(event, change, ok)

    def _log_hook(self, kind: str, message: Facts) -> None:
        hook, event = str(message.get("hook", "")), str(message.get("event", ""))
        if kind == "output":
            line = str(message.get("line", ""))
            if hook == event == OF_ITS_OWN:
                self._journal.warning("guardian", line)
            else:
                self._journal.info("hook-output", line, hook=hook, event=event)
        elif kind == "started":
            self._journal.debug("hook-started", f"{event}: {hook}", hook=hook, event=event)
        else:
            self._log_end(hook, event, message)

    def _log_end(self, hook: str, event: str, message: Facts) -> None:
        rc, why, ms = message.get("rc"), str(message.get("why", "")), message.get("ms")
        self.last_hook = {
            "event": event,
            "hook": hook,
            "rc": rc,
            "ms": ms,
            "why": why,
            "at": wall_ms(),
        }
        fine = why == "lost" or (why == "exit" and rc == 0)
        log = self._journal.info if fine else self._journal.error
        kind = "hook-ended" if fine else "hook-failed"
        outcome = {"exit": f"exit status {rc}", "lost": "ended, the role was lost"}.get(why, why)
        detail = f": {message['error']}" if message.get("error") else ""
        text = f"{event}: {hook}: {outcome}{detail}"
        log(kind, text, hook=hook, event=event, hook_rc=rc, hook_ms=ms, reason=why)


async def _wait_for_end(pid: int) -> None:
    pidfd = os.pidfd_open(pid)
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(pidfd, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(pidfd)
        os.close(pidfd)


def _ignore(*_: object) -> None: ...
