"""Datagrams that count for nothing: counted by reason, and told without giving way to a flood.

Promise: of one source and reason the log has a line a minute at most, of all together
`MOST_LINES`; what that leaves out is counted, and the next line says how many. Memory is bounded
whatever comes. To the log a source is a host, whichever port it speaks from.

What a wrong key may be the reason of is also shown in ``status``, while it lasts, with the cure. It
runs no ``on_error``: whoever is on the network could run it then.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from followtheleader.core.actions import Unheard
from followtheleader.core.addresses import show
from followtheleader.core.types import NANOSECONDS, Address, Instant, Span
from followtheleader.net.gate import TOO_MANY
from followtheleader.wire import CHECKSUM_KEY, Fault, KeyRing

TOLD_EVERY: Span = 60 * NANOSECONDS
MOST_LINES = 10
SHOWN_FOR: Span = 180 * NANOSECONDS
"""A node that nobody hears is tried again by mDNS every minute."""
MOST_SOURCES = 32
NAMED_SOURCES = 3

ABOUT_KEYS = frozenset((Fault.UNSIGNED, Fault.KEY, Fault.TAG))
EVERYDAY = frozenset((Unheard.UNVERIFIED, Unheard.REPEATED, Unheard.INCOMPATIBLE))
"""Counted only. Who has just started is not verified yet, a last will is sent three times, and who
is incompatible is noted by the election."""


@dataclass(slots=True)
class _Told:
    at: Instant
    since: int = 0


@dataclass(slots=True)
class _Wrong:
    """What is wrong with the signatures from one address: reason and key id, seen at ``at``."""

    reason: str
    key_id: int
    at: Instant


class Refusals:
    """``counters`` get ``rejected-REASON``; ``tell`` writes a line with its fields."""

    def __init__(
        self,
        counters: Counter[str],
        ring: KeyRing,
        tell: Callable[[str, dict[str, object]], None],
    ) -> None:
        self.ring = ring
        self._counters = counters
        self._tell = tell
        self._told: dict[tuple[str, str], _Told] = {}
        self._untold = 0
        self._full_until: Instant = 0
        self._wrong: dict[Address, _Wrong] = {}

    def use(self, ring: KeyRing) -> None:
        """Explain by the keys of ``ring`` from now on; what was wrong before is to be seen anew."""
        self.ring = ring
        self._wrong.clear()

    def refuse(
        self, reason: str, source: Address, now: Instant, key_id: int = CHECKSUM_KEY
    ) -> None:
        """Count a datagram; ``key_id``: what its header says, where that is the reason."""
        self._counters[f"rejected-{reason}"] += 1
        host = source[0]
        if reason in ABOUT_KEYS:
            self._wrong.pop(source, None)
            if len(self._wrong) >= MOST_SOURCES:
                del self._wrong[next(iter(self._wrong))]  # the one that was silent longest
            self._wrong[source] = _Wrong(reason, key_id, now)
        if reason not in EVERYDAY:
            self._log(reason, host, now, key_id)

    def accept(self, source: Address) -> None:
        """A datagram from there counts: whatever was wrong with its keys is over."""
        if self._wrong:
            self._wrong.pop(source, None)

    def problems(self, now: Instant) -> list[str]:
        """Return what is to be shown now, a text for each reason and key."""
        groups: dict[tuple[str, int], list[str]] = {}
        for source, wrong in self._wrong.items():
            if now - wrong.at <= SHOWN_FOR:
                groups.setdefault((wrong.reason, wrong.key_id), []).append(show(source))
        return [
            f"{_named(sorted(sources))}: {self._explained(reason, key_id)}"
            for (reason, key_id), sources in sorted(groups.items())
        ]

    def _log(self, reason: str, host: str, now: Instant, key_id: int) -> None:
        told = self._told.get((host, reason))
        if told is not None and now - told.at < TOLD_EVERY:
            told.since += 1
            return
        if told is None and not self._has_room(now):
            self._untold += 1
            return
        left_out = {"more": told.since if told else None, "untold": self._untold or None}
        self._told[host, reason] = _Told(now)
        self._untold = 0
        text = f"datagrams from {host} are dropped ({reason}): {self._explained(reason, key_id)}"
        self._tell(text, {"source": host, "reason": reason, **left_out})

    def _has_room(self, now: Instant) -> bool:
        """Whether another line may be written in this minute."""
        if now < self._full_until:
            return False
        if len(self._told) >= MOST_LINES:
            self._told = {k: t for k, t in self._told.items() if now - t.at < TOLD_EVERY}
        if len(self._told) < MOST_LINES:
            return True
        self._full_until = min(told.at for told in self._told.values()) + TOLD_EVERY
        return False

    def _explained(self, reason: str, key_id: int) -> str:
        ring = self.ring
        names = ", ".join(key.name for key in ring.keys)
        if reason == Fault.UNSIGNED:
            return (
                "not signed, and this node requires it; give that one the key_file of this one, or "
                "for a rollout write key_mode: sign here"
            )
        if reason == Fault.KEY and not ring.keys:
            return "signed, and this node has no key; give it the key_file of that one"
        if reason == Fault.KEY:
            return (
                f"signed with a key that this node does not have (it has {names}); give both the "
                "same key_file"
            )
        if reason == Fault.TAG:
            return (
                f"signed with key {ring.name_of(key_id)}, and that has another secret here; give "
                "both the same key_file"
            )
        return _MEANS.get(reason, "not what a member of this group sends to this node")


_MEANS: dict[str, str] = {
    TOO_MANY: "more than members and newcomers send; what else comes is not looked at",
    Fault.MAGIC: "not what agents send",
    Fault.SHORT: "not what agents send",
    Fault.VERSION: "a version that this node does not speak",
    Fault.FOREIGN: "of another service",
    Fault.OWN: "said by this node itself, and come back",
    Fault.RECEIVER: "meant for another node",
    Fault.DAMAGED: "damaged on its way, or not what agents send",
    Unheard.REPLAYED: "heard before",
    Unheard.STALE: "of an earlier life of that member",
}


def _named(sources: list[str]) -> str:
    more = len(sources) - NAMED_SOURCES
    return ", ".join(sources[:NAMED_SOURCES]) + (f" and {more} more" if more > 0 else "")
