"""Members that have other voters than this node, or are of the other kind of group.

Promise: they are one trouble for as long as one of them is heard, with their names and the cure.
Neither follows nor counts the other, so that each may have a leader of its own: whoever is not told
sees two ordinary groups.

Anybody may join where no key is set. So the text is bounded, and changes at most once in a while.
"""

from __future__ import annotations

from collections.abc import Iterable

from followtheleader.core.addresses import show
from followtheleader.core.types import NANOSECONDS, Instant, Span
from followtheleader.core.view import MemberView
from followtheleader.observer import Observer

KIND = "voters-list"
MOST_NAMED = 8
UNCHANGED_FOR: Span = 4 * NANOSECONDS
"""So long a text stands before another takes its place."""


class OtherVoters:
    """Tells ``observer`` of them. ``quorum``: this node's group has voters."""

    def __init__(self, observer: Observer, *, quorum: bool) -> None:
        self._observer = observer
        self._quorum = quorum
        self._stands_until: Instant | None = None

    def look(self, members: Iterable[MemberView], now: Instant) -> bool:
        """Compare with what was told before; return whether to look again after a while.

        A member that falls silent is not announced by anybody.
        """
        if self._stands_until is not None and now < self._stands_until:
            return True
        found = [member for member in members if member.other_voters and member.is_there(now)]
        if found:
            self._stands_until = now + UNCHANGED_FOR
            self._observer.on_trouble(KIND, self._describe(found))
        elif self._stands_until is not None:
            self._stands_until = None
            self._observer.on_relief(KIND)
        return bool(found)

    def _describe(self, found: list[MemberView]) -> str:
        voting = _named([member for member in found if member.quorum])
        without = _named([member for member in found if not member.quorum])
        ours = "other `voters` than this node" if self._quorum else "`voters`, and this node none"
        said = [f"{voting} {ours}"] if voting else []
        said += [f"{without} no `voters`"] if without else []
        return (
            f"{'; '.join(said)}: neither followed nor counted here, and they may have a leader of "
            "their own; give every member the same list (README, Changing the voters)"
        )


def _named(members: list[MemberView]) -> str:
    """Who they are, and the verb; nothing if there is nobody."""
    if not members:
        return ""
    members = sorted(members, key=lambda member: (member.name, member.id))
    names = [f"{member.name} at {show(member.address)}" for member in members[:MOST_NAMED]]
    if len(members) > MOST_NAMED:
        names.append(f"{len(members) - MOST_NAMED} more")
    return f"{', '.join(names)} {'has' if len(members) == 1 else 'have'}"
