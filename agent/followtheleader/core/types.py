"""The words of the election as types: instants, names of members, ranks.

All instants are CLOCK_BOOTTIME in integer nanoseconds, all spans integer nanoseconds. Nothing here
decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple, TypeVar, dataclass_transform

Instant = int
"""CLOCK_BOOTTIME in nanoseconds (MONOTONIC stops while the host is suspended)."""
Span = int
"""A length of time in nanoseconds."""
NodeId = int
"""64 bits; blake2s of machine id, node name and service. 0 is nobody (as a receiver: anybody)."""
Term = int
"""An election's number. A term is spoken by one owner only, and never used twice by it."""
Nonce = int
"""64 random bits that an answer must carry back; 0 is none."""
Address = tuple[str, int]
"""Where a member can be reached: a literal IP address and a UDP port."""

NANOSECONDS = 1_000_000_000
MS = 1_000_000

ANYBODY: NodeId = 0
NO_NONCE: Nonce = 0
MAX_TERM: Term = 2**62
"""No term, sequence number or incarnation above this is accepted: nobody can use numbers up."""

VERSIONS: tuple[int, int] = (1, 1)
"""The lowest and the highest version of the protocol that this build speaks."""
GREETING_VERSION = 1
"""HELLO is written in this version for ever: any two builds can tell each other what they speak."""
NO_VERSION = 0
"""What two builds have in common that cannot talk to each other."""

MAX_INCARNATION = 2**54
"""Incarnations begin at the wall clock in microseconds: what claims to be from beyond the year 2500
is damaged or forged."""


_Class = TypeVar("_Class")


@dataclass_transform(frozen_default=True)
def value(cls: type[_Class]) -> type[_Class]:
    """Make ``cls`` a dataclass whose objects are never changed.

    The type checker forbids it, as for a frozen dataclass. At run time they are plain: a frozen one
    takes several times as long to make, and every heartbeat makes six.
    """
    return dataclass(slots=True, unsafe_hash=True)(cls)


class Owner(NamedTuple):
    """Who may hold locks: a node *and* one of its lives. A restart makes another owner."""

    id: NodeId
    incarnation: int


class Rank(NamedTuple):
    """Who yields when two leaders of an open group meet: the smaller rank.

    ``seniority`` is the negated tenure, so that the older tenure is the greater rank.
    """

    support: int
    seniority: int
    priority: int
    id: NodeId


class Role(StrEnum):
    """What a node is to the world; the words of ``/run/ftl/role``."""

    LEADER = "leader"
    FOLLOWER = "follower"
    CANDIDATE = "candidate"


class Reason(StrEnum):
    """Why a role changed; seen in logs, in ``state.json`` and by hooks as ``FTL_REASON``."""

    ELECTED = "elected"
    FOLLOWING = "following"
    EXPIRED = "leader-expired"
    RELEASED = "leader-released"
    LAPSED = "lapsed"
    YIELDED = "yielded"
    STEPPED_DOWN = "stepped-down"
    HANDED_OVER = "handed-over"
    PREEMPTED = "preempted"
    STOPPED = "stopped"
    FAULT = "no-carrier"
    IDENTITY_TAKEN = "identity-taken"
    UNWRITABLE = "unwritable"


class LeaderInfo(NamedTuple):
    """The leader as this node knows it."""

    owner: Owner
    name: str
    address: Address | None
    term: Term
    direct: bool
