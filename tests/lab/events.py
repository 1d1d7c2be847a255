"""The lab's one log: what hooks, jobs, role files and faults did, in CLOCK_BOOTTIME order.

Every host of the lab shares one clock and one file. ``stamp.c`` writes what happens on the hosts,
`EventLog.note` what the lab does to them; both write a line in one append, so no line is torn.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

NS = 1_000_000_000
FIELDS = 9


@dataclass(frozen=True, slots=True)
class Record:
    """One line of the log; ``at`` in nanoseconds of CLOCK_BOOTTIME, "-" where nothing is known.

    ``what`` is ``hook.EVENT``, ``job``, ``daemon``, ``role`` or ``fault``; ``phase`` is ``start``,
    ``tick`` or ``end``, the word of the role file (``none``: no file), or the name of the fault.
    """

    at: int
    host: str
    what: str
    phase: str
    term: str = "-"
    token: str = "-"
    pid: int = 0
    replay: str = "-"
    reason: str = "-"

    @property
    def is_hook_start(self) -> bool:
        return self.what.startswith("hook.") and self.phase == "start"

    def __str__(self) -> str:
        return (
            f"{self.at / NS:.4f} {self.host} {self.what} {self.phase} term={self.term}"
            f" token={self.token} pid={self.pid} replay={self.replay} {self.reason}"
        )


def now() -> int:
    """The instant, in the clock that every stamp uses."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def parse(text: str) -> list[Record]:
    """Read whole lines, in order of time; a torn or foreign line is a defect and raises."""
    records = []
    for line in text.splitlines():
        fields = line.split()
        if len(fields) != FIELDS or not fields[0].isdigit() or not fields[6].isdigit():
            raise AssertionError(f"a torn or foreign line in the lab's log: {line!r}")
        at, host, what, phase, term, token, pid, replay, reason = fields
        records.append(Record(int(at), host, what, phase, term, token, int(pid), replay, reason))
    return sorted(records, key=lambda record: record.at)


class EventLog:
    """The file behind the log."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._from = 0
        self._kept = ""
        path.touch()

    def note(self, host: str, what: str, phase: str) -> int:
        """Append a line of the lab's own; return its instant."""
        at = now()
        line = f"{at} {host} {what} {phase} - - {os.getpid()} - -\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)
        return at

    def read(self, since: int = 0) -> list[Record]:
        """Every record from ``since`` on; a line still being appended is left for the next read."""
        return [record for record in parse(self._whole()) if record.at >= since]

    def compact(self) -> None:
        """Read no more what lies before now but each host's last role and last role hook.

        For a log that runs for hours. The file keeps all.
        """
        last: dict[tuple[str, str], list[str]] = {}
        text = self._whole()
        for line in text.splitlines(keepends=True):
            _, host, what, phase, *_ = line.split()
            if what == "role" or (what in ("hook.leader", "hook.follower") and phase == "start"):
                last[host, what.partition(".")[0]] = [line]
            elif what.startswith("hook.") and phase == "end" and (host, "hook") in last:
                last[host, "hook"].append(line)
        self._from += len(text) - len(self._kept)
        self._kept = "".join(line for lines in last.values() for line in lines)

    def _whole(self) -> str:
        """What is kept, and every whole line since."""
        with self.path.open() as file:
            file.seek(self._from)
            text = file.read()
        return self._kept + text[: text.rfind("\n") + 1]

    def story(self) -> str:
        """The log without ticks, one line per record, for a failed test's report."""
        return "\n".join(str(record) for record in self.read() if record.phase != "tick")
