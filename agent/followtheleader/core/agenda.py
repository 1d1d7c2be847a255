"""When the next election is due: every reason to wait for it is known here."""

from __future__ import annotations

import random

from followtheleader.core.node import Memory, Node
from followtheleader.core.outbox import Outbox
from followtheleader.core.types import MS, NANOSECONDS, Instant, Span

DOUBT_FOR = 10
"""After a late timer: patient for this many A."""
LONGEST_SEARCH: Span = 10 * NANOSECONDS
"""From the start, the most that is waited for mDNS to ask its first question."""


class Agenda:
    """When this node may speak, and when it will claim next.

    ``election_at`` None: no claim is planned. ``hint_until``: how long to believe in a leader that
    was heard in quarantine, and is not locked. ``defers``: a better candidate will be waited for.
    ``listening_until``: only just begun, so that it is not known what the others know.
    ``searches``: mDNS has not asked for them yet.
    """

    def __init__(self, node: Node, memory: Memory, rng: random.Random, out: Outbox) -> None:
        self._node = node
        self._rng = rng
        self._out = out
        self.started_at = out.now
        self.quarantine_until = out.now + _quarantine(node, memory, out.now)
        self.sit_out_until = out.now
        self.stopping = False
        self.link_up = True
        self.election_at: Instant | None = None
        self.hint_until: Instant | None = None
        self.defers = True
        self._awaits = False
        self.searches = False
        self._usual_until = self._patient_until = out.now
        self._doubt_until = out.now
        self.listening_until = out.now

    @property
    def silent(self) -> bool:
        """In quarantine nothing is promised or acknowledged."""
        return self._out.now < self.quarantine_until

    @property
    def may_ask(self) -> bool:
        """May this node ask for the leadership now?"""
        may_speak = self.link_up and not (self.stopping or self.silent)
        return may_speak and self._out.now >= self.sit_out_until

    def skew(self) -> Span:
        """Return a random span below SK, so that two nodes seldom claim at once."""
        return self._rng.randrange(max(self._node.timing.skew, 1))

    def listen(self, patience: Span = 0, *, searches: bool = False) -> None:
        """Begin (again): first hear who is there, for ``patience`` if nobody answers.

        ``searches``: nobody may be heard before `search_begun`.
        """
        usual = self._node.timing.listening
        self.started_at = self._out.now
        self._awaits = patience > usual
        self.searches = searches
        self._usual_until = self._out.now + (max(usual, LONGEST_SEARCH) if searches else usual)
        self._patient_until = self._out.now + patience
        self.listening_until = max(self._usual_until, self._patient_until)
        self.elect_after(self.listening_until - self._out.now + self.skew())

    def search_begun(self) -> None:
        """The others have been asked for, and need time to answer.

        As long as it took to ask, or half of S: on a starved machine asking took its time (the
        library alone is half a second of CPU there), and so will the answers.
        """
        if not self.searches:
            return
        self.searches = False
        now, usual = self._out.now, self._node.timing.listening
        answers = max(usual // 2, now - self.started_at)
        self._usual_until = max(self.started_at + usual, now + answers)
        if now >= self.listening_until:
            return  # a leader was heard
        patient_until = self._patient_until if self._awaits else now
        self._listen_until(max(self._usual_until, patient_until))

    def change_patience(self, patience: Span) -> None:
        """Wait longer or shorter than was said, if nobody was heard yet."""
        if self._awaits and self.election_at is not None:
            self._patient_until = self.started_at + patience
            self._listen_until(max(self._usual_until, self._patient_until))

    def hear_somebody(self) -> None:
        """A member answers: whoever else is up will be heard within the usual time."""
        if self._awaits:
            self._awaits = False
            self._listen_until(self._usual_until)

    def _listen_until(self, end: Instant) -> None:
        self.listening_until = max(end, self._out.now)
        if self.election_at is not None:
            self.elect_after(self.listening_until - self._out.now + self.skew())

    def hear_leader(self) -> None:
        """A leader was heard: there is no election to plan, and nothing left to listen for."""
        self.election_at = self.hint_until = None
        self.listening_until = self._out.now

    def hear_hint(self, span: Span) -> None:
        """A leader was heard, though not locked: no election unless it is silent for ``span``."""
        self.listening_until = self._out.now
        self.hint_until = self._out.now + span
        if self.election_at is not None:
            self.elect_after(span + self.skew())

    def elect_after(self, delay: Span) -> None:
        """Plan a claim, not before every reason to wait has passed."""
        if not self._node.may_lead or self.stopping:
            return
        planned = self._out.now + delay
        earliest = max(self.sit_out_until, self.quarantine_until, self.listening_until)
        # What ends for several nodes at once must not make them claim at once.
        self.election_at = planned if planned > earliest else earliest + self.skew()

    def elect_after_silence(self) -> None:
        """Plan a claim as a leader fell silent: later, if it may be ourselves who are deaf."""
        doubt = self._node.timing.heartbeat if self._out.now < self._doubt_until else 0
        self.elect_after(self.skew() + doubt)

    def sit_out(self, span: Span) -> None:
        """Do not claim for ``span``."""
        self.sit_out_until = max(self.sit_out_until, self._out.now + span)
        if self.election_at is not None:
            self.election_at = max(self.election_at, self.sit_out_until)

    def doubt(self, late: Span) -> bool:
        """We were ``late``, so others may seem silent who are not (after Lifeguard).

        Patience is extended once; return whether it was. Who is late all the time goes on.
        """
        now, timing = self._out.now, self._node.timing
        if now < self._doubt_until:
            return False
        if self.election_at is not None:
            forgiven = min(late, timing.patience)
            self.election_at = max(self.election_at, now + self.skew() + forgiven)
        self._out.note("late", f"this process ran {late // MS} ms late")
        self._doubt_until = now + DOUBT_FOR * timing.patience
        return True


def _quarantine(node: Node, memory: Memory, now: Instant) -> Span:
    """How long a restarted voter is silent: as long as a lock that it forgot may live."""
    if not node.quorum:
        return 0
    longest = max(node.timing.lock, memory.max_lock)
    if memory.clean_until is None:
        return longest
    # A clean stop in this very boot left the end of its last lock.
    return min(max(memory.clean_until - now, 0), longest)
