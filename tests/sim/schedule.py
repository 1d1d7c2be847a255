"""One schedule: faults first, then healing and a demand for convergence, then for peace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from followtheleader.core.types import MS, NANOSECONDS
from followtheleader.errors import InvariantBroken
from followtheleader.wire import Fault
from sim.faults import Storm
from sim.invariants import Violation
from sim.plan import Plan, draw, replay_command
from sim.trace import Trace
from sim.world import World

PEACE = 3 * NANOSECONDS
"""After convergence nothing may change for this long."""
MINUTE = 60 * NANOSECONDS
MOST_CHANGES = 8
"""Of one host in a minute, where not everybody hears everybody."""
LATEST_DATAGRAM = 4 * NANOSECONDS
"""So late comes what was said to a life, and perhaps a build, that is over."""
LATEST_SEARCH = 3 * NANOSECONDS
"""So late a starved host comes to ask by mDNS who is there."""
LOOK_EVERY = 50 * MS
DEFECTS = (InvariantBroken, LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
"""What a defect of the core raises: reported like any other violation, with its seed."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one schedule of so many ``nodes`` took and did; spans of true time."""

    nodes: int
    simulated: int
    converged_after: int
    most_packets: float
    counts: Counter[str]


def run_schedule(
    kind: str, seed: int, trace: Trace | None = None, *, wire: bool | None = None
) -> Outcome:
    """Run the schedule of ``seed``; raise `Violation` if a promise is broken.

    ``wire``: make datagrams of real bytes, or of values; None: as the seed has it.
    """
    plan = draw(kind, seed)
    world = World(
        seed,
        plan.specs,
        voters=plan.voters,
        wire=plan.wire if wire is None else wire,
        replay=replay_command(kind, seed),
        trace=trace,
        habits=plan.habits,
        builds=plan.builds,
    )
    with defects_told(world, replay_command(kind, seed)):
        return _run(world, plan)


@contextmanager
def defects_told(world: World, replay: str) -> Iterator[None]:
    """What the core raises within becomes a `Violation` that says how to see it again."""
    try:
        yield
    except DEFECTS as defect:
        raise Violation(
            f"{world.log.tail()}\n\nat {world.now / NANOSECONDS:.6f} s: {defect!r}\n"
            f"replay: {replay}"
        ) from defect


def _run(world: World, plan: Plan) -> Outcome:
    world.discovery = plan.discovery
    world.latest_search = LATEST_SEARCH
    for host in world.hosts:
        world.after(int(world.rng.random() * 2 * NANOSECONDS), host.start)
    storm = Storm(world, plan)
    world.at(world.rng.randrange(5) * NANOSECONDS, storm.begin)
    world.run_until(plan.torment)
    storm.calm()
    if plan.deaf:
        _demand_steadiness(world, plan)
    return settle(world, plan)


def settle(world: World, plan: Plan) -> Outcome:
    """Everything is healed: demand that the group agrees, and then peace."""
    healed_at = world.now
    converged_after = _wait_converged(world, plan) - healed_at
    if len(plan.builds) > 1:
        world.run_until(max(world.now, healed_at + LATEST_DATAGRAM))
    _demand_peace(world)
    return Outcome(
        len(plan.specs), world.now, converged_after, world.invariants.most_packets, world.counts
    )


def _demand_steadiness(world: World, plan: Plan) -> None:
    """Not everybody hears everybody, and it stays so: roles may be many, but do not flap (I10)."""
    world.counts["fault: not all hear all"] += 1
    for pair in plan.deaf:
        world.network.cut(*pair)
    world.run_until(world.now + plan.convergence_bound())
    before = [world.changes[host.index] for host in world.hosts]
    world.run_until(world.now + MINUTE)
    changes = [world.changes[h.index] - n for h, n in zip(world.hosts, before, strict=True)]
    if max(changes) > MOST_CHANGES:
        world.invariants.fail(world.hosts[0], f"I10: {changes} role changes within a minute")
    for pair in plan.deaf:
        world.network.mend(*pair)
    for host in world.hosts:
        if host.agent is not None:
            host.agent.find(world.draw_addresses(host.index))


def _wait_converged(world: World, plan: Plan) -> int:
    """Return when one led, all others were locked on it, and it stayed so for a while (I4)."""
    last = world.now + plan.convergence_bound()
    agreed_at: int | None = None
    reason = ""
    while True:
        world.run_until(world.now + LOOK_EVERY)
        reason = world.disagreement()
        if reason:
            agreed_at = None
        elif agreed_at is None:
            agreed_at = world.now
        elif world.now - agreed_at >= NANOSECONDS:
            return agreed_at
        if world.now > last:
            world.invariants.fail(
                world.hosts[0],
                f"I4: no agreement {plan.convergence_bound() / 1e9:.0f} s after "
                f"healing: {reason or 'not for a second'}",
            )


def _demand_peace(world: World) -> None:
    """No role changes once the group has converged, and nobody says what the other cannot read."""
    unread = f"rejected: {Fault.VERSION}"
    before = world.counts["role changes"], world.counts[unread]
    world.run_until(world.now + PEACE)
    reason = world.disagreement()
    if reason or (world.counts["role changes"], world.counts[unread]) != before:
        world.invariants.fail(world.hosts[0], f"I4: a change after convergence: {reason}")
