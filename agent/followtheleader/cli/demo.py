"""``ftl-agent demo``: three agents on loopback, and what happens when their leader fails.

Promise: every figure is measured on real agents, started here as ``ftl-agent run``, with the signal
sent as one end and the first line of the next leader's hook, heard from it, as the other. It exits
with 0 only if every step ended as promised, and leaves nothing behind.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

from followtheleader import cli
from followtheleader.cli import options, terminal
from followtheleader.cli.demo_group import DemoAgent, Group, loopback_works
from followtheleader.cli.demo_log import Record, boottime, broken_promises, first
from followtheleader.config import advice
from followtheleader.config.durations import MS, SECOND, format_duration
from followtheleader.core.types import Instant, Span

T = TypeVar("T")

USAGE = """\
usage: ftl-agent demo

Start three agents on 127.0.0.1 in a private directory, without root; kill the leader, freeze the
next, stop the third; show each change as it happens and how long nobody led. Takes about ten
seconds and leaves nothing behind.

Exit: 0 everything went as promised, 1 something did not.

Example:
  ftl-agent demo
"""

PATIENCE = 10 * SECOND
"""How long a step may take before the demo gives up; far more than any promise."""
ALLOWANCE: Span = 500 * MS
"""What starting hooks and a busy machine may add to a promise."""


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
        return self.election <= self.promised + ALLOWANCE


class Failed(Exception):
    """A step did not end as promised; ``str()`` says which and how."""


def main(argv: list[str]) -> int:
    """Show it; return the exit code."""
    options.parse(argv, (), (), words=0)
    if not loopback_works():
        print("ftl-agent demo: no datagram passes 127.0.0.1; run: ip link set lo up")
        return cli.NO
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, _stop)
    group = Group()
    try:
        with group:
            try:
                failure = Story(group).tell()
            finally:
                # From here on it is quickly over: a second ^C must not leave half of it.
                for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                    signal.signal(number, signal.SIG_IGN)
    except Failed as failed:
        failure = str(failed)
    return _verdict(failure, group.left_behind)
