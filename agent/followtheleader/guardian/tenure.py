"""The role as the guardian knows it: what the agent has told, and what it has seen before that.

A loss that the guardian sees itself (the agent died, the lease ran out) is acted upon at once; when
the agent tells the same loss later, nothing of it runs a second time.
"""

from __future__ import annotations

from followtheleader.guardian import messages
from followtheleader.guardian.custody import Custody
from followtheleader.guardian.queue import Item
from followtheleader.guardian.runner import RETRY_FIRST, Tell
from followtheleader.guardian.turns import Turns


class Tenure:
    """``leading``: the last role event, if it was leader. Every event id begins with ``prefix``."""

    def __init__(self, prefix: str, turns: Turns, custody: Custody, tell: Tell) -> None:
        self.leading: Item | None = None
        self._own_loss: Item | None = None  # the loss that we saw before the agent told it
        self._last_change = -1
        self._prefix = prefix
        self._events = 0
        self._turns = turns
        self._custody = custody
        self._tell = tell

    def item(self, event: str, change: int, facts: dict[str, object]) -> Item:
        """An event of its own id; a role must be newer than the last. Raise `BadMessage`."""
        if event in ("leader", "follower"):
            if change <= self._last_change:
                told = f"change {change} is not newer than {self._last_change}"
                raise messages.BadMessage(f"event {event}: {told}")
            self._last_change = change
        return self._item(event, change, facts)

    def gain(self, item: Item, on_failure: str, now: int) -> None:
        """The agent leads. ``on_failure`` says what a failed on_leader means."""
        if self.leading is not None:
            # Not by a correct agent; but no two on_leader without an on_follower between them.
            self._turns.push(self._loss_of(self.leading, "superseded"))
            self.end_job(now)
        self._own_loss = None
        if self._custody.was_broken_by(item.change):
            self._tell_broken(item)
            if on_failure == "step-down":
                self._refuse(item)
                return
            # Whatever the policy: its job has ended with it, and is begun anew.
            item.attempts, item.not_before = 1, now + RETRY_FIRST
        self.leading = item
        self._turns.push(item)

    def lose_as_told(self, item: Item, now: int) -> None:
        """The agent follows, as it says."""
        known, self._own_loss = self._own_loss, None
        if known is None:
            self.leading = None
            self._turns.push(item)
            self.end_job(now)
        elif known.finished:
            self._turns.settle(item.change, item.event, True)
        else:
            known.absorb(item)

    def end_job(self, now: int) -> None:
        """The job's end begins, and a running on_leader is part of it."""
        self._turns.lose_leader()
        self._custody.end(now)

    def owe_loss(self, lost: Item, reason: str) -> None:
        """We saw it first: on_follower runs before all that waits."""
        self._own_loss = self._loss_of(lost, reason)
        self._turns.push(self._own_loss, urgent=True)

    def replay_loss(self, lost: Item) -> None:
        """An earlier guardian owed this on_follower."""
        item = self._loss_of(lost, "replay")
        item.replay = True
        self._turns.push(item)

    def _refuse(self, item: Item) -> None:
        """It has failed, and its on_follower has run already."""
        self.leading = None
        self._own_loss = self._loss_of(item, "replay")
        self._own_loss.finished = True
        self._turns.settle(item.change, item.event, False)

    def _tell_broken(self, item: Item) -> None:
        self._tell(
            "ended",
            change=item.change,
            event=item.event,
            hook="on_leader",
            rc=None,
            ms=0.0,
            why="guardian",
            error="the guardian was killed while it ran; a hook must not end its parent",
        )

    def _loss_of(self, lost: Item, reason: str) -> Item:
        facts = {
            **lost.facts,
            "role": "follower",
            "old_role": "leader",
            "leader": "",
            "leader_address": "",
            "reason": reason,
        }
        return self._item("follower", lost.change, facts)

    def _item(self, event: str, change: int, facts: dict[str, object]) -> Item:
        self._events += 1
        return Item(event, change, facts, f"{self._prefix}{self._events}")
