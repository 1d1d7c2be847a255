"""The lab's log, for a run of hours: each line is read once, and of a life only its ends are kept.

Promise: `read` and `whole` hold everything that the checker and the figures ask for: every line but
the ticks between a process's first line and its latest one.
"""

from __future__ import annotations

from pathlib import Path

from lab import checker
from lab.events import EventLog, Record, parse

Process = tuple[str, int, str, str]


class Ledger(EventLog):
    """The log at ``path``, which others go on writing."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._offset = 0
        self._window: list[Record] = []
        self._ticks: dict[Process, int] = {}
        self._past: list[Record] = []

    def read(self, since: int = 0) -> list[Record]:
        """Every record since the last `compact`, and what still counts of those before."""
        self._take_in()
        found = sorted(self._window, key=lambda record: record.at)
        return [record for record in found if record.at >= since]

    def whole(self) -> list[Record]:
        """Every record from the first line on."""
        self._take_in()
        return sorted({*self._past, *self._window}, key=lambda record: record.at)

    def compact(self) -> None:
        """`read` no more what lies before now but each host's last role, and its last role hook
        with what has ended that."""
        records = self.read()
        kept: list[Record] = []
        for host in {record.host for record in records}:
            own = [record for record in records if record.host == host]
            roles = [r for r in own if r.what == "role"]
            begun = [r for r in own if r.is_hook_start and r.what in checker.ROLE_HOOKS]
            kept += roles[-1:]
            kept += [r for r in own if begun and r.at >= begun[-1].at and _counts(r)]
        self._past += records
        self._window = kept
        self._ticks.clear()

    def _take_in(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._offset)
            text = file.read()
        text = text[: text.rfind(b"\n") + 1]
        self._offset += len(text)
        for record in parse(text.decode()):
            process = (record.host, record.pid, record.what, record.term)
            if record.phase != "tick":
                self._window.append(record)
            elif process in self._ticks:
                self._window[self._ticks[process]] = record
            else:
                self._ticks[process] = len(self._window)
                self._window.append(record)


def _counts(record: Record) -> bool:
    return record.what in checker.ROLE_HOOKS or record.phase in (*checker.UNGUARDED, checker.THAWED)
