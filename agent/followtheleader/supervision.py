"""The agent's side of the guardian's life: start it, tell it, start it again when it is lost.

Promise: a new guardian is told where we stand, after it has made good what the lost one owed. The
agent hears of hooks by log lines and of settled changes by ``on_settled(event, change, ok)``.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from followtheleader.core.types import Address, Instant, Span
from followtheleader.guardian.link import GuardianLink
from followtheleader.host.clock import wall_ms
from followtheleader.host.journal import Journal

Facts = dict[str, object]

RESPAWN_FIRST_SECONDS = 0.02
RESPAWN_LAST_SECONDS = 5.0


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
        self._closing = False
        self._event: tuple[str, int, Facts] | None = None
        self._deadline: Instant | None = None
        self._will: list[tuple[Address, bytes]] = []
        self.ready = False
        """Is a guardian there, and everything owed before it made good?"""
        self.last_hook: Facts | None = None
        self.on_ready: Callable[[str | None], None] = _ignore
        """Called with the newest event that was told (None: none yet)."""
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
            await _wait_for_end(self._link.pid)
            self._link.poll()

    def reload(self) -> None:
        """Have the hooks read again."""
        self._link.reload()

    def tell(self, event: str, change: int, facts: Facts) -> None:
        """A role changed."""
        self._event = (event, change, facts)
        if event != "leader":
            self._deadline = None
        if self.ready:
            self._link.send_event(event, change, facts)

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
        self.ready = False
        if self._closing:
            return
        self.on_lost(reason)
        loop = asyncio.get_running_loop()
        self._respawn = loop.call_later(self._pause, self._start_another)
        self._pause = min(2 * self._pause, RESPAWN_LAST_SECONDS)

    def _start_another(self) -> None:
        self._link.poll()
        self._link = self._new_link(self._on_message, self._on_lost)
        self.start()

    def _on_message(self, message: Facts) -> None:
        kind = message.get("m")
        if kind == "ready":
            self._on_ready()
        elif kind == "settled":
            change = message.get("change")
            if isinstance(change, int):
                self.on_settled(str(message.get("event")), change, bool(message.get("ok")))
        elif kind == "expired":
            text = "the guardian ended the job: the lease ran out while the agent was away"
            self._journal.warning("lease-ended", text)
        elif kind in ("started", "output", "ended"):
            self._log_hook(str(kind), message)

    def _on_ready(self) -> None:
        self.ready = True
        self._pause = RESPAWN_FIRST_SECONDS
        self.on_ready(self._event[0] if self._event else None)
        if self._event is not None:
            if self._deadline is not None:
                self._link.send_lease(self._deadline, self._stop_timeout)
            self._link.send_event(*self._event)
            self._link.send_will(self._will)

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
