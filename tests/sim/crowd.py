"""A crowd: more members than any schedule has. They find each other, lose their leader, are split.

Each member is told of a few others, and learns of the rest by gossip. All invariants are checked
after every event, as in every schedule; here the story is always the same, because it is long.
"""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, NANOSECONDS, Span
from sim.habits import Habits
from sim.host import Host, Spec
from sim.invariants import Violation
from sim.world import World

VOTERS = 5
TOLD_OF = 5
"""The mean number of the others that a starting member finds by itself."""
APART = 20 * MS
"""Between the starts of two members."""
PATIENCE = 60 * NANOSECONDS
REST = 5 * NANOSECONDS
LOOK_EVERY = 200 * MS


def tell_story(kind: str, members: int, seed: int = 1) -> str:
    """Return how long each chapter took. Raises `Violation`."""
    world = _gather(kind, members, seed)
    joined = _until_agreed(world, "start")
    packets = _leaders_packets(world)

    first = world.leaders()[0]
    first.crash()
    failed_over = _until_another_leads(world, first)
    first.boot(world.now)
    first.start()
    _until_agreed(world, "crash")
    _rest(world)

    side = _split(world)
    parted = _until_agreed_without(world, side)
    world.network.cuts.clear()
    healed = _until_agreed(world, "heal")
    _rest(world)
    return (
        f"{kind}: {members} members: all follow one {joined / 1e9:.1f} s after the last start, "
        f"another leads {failed_over / 1e9:.2f} s after a crash, "
        f"{parted / 1e9:.2f} s after a third was cut off with the leader; "
        f"all follow one {healed / 1e9:.2f} s after healing; "
        f"a leader sends {packets:.0f} datagrams a second"
    )


def _gather(kind: str, members: int, seed: int) -> World:
    quorum = kind == "quorum"
    timing = Timing(750 * MS, 3, 2 * NANOSECONDS if quorum else 0)
    names = [f"n{number}" for number in range(members)]
    world = World(
        seed,
        [Spec(name, timing=timing) for name in names],
        voters=tuple(names[:VOTERS]) if quorum else (),
        habits=Habits(True, 0.0, 0.0, 0.0, 0.0, 0.0),
        replay=f"make sim KIND={kind} CROWD={members} SEED={seed}",
    )
    world.discovery = TOLD_OF / members
    for number, host in enumerate(world.hosts):
        world.after(number * APART, host.start)
    world.run_until(members * APART)
    return world


def _until_agreed(world: World, since: str) -> Span:
    """Let all follow one; return how long that took."""
    return _until(world, lambda _: not world.disagreement(), since)


def _until_another_leads(world: World, former: Host) -> Span:
    return _until(world, lambda w: any(h is not former for h in w.leaders()), "crash")


def _until_agreed_without(world: World, side: list[Host]) -> Span:
    return _until(world, lambda w: any(h not in side for h in w.leaders()), "split")


def _until(world: World, condition: Callable[[World], bool], since: str) -> Span:
    began = world.now
    while not condition(world):
        if world.now - began > PATIENCE:
            reason = world.disagreement()
            raise Violation(f"{since}: {PATIENCE / 1e9:.0f} s later: {reason}")
        world.run_until(world.now + LOOK_EVERY)
    return world.now - began


def _split(world: World) -> list[Host]:
    """Cut the leader and a third of the others off; return them."""
    leader = world.leaders()[0]
    side = [leader, *(h for h in world.hosts if h.index % 3 == 0 and h is not leader)]
    if world.voters:
        side = [h for h in side if h is leader or h.name not in world.voters]
    inside = {host.index for host in side}
    for one in inside:
        for host in world.hosts:
            if host.index not in inside:
                world.network.cut(one, host.index)
                world.network.cut(host.index, one)
    return side


def _rest(world: World) -> None:
    """Nothing may change any more."""
    before = world.counts["role changes"]
    world.run_until(world.now + REST)
    reason = world.disagreement()
    if reason or world.counts["role changes"] != before:
        raise Violation(f"a change after all agreed: {reason}")


def _leaders_packets(world: World) -> float:
    """What the leader sends in a second."""
    leader = world.leaders()[0].agent
    assert leader is not None
    before = leader.said
    world.run_until(world.now + REST)
    return (leader.said - before) * NANOSECONDS / REST
