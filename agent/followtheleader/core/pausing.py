"""Pausing the group, and what a node does about a pause that it hears of.

Promise: who may not claim any more gives its claim up at once; when a pause is over, whoever
follows nobody plans an election. A leader leads on, as long as its lease holds.

A command is told to all members four times, one H apart; from then on the leader's heartbeats and
every HELLO carry it, and who says something older is answered with it. Whoever has only just begun
must not command: it does not know the numbers yet.
"""

from __future__ import annotations

from followtheleader.core.actions import PauseChanged
from followtheleader.core.context import Context
from followtheleader.core.messages import Notice, Pause, Release
from followtheleader.core.pause import MAX_PAUSE, Heard
from followtheleader.core.peers import ANSWER_EVERY, Peer
from followtheleader.core.proposer import Proposer
from followtheleader.core.types import Instant, Owner, Span

TIMES_TOLD = 4


class Pausing:
    """Commands here, and words from elsewhere. ``tell_at``: when to tell it again; None: never."""

    def __init__(self, context: Context, proposer: Proposer) -> None:
        self._c = context
        self._proposer = proposer
        self._to_tell = 0
        self.tell_at: Instant | None = None

    # -- the operator's word

    def request(self, span: Span) -> None:
        """Pause the group for ``span``; 0: resume."""
        c = self._c
        if not c.pauses.command(c.node.owner.id, min(span, MAX_PAUSE), c.out.now):
            c.out.note("pause-refused", "no number is left: restart every agent of the group")
            return
        self._to_tell = TIMES_TOLD
        self._tell()
        self._changed()

    def _tell(self) -> None:
        c = self._c
        self._to_tell -= 1
        again = self._to_tell > 0
        self.tell_at = c.out.now + c.node.timing.heartbeat if again else None
        said = c.pauses.said(c.out.now)
        if said is not None:
            c.out.broadcast(said, c.membership.members(c.out.now))

    # -- others' words

    def on_pause(self, peer: Peer, pause: Pause) -> None:
        """A member tells of a pause, and who led last."""
        c = self._c
        if c.roles.leader is None:  # else we know it ourselves
            c.pauses.believe(pause.holder, pause.term)
        self.compare(peer, pause.notice)
        if c.pauses.is_on(c.out.now):
            self._heed()

    def on_release(self, leader: Owner, release: Release) -> None:
        """Whom a leader names may lead in a pause, and nobody else may any more."""
        c = self._c
        c.pauses.pass_on(leader.id, release.successor, release.term)
        if c.pauses.is_on(c.out.now):
            self._heed()

    def compare(self, peer: Peer, notice: Notice | None) -> None:
        """Learn what a member knows (None: of no command), or tell it what it does not know."""
        c = self._c
        match c.pauses.hear(notice, c.out.now):
            case Heard.NEWS:
                self._changed()
            case Heard.OUTDATED:
                self.answer(peer)
            case Heard.KNOWN:
                pass

    def answer(self, peer: Peer) -> None:
        """Tell a member what it does not know, or does not act by."""
        now = self._c.out.now
        said = self._c.pauses.said(now)
        if said is not None and now - peer.corrected_at >= ANSWER_EVERY:
            peer.corrected_at = now
            self._c.out.send(said, peer)

    # -- time, and what follows from it

    def expire(self) -> None:
        """The pause has run out."""
        c = self._c
        if c.pauses.until and c.out.now >= c.pauses.until:
            c.pauses.until = 0
            self._changed(by_time=True)

    def wake(self) -> None:
        """Tell it again, if that is due."""
        if self.tell_at is not None and self._c.out.now >= self.tell_at:
            self._tell()

    def _changed(self, *, by_time: bool = False) -> None:
        c = self._c
        left = max(c.pauses.until - c.out.now, 0)
        c.out.add(PauseChanged(left, c.pauses.author, by_time))
        self._heed()

    def _heed(self) -> None:
        """Who may not claim gives its claim up; who may (again) and follows nobody does so soon."""
        c = self._c
        if not c.pauses.allows(c.node.owner.id, c.out.now):
            self._proposer.withdraw(0)
            return
        if (
            c.agenda.election_at is None
            and self._proposer.idle
            and c.acceptor.lock(c.out.now) is None
        ):
            hint = max((c.agenda.hint_until or 0) - c.out.now, 0)
            c.agenda.elect_after(hint + c.agenda.skew())
