"""``ftl-agent demo``: three agents on loopback, and what happens when their leader fails.

Promise: every figure is measured on real agents, from the signal that was sent to the first line of
the next leader's hook. It exits with 0 only if every step ended as promised, and leaves no process
and no file behind, also when it is interrupted.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from followtheleader import cli
from followtheleader.cli import options, terminal
from followtheleader.cli.demo_group import Group, loopback_works
from followtheleader.cli.demo_story import ALLOWANCE, Failed, Gap, Story, TooLate
from followtheleader.config.durations import MS, SECOND, format_duration
from followtheleader.core.types import Span

USAGE = """\
usage: ftl-agent demo

Start three agents on 127.0.0.1 in a private directory, without root; kill the leader, freeze the
next, stop the third; show each change as it happens and how long nobody led. Takes about ten
seconds and leaves nothing behind.

Exit: 0 everything went as promised, 1 something did not.

Example:
  ftl-agent demo
"""

EXPLANATION = f"""\
  gap: from the fault to the first line of the next on_leader, as it was heard here. The end of
  the old job, on_follower, the election and the start of a hook are in it.
  election: the part that the promise is about: since all agents were up (launch), since
  on_follower (killed, stopped), since the freeze. What hooks take to start, and a busy machine,
  may add {format_duration(ALLOWANCE)} before a promise is broken."""

BUSY = "Is this machine busy? Try again when it has time."

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Interrupted(Exception):
    """A signal asked us to stop; ``args[0]`` is its number."""


def main(argv: list[str]) -> int:
    """Show it; return the exit code."""
    options.parse(argv, (), (), words=0)
    if not loopback_works():
        print("ftl-agent demo: no datagram passes 127.0.0.1; run: ip link set lo up")
        return cli.NO
    before = [signal.signal(number, _interrupt) for number in _SIGNALS]
    try:
        return _demo()
    except _Interrupted as stopped:
        print("\ninterrupted: all agents are stopped, and the directory is removed")
        return 128 + int(stopped.args[0])
    finally:
        for number, handler in zip(_SIGNALS, before, strict=True):
            signal.signal(number, handler)


def _demo() -> int:
    paint = terminal.paint_for(sys.stdout)
    failure = None
    with Group() as group:
        story = Story(group, paint)
        try:
            group.prepare()
            story.tell()
        except Failed as failed:
            busy = f" {BUSY}" if isinstance(failed, TooLate) else ""
            failure = f"{failed}{busy}\n{group.last_words()}".strip()
        finally:
            # From here on it is quickly over; a second ^C must not leave half of it.
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_IGN)
    if story.gaps:
        print(f"\n{gap_table(story.gaps, paint)}")
    late = [gap.what for gap in story.gaps if not gap.held]
    failures = [failure] if failure else []
    failures += [f"{what}: took longer than promised. {BUSY}" for what in late]
    failures += group.left_behind
    if failures:
        print(f"\n{paint('red', 'failed')}: " + "\n        ".join(failures))
        return cli.NO
    stamps = sum(record.what == "job" for record in group.log.records)
    print(
        f"\n{paint('green', 'held')}: each job had ended before the next began "
        f"({stamps} stamps of jobs), and nothing is left behind"
    )
    return cli.YES


def gap_table(gaps: list[Gap], paint: terminal.Paint) -> str:
    """The measured gaps beside what the configuration promises."""
    rows = [("WHAT HAPPENED", "GAP", "ELECTION", "PROMISED")]
    rows += [
        (gap.what, _seconds(gap.gap), _seconds(gap.election), f"≤ {_seconds(gap.promised)}")
        for gap in gaps
    ]
    head, *lines = terminal.table(rows, right=(1, 2, 3)).split("\n")
    return "\n".join([paint("bold", head), *lines, "", EXPLANATION])


def _seconds(span: Span) -> str:
    return f"{span / SECOND:.3f} s" if span >= MS else "0.000 s"


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise _Interrupted(number)
