"""What the hooks and jobs of the demo's agents have said, in the order in which they said it.

They write lines into one pipe; this process stamps each with CLOCK_BOOTTIME when it reads it. So
all stamps are of one clock, cost the hook no process of its own, and err in one direction only: a
stamp is never earlier than what it stands for. The order is the order of the writes: exact.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

NODE_SCRIPT = """\
# Arguments: the pipe, then those of every hook: EVENT SERVICE ROLE TERM.
pipe=$1 event=$2
# Opened for both: writing never waits for a reader, not even for one that was killed.
say() { echo "$FTL_NODE $1 $FTL_TERM" 1<>"$pipe"; }
job() {
    trap 'say job-ended; exit 0' TERM
    while :; do say job; sleep 0.05 & wait; done
}
say "on_$event"
if [ "$event" = leader ]; then job </dev/null >/dev/null 2>&1 & fi
"""
"""The hook of every event. The leader's job is a loop that on_leader leaves in the background."""


class Record(NamedTuple):
    """One line: at ``at`` (BOOTTIME, ns) the hook or job of ``node`` said ``what``.

    ``what``: on_leader, on_follower, on_reelection, on_error, job (it works), job-ended.
    """

    at: int
    node: str
    what: str
    term: str


class Log:
    """The pipe at ``path``, made here, and everything read from it; ``records`` is in order."""

    def __init__(self, path: str) -> None:
        os.mkfifo(path, 0o600)
        self.path = path
        self.records: list[Record] = []
        # Opened for both, so that the pipe has no end when the last hook closes it.
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._rest = b""

    def close(self) -> None:
        """Read no more."""
        os.close(self._descriptor)

    def read(self, seconds: float) -> list[Record]:
        """Wait at most ``seconds`` for something to be said; return what is new."""
        if not select.select([self._descriptor], [], [], seconds)[0]:
            return []
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return []
        at = boottime()
        *lines, self._rest = (self._rest + data).split(b"\n")
        new = [Record(at, *line.decode("ascii", "replace").split(" ", 2)) for line in lines]
        self.records += new
        return new


def boottime() -> int:
    """The clock of every stamp, in nanoseconds."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def first(records: Iterable[Record], condition: Callable[[Record], bool]) -> Record | None:
    """The first record that fulfils ``condition``."""
    return next((record for record in records if condition(record)), None)


class Broken(NamedTuple):
    """A job that worked while it must not. ``excusable``: two led at once, which an open group
    does where a machine has no time for it; only `voters` exclude that."""

    text: str
    excusable: bool


def broken_promises(records: Iterable[Record]) -> list[Broken]:
    """Every place where a job worked while it must not: beside another's, or out of its tenure.

    A tenure lasts from a node's on_leader to its on_follower, and its job must have ended before
    that on_follower.
    """
    found: list[Broken] = []
    leading: Record | None = None
    for record in records:
        if record.what == "on_leader":
            if leading is not None:
                text = (
                    f"on_leader of {record.node} (term {record.term}) started while the job of "
                    f"{leading.node} (term {leading.term}) had not ended"
                )
                found.append(Broken(text, excusable=leading.node != record.node))
            leading = record
        elif record.what == "on_follower":
            leading = None if leading and leading.node == record.node else leading
        elif record.what == "job" and (leading is None or leading.node != record.node):
            text = f"the job of {record.node} (term {record.term}) worked out of its tenure"
            found.append(Broken(text, excusable=False))
    return found
