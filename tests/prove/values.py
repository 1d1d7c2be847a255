"""An election as a value: two that will do the same are to be equal.

What is only shown to people, and what only hastens things, is set to one value first: without that
the search would visit the same state again and again under other names.
"""

from __future__ import annotations

import random
from dataclasses import fields, is_dataclass
from enum import Enum

from followtheleader.core.context import Context
from followtheleader.core.election import Election
from followtheleader.core.nonces import Nonces
from followtheleader.core.replay import ReplayWindow
from followtheleader.core.types import Instant, Role

FAR: Instant = 2**62
OPAQUE = (random.Random, ReplayWindow, Nonces)
"""Draw nothing, refuse nothing, are not asked."""


def forget_what_is_only_told(election: Election) -> None:
    """Set to one value what is only shown, or only serves haste."""
    c, proposer = election._c, election._proposer
    c.out.actions, c.out.now = [], 0
    proposer.led_at = 0
    proposer.electorate = proposer.predecessor = None
    proposer._will.deposited = None
    proposer._farewells = []
    if proposer.claim is not None:
        # What was said once may be heard as often as anybody likes.
        proposer.claim.repeat_at = FAR
        proposer.claim.electorate = None
    if proposer.lease is not None:
        proposer.lease.support = 0
    handovers, learner = election._handovers, election._learner
    handovers._followed = handovers.ask_at = None
    handovers._better_since = 0
    learner._restart_until = learner._taken_told_at = 0
    roles = c.roles
    if roles.role is not Role.LEADER:
        roles.leader = None
    if not roles.owes:
        roles._change = 0
    c.pauses._term = c.pauses.holder = 0
    c.agenda.started_at = c.agenda._usual_until = c.agenda._patient_until = 0
    c.agenda.hint_until = None
    for peer in c.membership.peers.values():
        peer.expected = True


def never_claim_again(election: Election) -> None:
    """When it would claim makes no difference any more."""
    agenda = election._c.agenda
    agenda.election_at, agenda.defers = None, True
    agenda._awaits, agenda._doubt_until = False, 0
    agenda.listening_until = agenda.sit_out_until = 0
    election._proposer._failures = 0


def value_of(thing: object, seen: set[int] | None = None) -> object:
    """Return what is equal for equal things, whatever they share (a pickle is not)."""
    if thing is None or isinstance(thing, int | str | bytes | Enum):
        return thing
    if isinstance(thing, OPAQUE):
        return type(thing).__name__
    seen = set() if seen is None else seen
    if isinstance(thing, dict):
        items = ((value_of(key, seen), value_of(each, seen)) for key, each in thing.items())
        return tuple(sorted(items, key=repr))
    if isinstance(thing, tuple | list):
        return tuple(value_of(part, seen) for part in thing)
    kind = type(thing).__name__
    if isinstance(thing, Context) or not is_dataclass(thing):
        # The parts of an election know each other: each is told once.
        if id(thing) in seen:
            return kind
        seen.add(id(thing))
    names = [part.name for part in fields(thing)] if is_dataclass(thing) else vars(thing)
    return kind, *(value_of(getattr(thing, name), seen) for name in names)
