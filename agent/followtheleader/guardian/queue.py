"""The queue: which event's hooks run next. Pure: no clock, no process.

Hooks run strictly one at a time, in the order of the events. What nobody can act on any more is
absorbed by the event that made it so; whoever runs an item settles what it has absorbed too.

 - A follower event absorbs every role event and reelection that still waits.
 - A leader event absorbs waiting reelections and leader events, and a waiting follower event
   unless one is owed: an on_follower always runs between two on_leader that started.
 - The newest `ERRORS_KEPT` error events wait in their place in the order.

So the last hook that runs is the hook of the last role.
"""

from __future__ import annotations

ERRORS_KEPT = 16
ABSORBED_KEPT = 4096
"""Far more than an agent has waiting; what is beyond it is not settled."""


class Item:
    """One event on its way through the hooks.

    ``absorbed``: (change, event) of events that are settled with this one, oldest first.
    ``done``: its commands that have ended well. ``attempts``: times it failed and was put back.
    ``replay``: left over by an earlier guardian; this agent has never heard of it.
    """

    __slots__ = (
        "absorbed",
        "attempts",
        "change",
        "done",
        "event",
        "event_id",
        "facts",
        "finished",
        "not_before",
        "replay",
    )

    def __init__(
        self, event: str, change: int, facts: dict[str, object], event_id: str, replay: bool = False
    ) -> None:
        self.event = event
        self.change = change
        self.facts = facts
        self.event_id = event_id
        self.replay = replay
        self.absorbed: list[tuple[int, str]] = []
        self.done = 0
        self.attempts = 0
        self.not_before = 0
        self.finished = False

    def absorb(self, older: Item) -> None:
        """Settle ``older`` with this one."""
        self.absorbed += [*older.absorbed, (older.change, older.event)]
        del self.absorbed[:-ABSORBED_KEPT]


class Queue:
    """Events that wait for their hooks."""

    def __init__(self) -> None:
        self.waiting: list[Item] = []
        self._follower_owed = False

    def push(self, item: Item, urgent: bool = False) -> None:
        """Add an event; ``urgent`` puts it before all others (a loss that the guardian saw)."""
        self._absorb_into(item)
        self.waiting.insert(0 if urgent else len(self.waiting), item)

    def put_back(self, item: Item) -> None:
        """Add a failed item again; it is ready at its ``not_before``."""
        self.waiting.insert(0, item)

    def peek(self, now: int) -> Item | None:
        """The item that runs next, or None. One that waits for its next attempt lets others by."""
        return next((item for item in self.waiting if item.not_before <= now), None)

    def start(self, item: Item) -> None:
        """``item`` starts to run: it waits no longer."""
        self.waiting.remove(item)
        if item.event == "leader":
            self._follower_owed = True
        elif item.event == "follower":
            self._follower_owed = False

    def has_role(self) -> bool:
        """Does a leader or follower event wait?"""
        return any(item.event in ("leader", "follower") for item in self.waiting)

    def next_at(self, now: int) -> int | None:
        """When an item that waits for its next attempt is ready."""
        return min((i.not_before for i in self.waiting if i.not_before > now), default=None)

    def _absorb_into(self, item: Item) -> None:
        superseded = self._superseded_by(item.event)
        for older in superseded:
            item.absorb(older)
        self.waiting = [older for older in self.waiting if older not in superseded]

    def _superseded_by(self, event: str) -> list[Item]:
        if event == "error":
            errors = [item for item in self.waiting if item.event == "error"]
            return errors[: max(0, len(errors) + 1 - ERRORS_KEPT)]
        names = {
            "follower": ("follower", "leader", "reelection"),
            "leader": ("leader", "reelection"),
            "reelection": ("reelection",),
        }[event]
        if event == "leader" and not self._follower_owed:
            names = (*names, "follower")
        return [item for item in self.waiting if item.event in names]
