"""A job of this instance that nobody remembers: found by what its processes' environment says.

Needed where the record of it is damaged, and where no guardian is left to end it. A process is ours
if an on_leader hook of this instance, with this very runtime directory, has handed it its
environment: jobs of other instances, of other containers, and what an on_follower has left running
are left alone.
"""

from __future__ import annotations

import os

from followtheleader.guardian import proc

RUNTIME_DIR = "FTL_RUNTIME_DIR"

_FACTS = ("service", "term", "token", "node")


class Orphans:
    """The processes that an on_leader of this instance has started, whoever ran it. ``place`` is
    the guardian's (`Post.place`)."""

    def __init__(self, instance: str, place: str) -> None:
        self._runtime_dir = place
        self._instance = instance
        self._wanted = {
            "FTL_EVENT": "leader",
            "FTL_INSTANCE": instance,
            RUNTIME_DIR: self._runtime_dir,
        }

    def has(self, pid: int) -> bool:
        """Is ``pid`` one of them? Raise `proc.Blind`."""
        return bool(self._environment(pid))

    def facts(self) -> dict[str, object]:
        """What their hook was told, as far as it can be known. Raise `proc.Blind`."""
        for one in proc.everything():
            if found := self._environment(one.pid):
                told = {key: found.get(f"FTL_{key.upper()}", "") for key in _FACTS}
                return {key: value for key, value in told.items() if value}
        return {"service": self._instance}

    def _environment(self, pid: int) -> dict[str, str]:
        found = proc.environment_of(pid)
        ours = proc.MARKER in found and self._wanted.items() <= found.items()
        return found if ours and self._is_of_this_place(pid) else {}

    def _is_of_this_place(self, pid: int) -> bool:
        """Is its runtime directory ours, and not one of the same name in another container?"""
        try:
            if os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink("/proc/self/ns/mnt"):
                return True
            there = os.stat(f"/proc/{pid}/root{self._runtime_dir}")
            return os.path.samestat(there, os.stat(self._runtime_dir))
        except OSError as error:
            proc.tell_blind(error, "/proc")
            return False
