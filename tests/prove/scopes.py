"""The small worlds that are searched to the end.

Each is about one kind of accident, and large enough that rules which prevent it are missed in it
(`prove.mutation.Mutant.scope`). They differ in who has a link to whom: where all that two nodes
have in common is one voter, more claims, crashes and ticks can be searched than where each hears
each.
"""

from __future__ import annotations

from prove.cells import Quick, Seat
from prove.search import Scope

TICK = 20
"""By how much a clock that is right advances: two fifths of the heartbeat interval."""
LATER_TERMS = 9
"""The floor of the second node: what it claims is above what the first claims."""


def _quick(heartbeat: int = 50, forgiven: int = 0, stop_timeout: int = 0) -> Quick:
    return Quick(heartbeat, forgiven, stop_timeout)


def _seat(
    name: str,
    claims: int = 0,
    crashes: int = 0,
    *,
    step_downs: int = 0,
    timing: Quick | None = None,
    rate: int = TICK,
    floor: int = 0,
    voter: str = "",
    waits: int = 0,
    forgets: bool = False,
) -> Seat:
    timing = timing or _quick()
    return Seat(name, timing, rate, claims, crashes, step_downs, floor, voter, waits, forgets)


def _scope(name: str, about: str, links: str, ticks: int, *seats: Seat, voters: str = "") -> Scope:
    """``links``: pairs of letters; ``voters``: letters, if not all that sit there."""
    place = {seat.name: number for number, seat in enumerate(seats)}
    pairs = frozenset((place[pair[0]], place[pair[1]]) for pair in links.split())
    return Scope(name, about, seats, tuple(voters) or tuple(place), pairs, ticks)


def _between() -> tuple[Scope, ...]:
    """Two want to lead, and all that they have in common is one voter."""
    renewed, slow, fast = _quick(20, 1), 18, 22
    slowly = _quick(stop_timeout=20)
    return (
        _scope(
            "locks",
            "what one voter has locked, promised and freed, over its crash",
            *("ac bc", 4),
            *(_seat("a", 2), _seat("b", 1, floor=LATER_TERMS), _seat("c", 0, 1)),
        ),
        _scope(
            "restarts",
            "a candidate or leader crashes, also while it speaks, and its next life claims",
            *("ac bc", 5),
            *(_seat("a", 2, 1), _seat("b", 1, floor=LATER_TERMS), _seat("c")),
        ),
        _scope(
            "renewals",
            "heartbeats, their repetitions and acknowledgements, early and late",
            *("ac bc", 5),
            _seat("a", 1, timing=renewed, rate=10),
            _seat("b", 1, timing=renewed, rate=10, floor=LATER_TERMS),
            _seat("c", timing=renewed, rate=10),
        ),
        _scope(
            "clocks",
            "the first clock is a tenth slow, the others a tenth fast",
            *("ac bc", 4),
            _seat("a", 1, rate=slow),
            _seat("b", 1, rate=fast, floor=LATER_TERMS),
            _seat("c", rate=fast),
        ),
        _scope(
            "stop-timeout",
            "the same clocks, and a job that takes its time to end; an operator moves it",
            *("ac bc", 7),
            _seat("a", 1, step_downs=1, rate=slow, timing=_quick(stop_timeout=60)),
            _seat("b", 1, rate=fast, timing=_quick(stop_timeout=60), floor=LATER_TERMS),
            _seat("c", rate=fast, timing=_quick(stop_timeout=60)),
        ),
        _scope(
            "max-lock",
            "the leader's times are twice those of the voter, which crashes",
            *("ac bc", 4),
            _seat("a", 1, timing=_quick(100)),
            *(_seat("b", 1, floor=LATER_TERMS), _seat("c", 0, 1)),
        ),
        _scope(
            "own-vote",
            "the voter between two others is itself a leader, whose job takes its time to end",
            *("ab ac", 5),
            _seat("a", 1, timing=slowly),
            _seat("b", 1, timing=slowly, floor=LATER_TERMS),
            _seat("c", timing=slowly),
        ),
    )


def _all() -> tuple[Scope, ...]:
    """Each hears each, or those who must not make a majority have nothing in common."""
    renewed = _quick(20, 1)
    return (
        _scope(
            "mesh",
            "three that all hear each other",
            *("ab ac bc", 3),
            *(_seat("a", 1), _seat("b", 1, floor=LATER_TERMS), _seat("c")),
        ),
        _scope(
            "lives",
            "the same, with heartbeats renewed; the first crashes, and its next life claims",
            *("ab ac bc", 3),
            _seat("a", 2, 1, timing=renewed, forgets=True),
            _seat("b", 2, timing=renewed, waits=3),
            _seat("c", timing=renewed),
        ),
        _scope(
            "halves",
            "two pairs of four voters",
            *("ad bc", 3),
            *(_seat("a", 1), _seat("b", 1), _seat("c"), _seat("d")),
        ),
        _scope(
            "strangers",
            "two pairs, one of them a voter and a node that is none",
            *("ad bc", 3),
            *(_seat("a", 1), _seat("b", 1), _seat("c"), _seat("d", 1)),
            voters="abc",
        ),
        _scope(
            "names",
            "three of five voters, and one with two nodes of one name",
            *("ac ad be bf", 2),
            *(_seat("a", 1), _seat("b", 1), _seat("c"), _seat("d", voter="c")),
            *(_seat("e"), _seat("f")),
            voters="abcef",
        ),
    )


SCOPES = (*_between(), *_all())
SMALL = ("locks", "renewals", "clocks", "stop-timeout", "max-lock", "halves", "strangers")
"""Searched at every change: together they take half a minute."""
NAMED = {scope.name: scope for scope in SCOPES}


SCOPES = (*_between(), *_all())
NAMED = {scope.name: scope for scope in SCOPES}
SMALL = ("locks", "renewals", "clocks", "stop-timeout", "max-lock", "halves", "strangers")
"""Searched at every change: half a minute."""
