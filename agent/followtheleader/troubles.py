"""What does not work at present: said once, shown while it lasts, said once more when it is over.

While trouble of one kind lasts, each text of it is said once: what swings between two faults (A, B,
A) is two lines, not a line for each swing, and status shows which of them it is now. Said means
logged and told to on_error. Only the last few texts are known (`MOST_SAID`): more than that are new
faults each time, and then an old one is said again.

A disk that is full works again for a moment whenever something is removed. So that the log does not
swing with it, the end of such trouble is told only after it has stayed away for ten seconds; what
comes back before that has been said already.
"""

from __future__ import annotations

from followtheleader.host.journal import Journal
from followtheleader.timers import Timers

OF_DISKS = frozenset({"local-sockets", "members-file", "role-file", "state-directory"})
OF_DISKS |= {"state-files"}
QUIET_SECONDS = 10.0
MOST_SAID = 16


class Troubles:
    """``present`` maps a kind of trouble to its text while it lasts."""

    def __init__(self, journal: Journal, timers: Timers) -> None:
        self.present: dict[str, str] = {}
        self._journal = journal
        self._timers = timers
        self._said: dict[str, set[str]] = {}

    def begin(self, kind: str, text: str) -> bool:
        """It does not work; return whether ``text`` is news, see above."""
        self._timers.cancel(f"trouble {kind}")
        said = self._said.setdefault(kind, set())
        self.present[kind] = text
        if text in said:
            return False
        if len(said) >= MOST_SAID:
            said.clear()
        said.add(text)
        self._journal.warning(kind, text)
        return True

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
        self._journal.info(kind, f"{kind} works again")
