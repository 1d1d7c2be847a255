"""What is remembered of another member, and of an address at which nobody has answered yet."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from followtheleader.core.replay import ReplayWindow
from followtheleader.core.types import (
    MS,
    NANOSECONDS,
    NO_VERSION,
    Address,
    Instant,
    Owner,
    Span,
)

KEEPALIVE: Span = 20 * NANOSECONDS
"""Silence after which a member gets HELLO."""
FIRST_PAUSE: Span = 100 * MS
ANSWER_EVERY: Span = 50 * MS
"""CHALLENGE, and a newer word of a pause, answer one peer at most so often: two would answer each
other for ever, and a thawed node hears all that it has missed at once."""
ALIVE_FOR: Span = 45 * NANOSECONDS
"""Heard within this time (two keepalives and some): expected to answer a PREPARE."""
ADDRESSES_EACH = 4


@dataclass(slots=True)
class Peer:
    """Another member whose incarnation has answered a nonce."""

    owner: Owner
    name: str
    priority: int
    witness: bool
    versions: tuple[int, int]
    version: int
    """The highest version in common; `NO_VERSION`: it is greeted, and nothing else is said."""
    quorum: bool
    same_voters: bool
    same_timing: bool
    addresses: list[Address]
    heard_at: Instant
    verified_at: Instant
    window: ReplayWindow = field(default_factory=ReplayWindow)
    left: bool = False
    """It said goodbye: not a member until heard again."""
    expected: bool = True
    """False after its RELEASE, or after its lock ran out: nobody waits for its promise."""
    hello_at: Instant = 0
    pause: Span = 0
    challenged_at: Instant = -ANSWER_EVERY
    corrected_at: Instant = -ANSWER_EVERY
    """When it was told of a pause, or of its end, for it said what is outdated."""
    earlier: list[int] = field(default_factory=list)
    """Its incarnations before this one, the last first."""
    doubled_at: Instant = 0
    """When to say again that two nodes have this identity."""
    leads_others_at: Instant = 0
    """When to say again that it leads by other voters."""
    outnamed: bool = False
    """A newer member has its name: if it is heard after that, the two live at once."""
    namesake: bool = False
    twin: bool = False
    """A voter whose name, or whose identity, another live node has; see `Doubles`."""

    @property
    def contested(self) -> bool:
        """Two live nodes are this voter."""
        return self.namesake or self.twin

    @property
    def compatible(self) -> bool:
        """It elects together with this node: they have a version and the voters in common, and
        there is one of it."""
        return self.version != NO_VERSION and self.same_voters and not self.contested

    @property
    def address(self) -> Address:
        """Where it was heard last."""
        return self.addresses[0]

    def heard(self, source: Address, priority: int, now: Instant) -> bool:
        """Note a sign of life; return whether it came back, or speaks from a new address."""
        returned, self.left = self.left, False
        self.expected = True
        self.priority = priority
        self.heard_at = now
        self.pause = 0
        self.hello_at = now + KEEPALIVE
        if self.addresses[0] == source:
            return returned
        known = source in self.addresses
        rest = [a for a in self.addresses if a != source]
        self.addresses = [source, *rest][:ADDRESSES_EACH]
        return returned or not known


@dataclass(slots=True)
class Seed:
    """An address at which nobody has answered yet."""

    try_at: Instant
    pause: Span = FIRST_PAUSE
    tries: int = 0
    configured: bool = False


def digest(words: Iterable[object]) -> int:
    """Return 64 bits that are equal for equal words: to compare configurations."""
    text = "\0".join(str(word) for word in words)
    return int.from_bytes(hashlib.blake2s(text.encode(), digest_size=8).digest(), "big")
