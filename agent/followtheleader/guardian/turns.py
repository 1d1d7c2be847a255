"""Whose turn it is: the events' hooks run one at a time and in order, and every event is settled.

An on_leader starts only while the lease holds, when it is on record that an on_follower is owed,
and when nothing of an earlier job is left.
"""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.guardian import clock
from followtheleader.guardian.custody import Custody
from followtheleader.guardian.hooks import Hooks
from followtheleader.guardian.queue import Item, Queue
from followtheleader.guardian.runner import Outcome, Runner, Tell


class Turns:
    """``is_ready``: may events of the agent run, and not only what an earlier guardian owes?

    ``tell`` passes ``settled`` on, ``complain`` is for the operator.
    """

    def __init__(
        self, runner: Runner, custody: Custody, tell: Tell, complain: Callable[[str], None]
    ) -> None:
        self.is_ready = False
        self._queue = Queue()
        self._runner = runner
        self._custody = custody
        self._tell = tell
        self._complain = complain

    @property
    def is_idle(self) -> bool:
        """Does no hook run, and none wait?"""
        return self._runner.item is None and not self._queue.waiting

    def owes_role(self) -> bool:
        """Does the hook of a role run, or wait?"""
        running = self._runner.item
        if running is not None and running.event in ("leader", "follower"):
            return True
        return self._queue.has_role()

    def next_at(self, now: int) -> int | None:
        """When there is something to do without any news."""
        due = (self._runner.next_at(), self._queue.next_at(now))
        return min((at for at in due if at is not None), default=None)

    def push(self, item: Item, urgent: bool = False) -> None:
        """``item`` waits for its turn; ``urgent``: before all others."""
        self._queue.push(item, urgent)

    def lose_leader(self) -> None:
        """The role is lost: a running on_leader is ended by whoever ends the job."""
        if self._runner.item is not None and self._runner.item.event == "leader":
            self._runner.lose()

    def run(self, hooks: Hooks | None, now: int) -> None:
        """Hooks that have ended, and those that come next, until one runs or none is left."""
        while True:
            outcome = self._runner.step(now)
            if outcome is not None:
                self._take_outcome(outcome)
            if self._runner.item is not None or not self._start_next(hooks, now):
                return

    def settle(self, change: int, event: str, ok: bool) -> None:
        """Everything has ended that this event has set off."""
        self._tell("settled", change=change, event=event, ok=ok)

    def _start_next(self, hooks: Hooks | None, now: int) -> bool:
        item = self._queue.peek(now)
        if item is None or hooks is None or self._custody.is_ending:
            return False
        if not (self.is_ready or item.replay):
            return False
        if item.event == "leader" and not self._begin_job(item):
            return False
        self._queue.start(item)
        if item.event != "follower":
            self._settle_absorbed(item)
        self._runner.start(item, hooks, self._custody.job is not None, now)
        self._custody.look_again()
        return True

    def _begin_job(self, item: Item) -> bool:
        """Everything that must be so before an on_leader starts."""
        if not self._custody.lease.holds(clock.now()):
            return False  # noticed as a loss in the next round
        if fault := self._custody.begin(item):
            self._complain(f"on_leader is not started: {fault}")
            self._queue.start(item)
            self._take_outcome(Outcome(item, False))
        return not fault

    def _take_outcome(self, outcome: Outcome) -> None:
        item = outcome.item
        self._custody.look_again()
        if item.event == "leader":
            self._custody.leader_ended()
            if outcome.ok:
                self._custody.lead()
        if outcome.again:
            self._queue.put_back(item)
            return
        if item.event == "follower":
            self._custody.follower_ended()
        item.finished = True
        self._settle_absorbed(item)
        if not item.replay:
            self.settle(item.change, item.event, outcome.ok)

    def _settle_absorbed(self, item: Item) -> None:
        absorbed, item.absorbed = item.absorbed, []
        for change, event in absorbed:
            self.settle(change, event, True)
