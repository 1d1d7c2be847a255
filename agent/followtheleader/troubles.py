"""What does not work at present: said once, shown while it lasts, said once more when it is over.

While trouble of one kind lasts, each text of it is said once: what swings between two faults (A, B,
A) is two lines, not a line for each swing, and status shows which of them it is now. Said means
logged and told to on_error. Only the last few texts are known (`MOST_SAID`): more than that are new
faults each time, and then an old one is said again.

What others may cause (`OF_OTHERS`) they may cause as often as they like, and with other words each
time: of all that together a few are said at once, then `LINES` and `ALARMS` in a minute. What is
left out is counted, and shown in status like the rest. A text has an end, too.

A disk that is full works again for a moment whenever something is removed. So that the log does not
swing with it, the end of such trouble is told only after it has stayed away for ten seconds; what
comes back before that has been said already.
"""

from __future__ import annotations

from followtheleader.config.durations import MINUTE
from followtheleader.host.clock import boottime
from followtheleader.host.journal import Journal
from followtheleader.net.bucket import Bucket
from followtheleader.timers import Timers

OF_DISKS = frozenset({"local-sockets", "members-file", "role-file", "state-directory"})
OF_DISKS |= {"state-files"}
OF_OTHERS = frozenset({"identity", "identity-doubled", "identity-taken", "name-taken", "member"})
OF_OTHERS |= {"voters-list", "mdns", "isolated"}
"""Kinds, by their first word."""
LINES, LINES_AT_ONCE = 10, 30
ALARMS, ALARMS_AT_ONCE = 1, 8
LONGEST_TEXT = 1000
QUIET_SECONDS = 10.0
MOST_SAID = 16


class Troubles:
    """``present`` maps a kind of trouble to its text while it lasts."""

    def __init__(self, journal: Journal, timers: Timers) -> None:
        self.present: dict[str, str] = {}
        self._journal = journal
        self._timers = timers
        self._said: dict[str, set[str]] = {}
        self._lines = Bucket(LINES, at_once=LINES_AT_ONCE, span=MINUTE)
        self._alarms = Bucket(ALARMS, at_once=ALARMS_AT_ONCE, span=MINUTE)
        self._left_out = 0

    def begin(self, kind: str, text: str) -> bool:
        """It does not work; return whether that is worth an on_error, see above."""
        if len(text) > LONGEST_TEXT:
            text = f"{text[:LONGEST_TEXT]} …"
        self._timers.cancel(f"trouble {kind}")
        said = self._said.setdefault(kind, set())
        self.present[kind] = text
        if text in said:
            return False
        if len(said) >= MOST_SAID:
            said.clear()
        said.add(text)
        if kind.split()[0] not in OF_OTHERS:
            self._journal.warning(kind, text)
            return True
        now = boottime()
        if not self._lines.spend(now):
            self._left_out += 1
            return False
        self._journal.warning(kind, text, suppressed=self._left_out or None)
        self._left_out = 0
        return self._alarms.spend(now)

    def end(self, kind: str) -> None:
        """It works."""
        if self.present.pop(kind, None) is None:
            return
        if kind in OF_DISKS:
            self._timers.after(f"trouble {kind}", QUIET_SECONDS, lambda: self._forget(kind))
        else:
            self._forget(kind)

    def _forget(self, kind: str) -> None:
        self._said.pop(kind, None)
        if kind.split()[0] in OF_OTHERS and not self._lines.spend(boottime()):
            self._left_out += 1
            return
        self._journal.info(kind, f"{kind} works again")
