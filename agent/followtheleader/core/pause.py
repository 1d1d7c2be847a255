"""What is known of a pause: a time of maintenance in which the roles stay as they are.

Promise: while a pause is on, only one member may claim, the one that led last, and only it is
promised anything: its agent or host may be restarted in peace, and nobody takes over from it. An
operator who moves the leadership moves that right along. A pause ends by itself.

Every command has a number above all that were known where it was given; the highest counts, and of
equal ones that of the greater author. So an old PAUSE that comes late changes nothing. What travels
is the time that remains, never an instant; of two that tell different ends of the same pause the
earlier counts: the first clock to end it ends it for all.

Nothing rests on this but who may try. Whom a quorum group lets lead is decided by locks and leases.
"""

from __future__ import annotations

from enum import Enum, auto

from followtheleader.core.messages import Notice, Pause
from followtheleader.core.types import NANOSECONDS, Instant, NodeId, Span, Term

MAX_PAUSE: Span = 86_400 * NANOSECONDS
MAX_NUMBER = 2**32 - 1
"""No further command is possible then; each costs a number."""
NOBODY: NodeId = 0


class Heard(Enum):
    """What somebody's word about a pause is to us."""

    NEWS = auto()
    KNOWN = auto()
    OUTDATED = auto()


class Pauses:
    """The newest command, when what it began ends, and who led last.

    ``number`` 0: none was ever given. ``author`` gave it. ``until`` 0: nothing is paused.
    """

    def __init__(self) -> None:
        self.number = 0
        self.author: NodeId = NOBODY
        self.until: Instant = 0
        self.holder: NodeId = NOBODY
        self._term: Term = 0

    # -- questions

    def is_on(self, now: Instant) -> bool:
        """Is the group paused, as far as we know?"""
        return now < self.until

    def allows(self, node: NodeId, now: Instant) -> bool:
        """May ``node`` claim, and be promised something?"""
        return now >= self.until or node == self.holder

    def notice(self, now: Instant) -> Notice | None:
        """Return what to tell of it; None: there is nothing to tell."""
        if not self.number:
            return None
        return Notice(self.number, self.author, max(self.until - now, 0))

    def said(self, now: Instant) -> Pause | None:
        """Return the same, and who led last."""
        notice = self.notice(now)
        return Pause(notice, self.holder, self._term) if notice is not None else None

    # -- what happens

    def command(self, author: NodeId, span: Span, now: Instant) -> bool:
        """Pause for ``span`` from now on (0: no more), by a new number; False: none is left."""
        if self.number >= MAX_NUMBER:
            return False
        self.number, self.author = self.number + 1, author
        self.until = now + span if span else 0
        return True

    def hear(self, notice: Notice | None, now: Instant) -> Heard:
        """Take over what is newer, and the earlier end of what is known."""
        theirs = (notice.number, notice.author) if notice is not None else (0, NOBODY)
        ours = (self.number, self.author)
        if theirs < ours:
            return Heard.OUTDATED
        if notice is None:
            return Heard.KNOWN
        until = now + notice.remaining if notice.remaining else 0
        was_on = self.is_on(now)
        if theirs > ours:
            self.number, self.author, self.until = *theirs, until
            return Heard.NEWS if was_on or until else Heard.KNOWN
        if until and not was_on:
            return Heard.OUTDATED
        self.until = min(self.until, until)
        return Heard.NEWS if was_on and not until else Heard.KNOWN

    def follow(self, leader: NodeId, term: Term) -> None:
        """This is who leads, we ourselves or whom we follow."""
        self.holder, self._term = leader, term

    def pass_on(self, leader: NodeId, successor: NodeId, term: Term) -> None:
        """``leader`` gave up naming a successor: if it led last, the right to lead is passed on."""
        if successor != NOBODY and leader == self.holder and term >= self._term:
            self.holder, self._term = successor, term

    def believe(self, holder: NodeId, term: Term) -> None:
        """A member says who led last; whoever knows the highest term knows best."""
        if holder != NOBODY and term > self._term:
            self.holder, self._term = holder, term
