"""What may befall a group, drawn from a seed, and who must have a leader meanwhile.

Nothing is done here; `lab.ordeal` does it to real agents.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from lab.checker import FOR_EVER, Window

Link = tuple[str, str]
"""A direction: from one host to another."""

PASSING = ("freeze", "suspend", "restart")
"""Faults that end while the others last."""
ONE_WAY = ("mute", "deafen", "one-way")
LINKS = ("cut", "split", *ONE_WAY)
ALONE = ("crash-others",)
"""Everybody but one crashes at once: whom could another fault befall?"""
KINDS = ("crash", "power-off", "loss", *ALONE, *LINKS, *PASSING)
OF_THE_WITNESS = ("crash-witness",)
UNPROMISED = ("crash-both",)
"""In a quorum group the job would go on, and nobody be left to end it."""
DIVIDES = (*LINKS, *UNPROMISED, "loss", "freeze", "suspend")
"""While they last, and until all agree again, an open group may have several leaders: not all hear
each other, or a job has nobody to end it."""
LEAVES_A_MAJORITY = ("crash", "power-off", "cut", "split")

BLINK = 0.3
"""A host that stands still for no longer than this has lost nothing (seconds)."""
HELD = 0.4
"""So often a fault lasts until whoever is left has settled; else it ends in the middle of that."""
RUSHED = 0.4
"""So often, if it does not, what comes next does not wait until all have settled."""
PAIRS = 0.35
"""So often there are two faults at once."""


@dataclass(frozen=True, slots=True)
class Fault:
    """``kind``, beginning ``at`` seconds into its step and lasting so many.

    ``target`` 0 is who leads when the step begins, n the n-th of the others; ``percent``: of loss.
    """

    kind: str
    at: float
    lasts: float
    target: int
    percent: int = 0

    @property
    def ends_at(self) -> float:
        return self.at + self.lasts


@dataclass(frozen=True, slots=True)
class Step:
    """One fault, or two at once.

    ``held``: those that last do so until who is left has settled; ``rushed``: what comes next does
    not wait until all have settled.
    """

    faults: tuple[Fault, ...]
    held: bool
    rushed: bool


def plan(
    rng: random.Random, size: int, count: int, *, quorum: bool, witness: bool = False
) -> list[Step]:
    """So many faults for a group of that size; each kind comes about as often as any other.

    ``witness``: the last of the others is one. There is something to ask of every run: the first
    fault takes the leader away and leaves a majority, the second leaves none, and both are held.
    """
    kinds = [*KINDS, *(() if quorum else UNPROMISED), *(OF_THE_WITNESS if witness else ())]
    deck = [*ALONE, rng.choice(LEAVES_A_MAJORITY)]
    steps: list[Step] = []
    while count:
        number = min(count, 2 if steps and rng.random() < PAIRS else 1)
        # Half of all faults are the leader's: there are fewer of it.
        first = 0 if not steps or rng.random() < 0.5 else rng.randrange(1, size)
        targets = [first, (first + rng.randrange(1, size)) % size]
        faults: list[Fault] = []
        for target in targets[:number]:
            deck = deck or rng.sample(kinds, len(kinds))
            place = size - 1 if deck[-1] in OF_THE_WITNESS else target
            if faults and (deck[-1] in ALONE or place == faults[0].target):
                break
            at = rng.uniform(0, 1.5) if faults and rng.random() < 0.7 else 0.0
            faults.append(_fault(rng, deck.pop(), at, place))
            if faults[0].kind in ALONE:
                break
        count -= len(faults)
        held = not steps or faults[0].kind in ALONE or rng.random() < HELD
        steps.append(Step(tuple(faults), held, count > 0 and not held and rng.random() < RUSHED))
    return steps


def _fault(rng: random.Random, kind: str, at: float, target: int) -> Fault:
    match kind:
        case "freeze":
            lasts = rng.uniform(0.1, 5)
        case "suspend":
            lasts = rng.uniform(0.1, BLINK) if rng.random() < 0.4 else rng.uniform(1.5, 5)
        case "restart":
            lasts = rng.uniform(0, 1)
        case "loss":
            return Fault(kind, at, rng.uniform(1, 4), target, rng.randint(10, 40))
        case _:
            lasts = rng.uniform(0, 3)
    return Fault(kind, at, lasts, target)


def links(fault: Fault, names: Sequence[str]) -> set[Link]:
    """The directions that such a fault blocks; ``names``: who leads, and the others."""
    name = names[fault.target]
    rest = [other for other in names if other != name]
    match fault.kind:
        case "mute":
            return {(name, other) for other in rest}
        case "deafen":
            return {(other, name) for other in rest}
        case "one-way":
            return {(name, rest[fault.target % len(rest)])}
        case "cut":
            apart = {name}
        case _:
            # With the leader or without it: 2:3, or 1:2.
            apart = {name, *[other for other in rest if other != names[0]][: len(names) // 2 - 1]}
    return {(a, b) for a, b in itertools.permutations(names, 2) if (a in apart) != (b in apart)}


@dataclass
class Division:
    """When an open group may have had several leaders, from the beginning of a fault that divides
    until all agree again: instants in ns."""

    since: int | None = None
    past: list[Window] = field(default_factory=list)

    def begin(self, kind: str, at: int) -> None:
        """A fault begins."""
        if kind in DIVIDES and self.since is None:
            self.since = at

    def agree(self, at: int) -> None:
        """No fault is in force, and all agree on one leader."""
        if self.since is not None:
            self.past.append((self.since, at))
            self.since = None

    def windows(self) -> list[Window]:
        """Every such time until now."""
        return self.past if self.since is None else [*self.past, (self.since, FOR_EVER)]


# -- who must have a leader


def majority(well: Sequence[str], blocked: Collection[Link], size: int) -> list[str]:
    """Of a quorum group of ``size``: whoever is well and belongs to a majority all of whom hear
    each other; nobody if there is none."""
    sets = itertools.combinations(well, size // 2 + 1)
    connected = [names for names in sets if _hear_each_other(names, blocked)]
    return [name for name in well if any(name in names for names in connected)]


def parts(
    well: Sequence[str], blocked: Collection[Link], restarted: Collection[str]
) -> list[list[str]]:
    """Of an open group: the parts that must have a leader each."""
    if any((there, here) not in blocked for here, there in blocked):
        return []  # heard one way only: several may lead
    found: list[list[str]] = []
    for name in well:
        joined = next((part for part in found if _hear_each_other([*part, name], blocked)), None)
        joined.append(name) if joined is not None else found.append([name])
    # Whoever was restarted waits for those that it remembers before it leads.
    return [part for part in found if not {*part} <= {*restarted}]


def _hear_each_other(names: Sequence[str], blocked: Collection[Link]) -> bool:
    return not any(link in blocked for link in itertools.permutations(names, 2))
