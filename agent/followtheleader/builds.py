"""Members whose build speaks no version of the protocol that this one speaks.

Promise: each is named as trouble for as long as it is heard, with what it speaks, what is spoken
here, and the cure. Nothing but greetings passes between the two: they neither follow nor count each
other, which would look like a cut network to whoever is not told.
"""

from __future__ import annotations

from collections.abc import Iterable

from followtheleader.core.addresses import show
from followtheleader.core.types import NO_VERSION, Instant
from followtheleader.core.view import MemberView
from followtheleader.observer import Observer


class Builds:
    """Tells ``observer`` of members that speak none of ``versions``."""

    def __init__(self, observer: Observer, versions: tuple[int, int]) -> None:
        self._observer = observer
        self._versions = versions
        self._told: tuple[str, ...] = ()

    def look(self, members: Iterable[MemberView], now: Instant) -> bool:
        """Compare with what was told before; return whether to look again after a while.

        A member that falls silent is not announced by anybody.
        """
        found = {
            f"member {member.name}": self._describe(member)
            for member in members
            if member.version == NO_VERSION and member.is_there(now)
        }
        for kind in self._told:
            if kind not in found:
                self._observer.on_relief(kind)
        self._told = tuple(found)
        for kind, text in found.items():
            self._observer.on_trouble(kind, text)
        return bool(found)

    def _describe(self, member: MemberView) -> str:
        older = "that member" if member.versions[1] < self._versions[0] else "this node"
        who = f"{member.name} at {show(member.address)}"
        return (
            f"{who} speaks {_words(member.versions)} of the protocol, "
            f"this node {_words(self._versions)}: the two cannot elect a leader together; upgrade "
            f"{older}, by way of a release that speaks a version of each if members must stay up"
        )


def _words(versions: tuple[int, int]) -> str:
    lowest, highest = versions
    return f"version {lowest}" if lowest == highest else f"versions {lowest} to {highest}"
