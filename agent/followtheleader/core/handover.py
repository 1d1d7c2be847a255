"""Leadership that moves without a fault: an operator's switchover, a better node that preempts.

Promise: a leader hands over only to a member that hears it, may lead, and can claim at once; and as
in every stop on purpose, its job ends before it says so. Who asks has no right to it: a request
that the leader finds wrong changes nothing.

A node that is better than its leader waits for ``preempt_delay`` of undisturbed following, so that
one which comes and goes does not take the leadership along each time. One that asked, and then
could not lead for at least a minute, waits twice as long each time, up to a minute.
"""

from __future__ import annotations

from dataclasses import dataclass

from followtheleader.core.context import Context
from followtheleader.core.messages import Handover
from followtheleader.core.peers import Peer
from followtheleader.core.proposer import Proposer
from followtheleader.core.succession import can_succeed
from followtheleader.core.types import Instant, NodeId, Owner, Reason, Span

MOST_BACK_OFF = 6


@dataclass(slots=True)
class Wish:
    """A handover that was asked for and cannot be done yet: the heir may answer in a moment."""

    target: NodeId
    reason: Reason
    until: Instant


class Handovers:
    """Asks for the leadership, and gives it away.

    ``ask_at``: when to ask for it; ``retry_at``: when to try again to give it away. None: never.
    """

    def __init__(self, context: Context, proposer: Proposer) -> None:
        self._c = context
        self._proposer = proposer
        self._followed: Owner | None = None
        self._better_since: Instant = 0
        self._asked_at: Instant | None = None
        self._in_vain = 0
        self._wish: Wish | None = None
        self.ask_at: Instant | None = None
        self.retry_at: Instant | None = None

    # -- an operator asks

    def request(self, target: NodeId) -> None:
        """Move the leadership to ``target`` (0: to whoever is best), wherever it is now."""
        c = self._c
        if self._proposer.leading:
            self._give(target, Reason.HANDED_OVER)
            return
        followed = c.roles.leader
        leader = c.membership.peers.get(followed.owner.id) if followed is not None else None
        if leader is None or followed is None or leader.owner != followed.owner:
            c.out.note("handover-refused", "no leader is heard that could be asked")
        else:
            c.out.send(Handover(target, preempts=False), leader)

    # -- a better node asks

    def watch(self) -> None:
        """A leader is followed, or none any more: the delay begins with each leader anew."""
        leader = self._leader()
        owner = leader.owner if leader is not None else None
        if owner != self._followed:
            if owner is not None:
                self._judge()
            self._followed = owner
            self.begin_delay()

    def _judge(self) -> None:
        """A leader gave way to us. Who then could not lead, or not for long, waits longer next.

        Else one that is not heard by enough others would unsettle all of them again and again.
        """
        asked_at, self._asked_at = self._asked_at, None
        if asked_at is not None:
            now, led_at = self._c.out.now, self._proposer.led_at
            held = led_at >= asked_at and now - led_at >= self._longest()
            self._in_vain = 0 if held else self._in_vain + 1

    def _longest(self) -> Span:
        return self._c.node.timing.preempt_back_off << MOST_BACK_OFF

    def _delay(self) -> Span | None:
        delay = self._c.node.preempt_delay
        if delay is None or not self._in_vain:
            return delay
        return delay + (self._c.node.timing.preempt_back_off << min(self._in_vain, MOST_BACK_OFF))

    def begin_delay(self) -> None:
        """Count the delay from now on."""
        now, delay = self._c.out.now, self._delay()
        self._better_since = now
        self.ask_at = now + delay if delay is not None and self._followed is not None else None

    def wake(self) -> None:
        """Do what is due: give, or ask (and again until the leader has heard it)."""
        self._try_again()
        c, delay = self._c, self._delay()
        if self.ask_at is None or delay is None or c.out.now < self.ask_at:
            return
        self.ask_at = c.out.now + c.node.timing.patience
        leader = self._leader()
        if leader is None or leader.priority >= c.node.priority:
            self._better_since = c.out.now  # its priority may change while it leads
        elif c.out.now - self._better_since >= delay and self._is_fit():
            self._asked_at = c.out.now
            c.out.send(Handover(c.node.owner.id, preempts=True), leader)

    def _is_fit(self) -> bool:
        c = self._c
        return (
            c.node.may_lead
            and self._proposer.idle
            and c.agenda.may_ask
            and c.disk.may_vote
            and not c.roles.owes
            and not c.pauses.is_on(c.out.now)
        )

    def _leader(self) -> Peer | None:
        """The leader that we are locked on and hear ourselves."""
        c = self._c
        lock = c.acceptor.foreign(c.out.now)
        if lock is None or not (lock.direct and lock.established):
            return None
        peer = c.membership.peers.get(lock.owner.id)
        return peer if peer is not None and peer.owner == lock.owner else None

    # -- the leader answers

    def on_handover(self, peer: Peer, asked: Handover) -> None:
        """Somebody wants the leadership to move."""
        if not self._proposer.leading:
            return
        if not asked.preempts:
            self._give(asked.target, Reason.HANDED_OVER)
        elif self._c.pauses.is_on(self._c.out.now):
            pass  # the roles stay
        elif asked.target == peer.owner.id and peer.priority > self._c.node.priority:
            self._give(asked.target, Reason.PREEMPTED)

    def _give(self, target: NodeId, reason: Reason) -> None:
        c = self._c
        if target == c.node.owner.id:
            return  # it leads already
        self._wish = Wish(target, reason, c.out.now + c.node.timing.patience)
        self.retry_at = c.out.now
        self._try_again()

    def _try_again(self) -> None:
        """Give it away if the heir can take it; who has just begun to lead has not heard all."""
        c, wish = self._c, self._wish
        if wish is None or self.retry_at is None or c.out.now < self.retry_at:
            return
        self.retry_at = c.out.now + c.node.timing.claim_wait
        members = c.membership.members(c.out.now) if self._proposer.leading else ()
        heirs = [p for p in members if wish.target in (0, p.owner.id)]
        if any(can_succeed(c, self._proposer.held, peer) for peer in heirs):
            self._forget_wish()
            self._proposer.step_down(wish.reason, successor=wish.target)
        elif not self._proposer.leading or c.out.now >= wish.until:
            self._forget_wish()
            who = "nobody" if wish.target == 0 else f"member {wish.target:016x}"
            c.out.note(
                "handover-refused",
                f"not handed over to {who}: whoever is to lead must be heard and have a priority",
            )

    def _forget_wish(self) -> None:
        self._wish = self.retry_at = None
