"""The election: who leads, decided from events and the clock we are handed.

Rule 1: `Election.step` is the only way in, and its list of actions the only way out.
Rule 2: nothing here sends, sleeps, logs, or asks what time it is.
Rule 3: deadlines come first. Every step, whatever its event, begins by asking what has run out.

A node is proposer, acceptor and learner at once. This file hands each event to where it belongs and
knows what time brings; claiming and leading are in `followtheleader.core.proposer`, whom we believe
in `followtheleader.core.acceptor`, what others say in `followtheleader.core.learner`, other leaders
of an open group in `followtheleader.core.meeting`. Start with the essay in `followtheleader.core`.
"""

from __future__ import annotations

import random
from typing import assert_never

from followtheleader.core.acceptor import FOREVER
from followtheleader.core.actions import Action
from followtheleader.core.context import Context
from followtheleader.core.events import (
    AddressDropped,
    AddressFound,
    Event,
    HandoverRequested,
    IdentityTaken,
    KeysChanged,
    LinkChanged,
    PauseRequested,
    Received,
    Retuned,
    SearchBegun,
    Settled,
    Started,
    StepDownRequested,
    StopRequested,
    Stored,
    StoreFailed,
    Woken,
)
from followtheleader.core.handover import Handovers
from followtheleader.core.learner import Learner
from followtheleader.core.meeting import Meeting
from followtheleader.core.messages import Ack
from followtheleader.core.node import Memory, Node
from followtheleader.core.pausing import Pausing
from followtheleader.core.proposer import Proposer
from followtheleader.core.snapshot import take_snapshot
from followtheleader.core.types import Instant, NodeId, Reason, Span
from followtheleader.core.view import View


class Election:
    """One node's part in one election; see `step`, `next_deadline` and `view`."""

    def __init__(
        self,
        node: Node,
        memory: Memory,
        rng: random.Random,
        now: Instant,
        job_running: bool = False,
        *,
        may_restart: bool = True,
    ) -> None:
        """``job_running``: of an earlier life; ``may_restart``: take a later life of ours that is
        known for an earlier one with a better clock (`Restart`), and not for a clone's."""
        self.node = node
        self._c = Context.create(node, memory, rng, now, job_running=job_running)
        self._proposer = Proposer(self._c)
        self._meeting = Meeting(self._c, self._proposer)
        self._handovers = Handovers(self._c, self._proposer)
        self._pausing = Pausing(self._c, self._proposer)
        self._learner = Learner(
            self._c,
            self._proposer,
            self._meeting,
            self._handovers,
            self._pausing,
            may_restart=may_restart,
        )
        self._due: Instant = FOREVER

    # -- the only way in

    def step(self, event: Event, now: Instant) -> list[Action]:
        """Fold one event into the state; return what must be done, in order."""
        c, due = self._c, self._due
        c.out.begin(now)
        if self._proposer.stopped:
            return c.out.actions  # to speak now would be to come back
        if now >= due:
            # After a write it is the disk that was slow, and the claim's time begins anew.
            slow_disk = isinstance(event, Stored | StoreFailed)
            if now - due > self.node.timing.heartbeat and not slow_disk:
                self._doubt(now - due)
            self._pass_deadlines()
        match event:
            case Received():
                self._learner.on_received(event)
            case Woken():
                self._on_woken(event)
            case Started():
                self._on_started(event)
            case SearchBegun():
                c.agenda.search_begun()
            case AddressFound():
                c.membership.suggest(event.address, now, configured=event.configured)
            case AddressDropped():
                c.membership.drop(event.address)
            case Retuned():
                self._on_retuned(event)
            case Settled():
                if c.roles.settle(event.change):
                    self._proposer.settled()
            case Stored():
                self._proposer.spoken_late(event.took)
            case StoreFailed():
                c.disk.failed()
                if self.node.quorum:
                    self._proposer.disk_failed()
            case StepDownRequested():
                c.agenda.sit_out(event.sit_out)
                self._proposer.step_down(Reason.STEPPED_DOWN, event.sit_out)
            case IdentityTaken():
                self._learner.yield_identity()
            case HandoverRequested():
                self._handovers.request(event.target)
            case PauseRequested():
                self._pausing.request(event.span)
            case LinkChanged():
                self._on_link(event.up, event.moved)
            case KeysChanged():
                if event.strict:
                    c.membership.forget_what_anybody_said(now)
                c.membership.greet(now, c.out.actions)  # whoever was not understood may be now
            case StopRequested():
                self._on_stop()
            case _:
                assert_never(event)
        only_acked = isinstance(event, Received) and isinstance(event.message, Ack)
        self._proposer.keep_will(only_acked=only_acked)
        self._due = FOREVER if self._proposer.stopped else self._soonest()
        return c.out.actions

    def next_deadline(self) -> Instant | None:
        """Return the instant at which `Woken` must be handed in; None: nothing is due ever."""
        return self._due if self._due < FOREVER else None

    def leads_in_pause(self, now: Instant) -> NodeId | None:
        """Return who alone may claim now (0: nobody); None: the group is not paused."""
        return self._c.pauses.holder if self._c.pauses.is_on(now) else None

    def leads_until(self, now: Instant) -> Instant | None:
        """Return the end of the lease under which this node leads; None if it does not."""
        proposer = self._proposer
        if proposer.leading and now < proposer.held.deadline:
            return proposer.held.deadline
        return None

    def view(self, now: Instant) -> View:
        """Return a snapshot for people, files and the simulator."""
        return take_snapshot(self._c, self._proposer, now)

    # -- time

    def _soonest(self) -> Instant:
        c = self._c
        return min(
            c.acceptor.next_deadline(),
            c.membership.sweep_at or FOREVER,
            c.agenda.election_at or FOREVER,
            c.agenda.hint_until or FOREVER,
            self._meeting.ask_at or FOREVER,
            self._handovers.ask_at or FOREVER,
            self._handovers.retry_at or FOREVER,
            self._pausing.tell_at or FOREVER,
            c.pauses.until or FOREVER,
            self._proposer.next_deadline(),
        )

    def _pass_deadlines(self) -> None:
        c = self._c
        self._proposer.pass_deadline()
        expired = c.acceptor.expire(c.out.now)
        if expired is not None and expired.owner != self.node.owner:
            c.membership.resigned(expired.owner)
            self._learner.lock_lost(expired, Reason.EXPIRED)
            # Never in the same callback: what was buffered may renew it.
            c.agenda.elect_after_silence()
        if _is_due(c.agenda.hint_until, c.out.now):
            self._learner.lose_leader(Reason.EXPIRED)
        self._pausing.expire()

    def _on_started(self, event: Started) -> None:
        c = self._c
        # In a quorum group nobody leads alone, whatever is not known yet.
        searches = event.searches and not self.node.quorum
        c.agenda.listen(self.node.start_patience if event.remembers else 0, searches=searches)
        c.membership.greet(c.out.now, c.out.actions)

    def _doubt(self, late: Span) -> None:
        """Something was due long ago, whatever comes first now: what was buffered, or the timer."""
        c = self._c
        if c.agenda.doubt(late):
            claim = self._proposer.claim
            if claim is not None and c.out.now >= claim.until:
                self._proposer.withdraw(c.agenda.skew())

    def _on_woken(self, event: Woken) -> None:
        c = self._c
        now = c.out.now
        if _is_due(c.membership.sweep_at, now):
            c.membership.sweep(now, c.out.actions)
        self._proposer.wake()
        self._meeting.wake()
        self._handovers.wake()
        self._pausing.wake()
        if _is_due(c.agenda.election_at, now):
            self._elect(event.wall_ms)

    def _elect(self, wall_ms: int) -> None:
        c = self._c
        c.agenda.election_at = None
        if c.membership.doubles.is_own(c.out.now):
            c.agenda.elect_after(self.node.timing.patience + c.agenda.skew())
            return
        if not self._proposer.may_claim():
            return  # whatever stands in the way plans the next election when it goes
        pledge = c.acceptor.pledge(c.out.now)
        if pledge is not None and pledge.owner != self.node.owner:
            c.agenda.elect_after(pledge.until - c.out.now + c.agenda.skew())
        elif self._should_defer():
            c.agenda.elect_after(self.node.timing.claim_wait + c.agenda.skew())
        else:
            self._proposer.begin_claim(wall_ms)

    def _should_defer(self) -> bool:
        """Is a better candidate there? It may claim first; but it is waited for only once."""
        agenda = self._c.agenda
        defers, agenda.defers = agenda.defers, False
        if self._c.pauses.is_on(self._c.out.now):
            return False  # nobody else may claim
        expected = self._c.membership.expected(self._c.out.now)
        return defers and any(
            peer.priority > self.node.priority
            and not peer.witness
            and (not self.node.quorum or peer.name in self.node.voters)
            for peer in (self._c.membership.peers[node] for node in expected)
        )

    def _on_stop(self) -> None:
        agenda, proposer = self._c.agenda, self._proposer
        if agenda.stopping:
            return
        agenda.stopping = True
        agenda.election_at = None
        proposer.step_down(Reason.STOPPED)
        proposer.leave()

    def _on_retuned(self, event: Retuned) -> None:
        """The role stays, unless this node may not lead any more."""
        c, node = self._c, self.node
        before, could = (node.priority, node.preempt_delay), node.may_lead
        node.priority, node.preempt_delay = event.priority, event.preempt_delay
        node.start_patience = event.start_patience
        c.agenda.change_patience(event.start_patience)
        if (node.priority, node.preempt_delay) != before:
            self._handovers.begin_delay()
        if c.agenda.stopping or node.priority == before[0]:
            return
        c.membership.greet(c.out.now, c.out.actions)  # whoever chooses among us needs to know
        if not node.may_lead:
            c.agenda.election_at = None
            self._proposer.step_down(Reason.STEPPED_DOWN)
        elif not could and self._proposer.idle and c.acceptor.lock(c.out.now) is None:
            hint = max((c.agenda.hint_until or 0) - c.out.now, 0)
            c.agenda.elect_after(hint + c.agenda.skew())

    def _on_link(self, up: bool, moved: bool) -> None:
        """No carrier: nobody can hear us, so we do not lead (VRRP's fault). Then listen anew."""
        c = self._c
        if up == c.agenda.link_up:
            if up and moved:
                # Or a leader would speak to where we were, until our lock has run out.
                c.membership.greet(c.out.now, c.out.actions)
            return
        c.agenda.link_up = up
        if not up:
            self._proposer.step_down(Reason.FAULT)
            c.agenda.election_at = None
        else:
            c.agenda.listen(searches=c.agenda.searches)
            c.membership.greet(c.out.now, c.out.actions)


def _is_due(at: Instant | None, now: Instant) -> bool:
    return at is not None and at <= now
