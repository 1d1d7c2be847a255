"""The exhaustive search: everything that a small group can do, within stated bounds.

Time is discrete. Within a tick any node may do anything at any moment, as often as it may: hear any
message that was ever said to it, be woken if something is due, be asked to step down, hear that its
job has ended, crash and begin anew. What was said stays said: it may be heard now, later, often, or
never. So messages are lost, doubled, late and out of order at will.

What is bounded: the ticks, who has a link to whom, and what each node may do how often
(`prove.cells.Seat`). Within that every state is visited once. The tick ends for all nodes at once,
and not while one of them has something to do that is due (a claim may always wait).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from followtheleader.core.types import Term
from prove.cells import BEGINNING, NEVER, Cells, Outcome, Seat

LEADS, JOB_RUNS, MUST_ACT = 1, 2, 4
LOOK_AT_THE_TIME_EVERY = 16_384

State = tuple[int, ...]
"""Each node's number, then the newest token and whose it is. A node: its cell, and the words that
it may still hear."""
Progress = Callable[[int, int], None]
"""Told the tick, and how many states it has so far."""


@dataclass(frozen=True, slots=True)
class Scope:
    """A small world. ``links``: who hears whom, both ways. Clocks run for ``ticks``."""

    name: str
    about: str
    seats: tuple[Seat, ...]
    voters: tuple[str, ...]
    links: frozenset[tuple[int, int]]
    ticks: int


@dataclass(slots=True)
class Report:
    """What a search has found. ``complete``: every state within the bounds was visited.

    ``trace``: the events that led to the violation, if they were asked for.
    """

    TOLD: ClassVar = ("states", "cells", "seconds", "complete", "violation")

    scope: Scope
    states: int
    cells: int
    seconds: float
    complete: bool
    violation: str = ""
    trace: tuple[str, ...] = ()


class Violated(Exception):
    """Two leaders, two jobs, or a token that does not grow."""


class TookTooLong(Exception):
    """The search was given fewer seconds than it needs."""


class Move(NamedTuple):
    """What a node may do: its next number, the words that others get, the tokens published."""

    label: str
    node: int
    said: tuple[tuple[int, int], ...]
    tokens: tuple[Term, ...]


class Search:
    """Visits every state of a scope, tick after tick."""

    def __init__(self, scope: Scope, *, traced: bool = False) -> None:
        self._scope = scope
        self._seats = range(len(scope.seats))
        # Where a disk is lost tokens may come again: two leaders are all that is looked for.
        self._remembers = not any(seat.forgets for seat in scope.seats)
        self._cells = Cells(scope.seats, scope.voters, scope.links)
        self._nodes: list[tuple[int, frozenset[int]]] = []
        self._node_numbers: dict[tuple[int, frozenset[int]], int] = {}
        self._told: dict[tuple[int, int], int] = {}
        self._matters: dict[tuple[int, int], bool] = {}
        self._supersedes: dict[tuple[int, int], bool] = {}
        # Of the present tick:
        self._clocks: list[int] = []
        self._moves: list[dict[int, tuple[Move, ...]]] = [{} for _ in self._seats]
        self._status: list[dict[int, int]] = [{} for _ in self._seats]
        self._heard: dict[tuple[int, int], Outcome | None] = {}
        self._wakes: dict[int, Outcome | None] = {}
        self._acts: dict[int, tuple[Outcome, ...]] = {}
        self._parents: dict[tuple[int, State], tuple[tuple[int, State], str]] | None = (
            {} if traced else None
        )
        self._at: tuple[int, State] = (0, ())

    def run(self, seconds: float = 1e9, progress: Progress | None = None) -> Report:
        """Search until all is seen, a violation is found, or the time is over."""
        began = time.monotonic()
        report = Report(self._scope, 0, 0, 0.0, complete=False)
        start: State = (*(self._node(self._cells.first(s), frozenset()) for s in self._seats), 0, 0)
        states = {start}
        try:
            for tick in range(self._scope.ticks + 1):
                self._begin_tick(tick, states)
                self._explore(tick, states, began + seconds, progress)
                report.states += len(states)
                states = self._sleep(tick, states)
                # Where nothing has happened yet, only less time is left.
                states.discard(start)
            report.complete = True
        except Violated as broken:
            report.states += len(states)
            report.violation = str(broken)
            report.trace = self._trace()
        except TookTooLong:
            report.states += len(states)
        report.cells, report.seconds = len(self._cells), time.monotonic() - began
        return report

    def _begin_tick(self, tick: int, states: set[State]) -> None:
        self._clocks = [BEGINNING + tick * seat.rate for seat in self._scope.seats]
        for seat in self._seats:
            self._moves[seat].clear()
            self._status[seat].clear()
        self._heard.clear()
        self._wakes.clear()
        self._acts.clear()
        for state in states:
            self._check((tick, state))

    def _explore(
        self, tick: int, seen: set[State], until: float, progress: Progress | None
    ) -> None:
        """Add to ``seen`` all that may happen within the tick."""
        stack, count = list(seen), 0
        while stack:
            state = stack.pop()
            count += 1
            if count % LOOK_AT_THE_TIME_EVERY == 0:
                if progress is not None:
                    progress(tick, len(seen))
                if time.monotonic() > until:
                    raise TookTooLong
            for seat in self._seats:
                moves = self._moves[seat].get(state[seat])
                if moves is None:
                    moves = self._find_moves(seat, state[seat])
                for move in moves:
                    after = self._after(tick, state, seat, move)
                    if after not in seen:
                        seen.add(after)
                        if self._parents is not None:
                            name = self._scope.seats[seat].name
                            cause = ((tick, state), f"{name} {move.label}")
                            self._parents[tick, after] = cause
                        self._check((tick, after))
                        stack.append(after)

    def _after(self, tick: int, state: State, seat: int, move: Move) -> State:
        after = list(state)
        after[seat] = move.node
        for to, word in move.said:
            told = self._told.get((after[to], word))
            after[to] = told if told is not None else self._tell(after[to], word)
        for token in move.tokens if self._remembers else ():
            newest, whose = after[-2:]
            own = self._life_of(seat, move.node)
            if token < newest or (token == newest and whose != own):
                self._at = (tick, state)
                name = self._scope.seats[seat].name
                raise Violated(f"{name} publishes token {token} after {newest}")
            after[-2:] = token, own
        return tuple(after)

    def _life_of(self, seat: int, node: int) -> int:
        """Return whose tokens may not be published again by another: a number above 0."""
        lives = self._cells.cell(self._nodes[node][0]).incarnation
        return lives * len(self._seats) + seat

    def _sleep(self, tick: int, states: set[State]) -> set[State]:
        """Return the states that the next tick begins with."""
        ready = {
            state
            for state in states
            if not any(self._status_of(seat, state[seat]) & MUST_ACT for seat in self._seats)
        }
        if self._parents is not None:
            for state in ready:
                self._parents[tick + 1, state] = ((tick, state), f"-- tick {tick + 1}")
        return ready

    # -- what must hold

    def _check(self, at: tuple[int, State]) -> None:
        state, busy = at[1], 0
        for seat in self._seats:
            status = self._status[seat].get(state[seat])
            if status is None:
                status = self._status_of(seat, state[seat])
            if status & busy & (LEADS | JOB_RUNS):
                self._at = at
                self._tell_who(state)
            busy |= status

    def _tell_who(self, state: State) -> None:
        for what, words in ((LEADS, "lead"), (JOB_RUNS, "run the job")):
            who = [s for s in self._seats if self._status_of(s, state[s]) & what]
            if len(who) > 1:
                names = " and ".join(self._scope.seats[seat].name for seat in who)
                raise Violated(f"{names} {words}")

    def _status_of(self, seat: int, node: int) -> int:
        known = self._status[seat].get(node)
        if known is not None:
            return known
        number, now = self._nodes[node][0], self._clocks[seat]
        status = LEADS if now < self._cells.leads_until[number] else 0
        if now < self._cells.cell(number).job_end:
            status |= JOB_RUNS
        woken = self._wake(seat, number)
        claims = self._cells.cell(number).claims
        if woken is not None and self._cells.cell(woken.cell).claims == claims:
            status |= MUST_ACT
        self._status[seat][node] = status
        return status

    def _trace(self) -> tuple[str, ...]:
        steps, at = [], self._at
        while self._parents is not None and at in self._parents:
            at, label = self._parents[at]
            steps.append(label)
        return tuple(reversed(steps))

    # -- what may happen

    def _find_moves(self, seat: int, node: int) -> tuple[Move, ...]:
        number, words = self._nodes[node]
        outcomes = list(self._find_acts(seat, number))
        for word in sorted(words):
            key = (number, word)
            if key not in self._heard:
                self._heard[key] = self._cells.hear(number, self._clocks[seat], word)
            heard = self._heard[key]
            if heard is not None:
                outcomes.append(heard)
        moves = []
        for outcome in outcomes:
            if self._cells.cell(outcome.cell).claims < 0:
                continue
            left = words
            if outcome.cell != number:
                left = frozenset(word for word in words if self._may_matter(outcome.cell, word))
            after = self._node(outcome.cell, left)
            if after != node or outcome.said or outcome.tokens:
                moves.append(Move(outcome.label, after, outcome.said, outcome.tokens))
            if outcome.torn and self._cells.cell(number).crashes:
                moves.append(self._crash_within(seat, number, words, outcome))
        self._moves[seat][node] = tuple(moves)
        return self._moves[seat][node]

    def _crash_within(
        self, seat: int, number: int, words: frozenset[int], outcome: Outcome
    ) -> Move:
        """It has spoken already, and nothing of that is on its disk."""
        crash = self._cells.crash(seat, number, self._clocks[seat])
        left = frozenset(word for word in words if self._may_matter(crash.cell, word))
        label = f"{outcome.label}, and crashes in the middle"
        return Move(label, self._node(crash.cell, left), (*outcome.torn, *crash.said), ())

    def _find_acts(self, seat: int, number: int) -> tuple[Outcome, ...]:
        """Return what the node may do of itself."""
        known = self._acts.get(number)
        if known is not None:
            return known
        cells, now = self._cells, self._clocks[seat]
        cell = cells.cell(number)
        woken = self._wake(seat, number)
        acts = [woken] if woken is not None else []
        if cell.owed != NEVER:
            acts.append(cells.settle(number, now))
        if cell.step_downs and now < cells.leads_until[number]:
            acts.append(cells.step_down(number, now))
        if cell.crashes:
            acts.append(cells.crash(seat, number, now))
        self._acts[number] = tuple(acts)
        return self._acts[number]

    def _wake(self, seat: int, number: int) -> Outcome | None:
        """Return what its timer does, if something is due that it may do."""
        if number not in self._wakes:
            now = self._clocks[seat]
            due = self._cells.due[number] <= now
            self._wakes[number] = self._cells.wake(number, now) if due else None
        return self._wakes[number]

    def _tell(self, node: int, word: int) -> int:
        """Return the node to which ``word`` is under way as well."""
        cell, words = self._nodes[node]
        told = node
        outdated = word in words or any(self._is_superseded(word, by=other) for other in words)
        if not outdated and self._may_matter(cell, word):
            kept = frozenset(other for other in words if not self._is_superseded(other, by=word))
            told = self._node(cell, kept | {word})
        self._told[node, word] = told
        return told

    def _node(self, cell: int, words: frozenset[int]) -> int:
        key = (cell, words)
        number = self._node_numbers.get(key)
        if number is None:
            number = self._node_numbers[key] = len(self._nodes)
            self._nodes.append(key)
        return number

    def _may_matter(self, cell: int, word: int) -> bool:
        known = self._matters.get((cell, word))
        if known is None:
            known = self._matters[cell, word] = self._cells.may_matter(cell, word)
        return known

    def _is_superseded(self, older: int, by: int) -> bool:
        known = self._supersedes.get((by, older))
        if known is None:
            known = self._supersedes[by, older] = self._cells.supersedes(by, older)
        return known
