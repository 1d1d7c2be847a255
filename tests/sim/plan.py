"""What a seed makes: the group, its settings, its habits, and how long it is tormented."""

from __future__ import annotations

import random
from dataclasses import dataclass

from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, NANOSECONDS, Span
from followtheleader.wire import Codec
from sim.habits import Habits
from sim.host import Spec
from sim.newer import NewerCodec

JOB_TIMES: tuple[Span, ...] = (0, 400 * MS, 2000 * MS)
PREEMPT_DELAYS: tuple[Span | None, ...] = (None, 300 * MS, 2000 * MS)
BEATS: tuple[Span, ...] = (100 * MS, 250 * MS, 500 * MS, 750 * MS)

CROWD = 100
CROWDS = 1 / 400
"""One of a hundred takes as long as two hundred others."""
BUILDS: tuple[type[Codec], ...] = (Codec, NewerCodec)


@dataclass(frozen=True, slots=True)
class Plan:
    """One schedule, made by `draw` from its seed and kind alone."""

    kind: str
    seed: int
    specs: tuple[Spec, ...]
    voters: tuple[str, ...]
    wire: bool
    habits: Habits
    builds: tuple[type[Codec], ...]
    """What an agent may be at each start; more than one: upgrades and downgrades."""
    discovery: float
    deaf: tuple[tuple[int, int], ...]
    """Who (first) is not heard by whom (second) for a minute after the storm; nothing else is wrong
    then."""
    torment: Span
    pace: Span
    """The mean true time between two faults."""

    @property
    def longest_lock(self) -> Span:
        """The longest lock that anybody in this group grants."""
        return max(spec.timing.lock for spec in self.specs)

    def convergence_bound(self) -> Span:
        """How long after healing a group may take to agree (I4), in true time.

        The sum of the worst that can lie between, one after the other: the last datagrams of the
        storm (4 s); the slowest job (4 s) and on_follower (3 s), twice, because a lapse may follow
        a lapse; a silent member's next HELLO (10 s); a failed disk's retry (10 s); a sit-out (2 s);
        a quarantine, then a lock, each on a clock 10 % slow; doubt in oneself and ten contended
        elections, each R plus skew with its back-off; patience at the start; and as many nodes as
        preempt one after the other, each after its delay and the job and on_follower of the one
        before; who preempted in vain while others were deaf waits up to 64 times its back-off
        longer.
        """
        beat = max(spec.timing.heartbeat for spec in self.specs)
        delays = [s.preempt_delay for s in self.specs if s.preempt_delay is not None]
        if self.deaf and delays:
            delays.append(64 * max(spec.timing.preempt_back_off for spec in self.specs))
        waits = 4 + 2 * (4 + 3) + 10 + 10 + 2 + len(delays) * (4 + 3 + 1)
        patience = max(spec.start_patience for spec in self.specs)
        return (
            waits * NANOSECONDS
            + (patience + sum(delays) + 2 * self.longest_lock) * 10 // 9
            + 40 * beat
        )


def replay_command(kind: str, seed: int) -> str:
    """Return the command that runs this schedule again."""
    return f"make sim SEED={seed} KIND={kind}"


def draw(kind: str, seed: int) -> Plan:
    """Return the plan of ``seed`` for a group of ``kind`` "open" or "quorum"."""
    rng = random.Random(f"plan/{kind}/{seed}")
    crowd = rng.random() < CROWDS
    size = CROWD if crowd else rng.choice((2, 3, 3, 3, 4, 5, 5, 6, 7))
    names = [chr(ord("a") + i) if size <= 26 else f"n{i}" for i in range(size)]
    stop_timeout = rng.choice(JOB_TIMES) if kind == "quorum" else rng.choice((0, 0, 400 * MS))
    mixed = rng.random() < 0.25
    quorum = kind == "quorum"
    stray = quorum and size >= 4 and rng.random() < 0.2
    voters = tuple(names[:-1] if stray else names) if quorum else ()
    witness = quorum and len(voters) >= 3 and rng.random() < 0.25
    preempts = rng.random() < 0.25
    patience = rng.choice((0, 0, 3 * NANOSECONDS))
    specs = tuple(
        Spec(
            name,
            priority=rng.choice((100, 100, 100, 50, 200)),
            timing=_draw_timing(rng, stop_timeout, mixed=mixed),
            witness=witness and name == voters[-1],
            preempt_delay=rng.choice(PREEMPT_DELAYS) if preempts else None,
            start_patience=patience,
        )
        for name in names
    )
    return Plan(
        kind,
        seed,
        specs,
        voters,
        wire=rng.random() < 0.25 and not crowd,
        habits=_draw_habits(rng),
        builds=BUILDS if rng.random() < 0.25 else BUILDS[:1],
        discovery=rng.choice((1.0, 1.0, 0.7, 0.4)),
        deaf=_draw_deaf(rng, size) if rng.random() < 0.15 and not crowd else (),
        torment=(6 if crowd else rng.randint(8, 35)) * NANOSECONDS,
        pace=int(rng.choice((0.4, 1.0, 1.0, 2.5)) * NANOSECONDS),
    )


def _draw_deaf(rng: random.Random, size: int) -> tuple[tuple[int, int], ...]:
    """Cut links at random, both ways or one; with luck nobody is cut off."""
    share, one_way = rng.choice((0.15, 0.3, 0.5)), rng.random() < 0.3
    pairs: list[tuple[int, int]] = []
    for a in range(size):
        for b in range(a + 1, size):
            if rng.random() < share:
                both = ((a, b), (b, a))
                pairs += [rng.choice(both)] if one_way else both
    return tuple(pairs)


def _draw_timing(rng: random.Random, stop_timeout: Span, *, mixed: bool) -> Timing:
    if not mixed:
        return Timing(250 * MS, 3, stop_timeout)
    return Timing(rng.choice(BEATS), rng.choice((1, 2, 3, 3, 5)), rng.choice(JOB_TIMES))


def _draw_habits(rng: random.Random) -> Habits:
    if rng.random() < 0.2:
        return Habits(True, 0.0, 0.0, 0.0, 0.0, 0.0)
    return Habits(
        stubborn_job=rng.choice((0.0, 0.1, 0.5)),
        slow_hook=rng.choice((0.0, 0.1, 0.3)),
        slow_disk=rng.choice((0.0, 0.02, 0.1)),
        late_timer=rng.choice((0.0, 0.005, 0.02)),
        slow_answer=rng.choice((0.0, 0.02, 0.2)),
        socket_buffer=rng.choice((8, 64, 256)),
    )
