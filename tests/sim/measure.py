"""The gaps, measured in simulated time: default timing, five nodes, exact clocks.

Every row is the true time from the fault to the new leader's role change (its first hook), for
``heal`` to the moment at which one leads, and to that at which all others are locked on it. Jobs
end at once, so what is measured is the protocol alone. The last row counts how often somebody
became leader in 60 s of loss.
"""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, NANOSECONDS, Span
from sim.habits import Habits
from sim.host import Host, Spec
from sim.world import World

NAMES = ("a", "b", "c", "d", "e")
CALM = 20 * NANOSECONDS
LOSSES = (20, 30, 40)


def measure(kinds: tuple[str, ...], seeds: int) -> str:
    """Return a table with p50/p99 in milliseconds over ``seeds`` runs of each kind."""
    lines = []
    for kind in kinds:
        lines.append(f"{kind}, N = 5, {seeds} seeds, p50/p99 in ms")
        for name, gap in _ROWS.items():
            gaps = [gap(_world(kind, seed)) for seed in range(seeds)]
            lines.append(f"  {name:16} {_percentiles(gaps)}")
        changes = [
            sum(_changes_under_loss(_world(kind, seed), loss) for seed in range(seeds))
            for loss in LOSSES
        ]
        losses = " / ".join(f"{loss}" for loss in LOSSES)
        counts = " / ".join(str(n) for n in changes)
        lines.append(f"  new leaders in 60 s at {losses} % loss, all seeds: {counts}")
    return "\n".join(lines)


def _percentiles(gaps: list[Span]) -> str:
    gaps = sorted(gaps)
    p50, p99 = gaps[len(gaps) // 2], gaps[min(len(gaps) * 99 // 100, len(gaps) - 1)]
    return f"{p50 / MS:.0f}/{p99 / MS:.0f}"


def _world(kind: str, seed: int) -> World:
    """Return a group of five that is about to be started."""
    stop_timeout = 2 * NANOSECONDS if kind == "quorum" else 0
    specs = [Spec(name, timing=Timing(250 * MS, 3, stop_timeout)) for name in NAMES]
    world = World(
        seed,
        specs,
        voters=NAMES if kind == "quorum" else (),
        habits=Habits(True, 0.0, 0.0, 0.0, 0.0, 0.0),
        replay="python -m sim.run --measure",
        even_clocks=True,
    )
    for host in world.hosts:
        host.start()
    return world


def _settled(world: World) -> Host:
    """Let the group agree, and rest at a random phase of the heartbeat; return the leader."""
    _until(world, lambda: not world.disagreement())
    world.run_until(world.now + CALM + int(world.rng.random() * NANOSECONDS))
    return world.leaders()[0]


def _until(world: World, condition: Callable[[], bool]) -> int:
    if not world.run_while(lambda: not condition(), world.now + 2 * CALM):
        raise RuntimeError(f"seed {world.seed}: {world.disagreement()}")
    return world.now


def _until_another_leads(world: World, old: Host) -> Span:
    since = world.now
    return _until(world, lambda: any(h is not old for h in world.leaders())) - since


def _start(world: World) -> Span:
    return _until(world, lambda: bool(world.leaders()))


def _host_death(world: World) -> Span:
    leader = _settled(world)
    leader.crash()
    return _until_another_leads(world, leader)


def _crash_with_will(world: World) -> Span:
    leader = _settled(world)
    leader.kill_agent()
    return _until_another_leads(world, leader)


def _graceful(world: World) -> Span:
    leader = _settled(world)
    assert leader.agent is not None
    leader.agent.ask_to_stop()
    return _until_another_leads(world, leader)


def _heal(world: World) -> Span:
    since = _split_and_heal(world)
    return _until(world, lambda: len(world.leaders()) == 1) - since


def _heal_all(world: World) -> Span:
    since = _split_and_heal(world)
    return _until(world, lambda: not world.disagreement()) - since


def _split_and_heal(world: World) -> int:
    leader = _settled(world)
    side = [leader.index, (leader.index + 1) % len(NAMES)]
    for a in range(len(NAMES)):
        for b in range(len(NAMES)):
            if (a in side) != (b in side):
                world.network.cut(a, b)
    world.run_until(world.now + CALM + int(world.rng.random() * NANOSECONDS))
    world.network.cuts.clear()
    return world.now


def _changes_under_loss(world: World, loss: int) -> int:
    _settled(world)
    before = world.counts["leaders elected"]
    world.network.weather.loss = loss / 100
    world.run_until(world.now + 60 * NANOSECONDS)
    return world.counts["leaders elected"] - before


_ROWS: dict[str, Callable[[World], Span]] = {
    "start": _start,
    "host death": _host_death,
    "crash with will": _crash_with_will,
    "graceful": _graceful,
    "heal, one leads": _heal,
    "heal, all follow": _heal_all,
}
