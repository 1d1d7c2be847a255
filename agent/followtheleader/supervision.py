"""The agent's side of the guardian's life: start it, tell it, start it again when it is lost.

Promise: a new guardian is told where we stand, after it has made good what the lost one owed, and
nothing that has run to its end is run once more. The agent hears of hooks by log lines and of
settled changes by ``on_settled(event, change, ok)``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress

from followtheleader.core.types import Address, Instant, Span
from followtheleader.guardian.link import GuardianLink
from followtheleader.host.clock import wall_ms
from followtheleader.host.journal import Journal

Facts = dict[str, object]

RESPAWN_FIRST_SECONDS = 0.02
RESPAWN_LAST_SECONDS = 5.0
UNREADY_PATIENCE_SECONDS = 5.0
REFUSED = 78
"""The exit status of a guardian that cannot run hooks; it has ended an earlier one's job first."""


class Supervision:
    """One guardian at a time, and the newest word for it."""

    def __init__(
        self,
        new_link: Callable[[Callable[[Facts], None], Callable[[str], None]], GuardianLink],
        journal: Journal,
        stop_timeout: Span,
    ) -> None:
        self._new_link = new_link
        self._journal = journal
        self._stop_timeout = stop_timeout
        self._link = new_link(self._on_message, self._on_lost)
        self._pause = RESPAWN_FIRST_SECONDS
        self._respawn: asyncio.TimerHandle | None = None
        self._former: list[GuardianLink] = []
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
        self.on_lost: Callable[[str], None] = _ignore

    def start(self) -> None:
        """Start the guardian, in the running loop."""
        try:
            self._link.start()
        except OSError as error:
            self._on_lost(f"the guardian cannot be started: {error}")
        else:
            self._link.attach(asyncio.get_running_loop())

    async def finish(self) -> None:
        """Say goodbye, and wait until the hooks that run have ended."""
        self._closing = True
        if self._respawn is not None:
            self._respawn.cancel()
        self._link.send_bye()
        self._link.close()
        if self._link.pid and self._link.poll() is None:
            # One that was never ready may itself wait for an earlier one that hangs.
            with suppress(TimeoutError):
                async with asyncio.timeout(None if self.ready else UNREADY_PATIENCE_SECONDS):
                    await _wait_for_end(self._link.pid)
        self._link.poll()
        self._collect()

    def reload(self) -> None:
        """Have the hooks read again."""
        self._link.reload()

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
        if self.ready:
            self._link.send_lease(deadline, self._stop_timeout)

    def deposit(self, datagrams: list[tuple[Address, bytes]]) -> None:
        """Replace the last will."""
        self._will = datagrams
        if self.ready:
            self._link.send_will(datagrams)

    # -- what it says

    def _on_lost(self, reason: str) -> None:
        worked, self.ready = self.ready, False
        if self._closing:
            return
        self._end = "" if worked else reason
        if worked:
            self.on_lost(reason)
        loop = asyncio.get_running_loop()
        self._respawn = loop.call_later(self._pause, self._start_another)
        self._pause = min(2 * self._pause, RESPAWN_LAST_SECONDS)

    def _start_another(self) -> None:
        self._former.append(self._link)
        status = self._link.poll()
        self._collect()
        if status == REFUSED:
            self._on_refused()
        elif self._end:
            code = "" if status is None else f" (exit status {status})"
            self.on_lost(f"{self._end}{code} before it was ready: the log may say why")
        self._link = self._new_link(self._on_message, self._on_lost)
        self.start()

    def _on_refused(self) -> None:
        self._job_possible = False
        self.on_lost(
            f"the guardian refuses to work (exit status {REFUSED}): the log says why; until that "
            "is cured no hook runs here"
        )
        if self._event is not None and self._event[0] == "follower" and not self._done:
            self._settle(*self._event[:2], ok=False)

    def _collect(self) -> None:
        self._former = [link for link in self._former if link.poll() is None]

    def _on_message(self, message: Facts) -> None:
        kind = message.get("m")
        if kind == "ready":
            self._on_ready(replayed=message.get("replayed") is True)
        elif kind == "settled":
            change = message.get("change")
            if isinstance(change, int):
                self._settle(str(message.get("event")), change, ok=message.get("ok") is True)
        elif kind == "expired":
            text = "the guardian ended the job: the lease ran out, or it was told to end"
            self._journal.warning("lease-ended", text)
        elif kind in ("started", "output", "ended"):
            self._log_hook(str(kind), message)

    def _on_ready(self, *, replayed: bool) -> None:
        self.ready = True
        self._pause = RESPAWN_FIRST_SECONDS
        ours, self._job_possible = replayed and self._job_possible, False
        newest = self._event
        event = newest[0] if newest else None
        self._done = event != "leader" and (self._done or ours)
        self.on_ready(event == "follower" and not self._done)
        if self._event is newest and not self._done:  # a newer one has been told already
            if self._deadline is not None:
                self._link.send_lease(self._deadline, self._stop_timeout)
            self._send_event()
        self._link.send_will(self._will)

    def _send_event(self) -> None:
        if self._event is not None:
            self._job_possible = self._job_possible or self._event[0] == "leader"
            self._link.send_event(*self._event)

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
