"""The members on disk: written a moment after they have changed.

Promise: a disk that stalls delays nobody. A thread of its own does the writing, and what changes
while it writes is written next; who leaves waits a moment for it, and then goes without. A disk or
a machine that has no room for it is a trouble, ``members-file``.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress

from followtheleader.core.view import MemberView
from followtheleader.errors import StateError
from followtheleader.host import members
from followtheleader.host.clock import boottime, wall_ms
from followtheleader.host.members import Remembered, RememberedMember
from followtheleader.observer import Observer

AFTER_SECONDS = 1.0
LEAVE_WITHIN_SECONDS = 1.0
REMEMBERED_MS = 30 * 24 * 3_600_000
"""Who was heard longer ago by the wall clock is not waited for at a start: a site may lie dark for
weeks, but a host that is gone for good must not cost `start_patience` for ever."""
RETRY_SECONDS = 10.0
"""After a write that failed: the disk may be well again, and the members as they were."""


class Remembering:
    """``last``: what an earlier run knew. ``present()``: the members now. ``directory`` None:
    nothing is remembered."""

    def __init__(
        self,
        directory: str | None,
        present: Callable[[], Iterable[MemberView]],
        observer: Observer,
    ) -> None:
        self._directory = directory
        self._present = present
        self._observer = observer
        self._port: int | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._writer: threading.Thread | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self._again = False
        self.last = members.load(directory) if directory is not None else Remembered()

    def begin(self, port: int) -> None:
        """In the running loop: we listen on ``port``, which is worth remembering as well."""
        self._loop, self._port = asyncio.get_running_loop(), port
        self._save()

    def soon(self) -> None:
        """The members have changed."""
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(AFTER_SECONDS, self._save)

    async def close(self) -> None:
        """Write what is not written yet; what takes too long is not heard of any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._save()
        with suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN_SECONDS):
                await self._idle.wait()
        self._loop = None

    def _save(self) -> None:
        self._timer = None
        if self._directory is None:
            return
        if self._writer is not None:
            self._again = True
            return
        known = list(self._known().values())
        # A daemon: one that a dead disk holds for ever must not keep the process from ending.
        writer = threading.Thread(
            target=self._write, args=(self._directory, known), name="members", daemon=True
        )
        try:
            writer.start()
        except RuntimeError as error:
            self._observer.on_trouble(
                "members-file",
                f"{self._directory}: members are not remembered: {error}; "
                "raise `TasksMax=` of the unit, or the limits of this user (ulimit -u, -v)",
            )
            self._retry()
            return
        self._writer = writer
        self._idle.clear()

    def _retry(self) -> None:
        if self._timer is None and self._loop is not None:
            self._timer = self._loop.call_later(RETRY_SECONDS, self._save)

    def _known(self) -> dict[int, RememberedMember]:
        now, wall = boottime(), wall_ms()
        known = {m.id: m for m in self.last.members if wall - m.heard_ms <= REMEMBERED_MS}
        for member in self._present():
            before = known.get(member.id)
            if member.heard_at is not None:
                heard = wall - (now - member.heard_at) // 1_000_000
            else:  # it said goodbye
                heard = before.heard_ms if before is not None else wall
            known[member.id] = RememberedMember(member.id, member.name, member.address, heard)
        return known

    def _write(self, directory: str, known: list[RememberedMember]) -> None:
        fault = None
        try:
            members.store(directory, self._port, known)
        except StateError as error:
            fault = str(error)
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # closed in between: nobody waits for it any more
                loop.call_soon_threadsafe(self._written, fault)

    def _written(self, fault: str | None) -> None:
        if self._loop is None:
            return
        self._writer = None
        if fault is not None:
            self._observer.on_trouble("members-file", fault)
            self._retry()
        else:
            self._observer.on_relief("members-file")
        if self._again:
            self._again = False
            self._save()
        if self._writer is None:
            self._idle.set()
