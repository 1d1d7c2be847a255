"""The storm: faults drawn at random, each of which takes itself back after a while."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from followtheleader.core.messages import (
    Ack,
    Busy,
    Heartbeat,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.types import MS, NANOSECONDS, Span
from sim.host import Disk, Host
from sim.network import Weather
from sim.plan import Plan
from sim.world import World

HELD_BACK: tuple[type, ...] = (Release, Ack, Promise, Heartbeat, Prepare, Busy, Refute)
PAST_MS = -200_000_000_000
"""A clock without a battery begins about six years ago."""


class Storm:
    """Torments ``world`` until ``calm`` is called."""

    def __init__(self, world: World, plan: Plan) -> None:
        self._world = world
        self._plan = plan
        self._rng = random.Random(f"storm/{plan.kind}/{plan.seed}")
        self._over = False
        self._resumed = False
        self._faults: list[tuple[str, int, Callable[[Host], None]]] = [
            ("one-way cut", 10, self._cut_one_way),
            ("isolated", 8, self._isolate),
            ("partition", 8, self._partition),
            ("friends swapped", 8, self._swap_friends),
            ("carrier lost", 8, self._lose_carrier),
            ("paused", 12, self._pause),
            ("frozen", 8, self._freeze),
            ("agent crash", 12, self._crash_agent),
            ("crash in a step", 6, self._crash_within_step),
            ("host crash", 8, self._crash_host),
            ("graceful stop", 10, self._stop),
            ("step-down", 8, self._step_down),
            ("switchover", 6, self._switch_over),
            ("group paused", 6, self._pause_group),
            ("group resumed", 3, self._resume_group),
            ("reload", 5, self._reload),
            ("disk fails", 4, self._fail_disk),
            ("clock jump", 4, self._jump),
            ("weather", 10, self._change_weather),
        ]
        self._names = [name for name, _, _ in self._faults]
        self._weights = [weight for _, weight, _ in self._faults]
        self._acts = {name: act for name, _, act in self._faults}

    def begin(self) -> None:
        """Start tormenting."""
        if self._rng.random() < 0.7:
            self._change_weather(self._world.hosts[0])
        self._next()

    def calm(self) -> None:
        """Heal: good weather, no cuts, everything thawed, resumed and started, disks work."""
        world = self._world
        self._over = True
        world.network.weather = Weather()
        world.network.cuts.clear()
        world.habits.calm()
        world.discovery = 1.0
        world.on_left = lambda host: world.after(MS, host.start)
        for host in world.hosts:
            host.disk.writable = True
            host.retune(self._plan.specs[host.index])
            host.thaw()
            host.set_carrier(up=True)
            if not host.up:
                host.boot(world.now)
            if host.agent is not None:
                host.agent.crash_in = None
                host.agent.resume()
            world.after(MS, host.start)
            world.after(2 * MS, _rediscover(world, host))
        world.after(3 * MS, self._resume_at_last)

    def _next(self) -> None:
        if self._over:
            return
        self._world.after(int(self._rng.expovariate(1.0) * self._plan.pace), self._strike)

    def _strike(self) -> None:
        if self._over:
            return
        name = self._rng.choices(self._names, self._weights)[0]
        host = self._pick()
        self._world.trace(host, "fault", name)
        self._world.counts[f"fault: {name}"] += 1
        self._acts[name](host)
        self._next()

    def _pick(self) -> Host:
        """Choose a victim: a leader in half of the cases, because that is where it hurts."""
        leaders = self._world.leaders()
        if leaders and self._rng.random() < 0.5:
            return self._rng.choice(leaders)
        return self._rng.choice(self._world.hosts)

    def _span(self, longest: Span) -> Span:
        """Draw a span: many short ones, few long ones."""
        return int(longest * self._rng.random() ** 2)

    def _undo_later(self, longest: Span, undo: Callable[[], None]) -> None:
        self._world.after(self._span(longest), lambda: None if self._over else undo())

    # -- the network

    def _cut_one_way(self, host: Host) -> None:
        other = self._rng.choice([h for h in self._world.hosts if h is not host])
        pairs = [(host.index, other.index), (other.index, host.index)]
        self._cut([self._rng.choice(pairs)])

    def _isolate(self, host: Host) -> None:
        others = [h.index for h in self._world.hosts if h is not host]
        pairs = _both_ways(host.index, others)
        if self._rng.random() < 0.3:
            pairs = self._rng.choice((pairs[: len(others)], pairs[len(others) :]))
        self._cut(pairs)

    def _partition(self, host: Host) -> None:
        side = {h.index: self._rng.random() < 0.5 for h in self._world.hosts}
        self._cut([(a, b) for a in side for b in side if side[a] != side[b]])

    def _swap_friends(self, host: Host) -> None:
        """The host hears one half of the group for a while, and then only the other half."""
        others = [h.index for h in self._world.hosts if h is not host]
        self._rng.shuffle(others)
        half = len(others) // 2
        first, second = _both_ways(host.index, others[:half]), _both_ways(host.index, others[half:])
        network = self._world.network
        for pair in first:
            network.cut(*pair)

        def swap() -> None:
            for pair in first:
                network.mend(*pair)
            self._cut(second)

        self._undo_later(6 * NANOSECONDS, swap)

    def _lose_carrier(self, host: Host) -> None:
        """The cable is pulled: nothing comes or goes, and the agent is told so."""
        if not host.carrier:
            return
        network, others = self._world.network, [h.index for h in self._world.hosts if h is not host]
        pairs = _both_ways(host.index, others)
        for pair in pairs:
            network.cut(*pair)
        host.set_carrier(up=False)

        def plug_in() -> None:
            for pair in pairs:
                network.mend(*pair)
            host.set_carrier(up=True)

        self._undo_later(10 * NANOSECONDS, plug_in)

    def _cut(self, pairs: list[tuple[int, int]]) -> None:
        network = self._world.network
        for pair in pairs:
            network.cut(*pair)

        def mend() -> None:
            for pair in pairs:
                network.mend(*pair)

        self._undo_later(10 * NANOSECONDS, mend)

    def _change_weather(self, host: Host) -> None:
        rng = self._rng
        held = {kind: rng.choice((0.1, 0.5)) for kind in HELD_BACK if rng.random() < 0.15}
        self._world.network.weather = Weather(
            usual=rng.choice((1, 3, 10, 40)) * MS,
            loss=rng.choice((0.0, 0.0, 0.05, 0.2, 0.4)),
            doubled=rng.choice((0.0, 0.0, 0.1)),
            tail=rng.choice((0.0, 0.0, 0.02, 0.2)),
            worst=rng.choice((100, 1000, 4000)) * MS,
            slow=held,
        )

    # -- agents and hosts

    def _pause(self, host: Host) -> None:
        agent = host.agent
        if agent is not None:
            agent.pause()
            self._undo_later(6 * NANOSECONDS, agent.resume)

    def _freeze(self, host: Host) -> None:
        if host.up and not host.frozen:
            host.freeze()
            self._undo_later(8 * NANOSECONDS, host.thaw)

    def _crash_agent(self, host: Host) -> None:
        if not host.frozen:
            host.kill_agent()
        self._restart_later(host, self._rng.choice((20 * MS, NANOSECONDS, 5 * NANOSECONDS)))

    def _crash_within_step(self, host: Host) -> None:
        """The agent dies between two actions of a later step: after the disk, before the word."""
        agent = host.agent
        if agent is not None:
            agent.crash_in = self._rng.randrange(40)
            self._restart_later(host, 3 * NANOSECONDS)

    def _restart_later(self, host: Host, longest: Span) -> None:
        self._undo_later(longest, host.start)

    def _crash_host(self, host: Host) -> None:
        host.crash()
        if self._plan.kind == "open" and self._rng.random() < 0.2:
            host.disk = Disk()
            host.lost_disk = True
        wall_error = self._rng.choice((0, 0, 0, PAST_MS, 3_600_000, -3_600_000))

        def back() -> None:
            if not host.up:
                host.boot(self._world.now, wall_error_ms=wall_error)
            host.start()

        self._undo_later(6 * NANOSECONDS, back)

    def _stop(self, host: Host) -> None:
        if host.agent is not None:
            host.agent.ask_to_stop()
        self._restart_later(host, 4 * NANOSECONDS)

    def _step_down(self, host: Host) -> None:
        if host.agent is not None:
            host.agent.ask_to_step_down(self._rng.choice((0, 0, NANOSECONDS, 2 * NANOSECONDS)))

    def _switch_over(self, host: Host) -> None:
        if host.agent is not None:
            wanted = self._rng.choice((None, *self._world.hosts))
            host.agent.ask_to_switch_over(wanted.node_id if wanted else 0)

    def _pause_group(self, host: Host) -> None:
        if host.agent is not None:
            host.agent.ask_to_pause(self._rng.choice((300, 2000, 8000, 3_600_000)) * MS)

    def _resume_group(self, host: Host) -> None:
        if host.agent is not None:
            host.agent.ask_to_pause(0)

    def _resume_at_last(self) -> None:
        """The operator resumes wherever an agent neither begins nor leaves, looks, and does so
        again where a pause is known of still: one that was cut off knew only an older number."""
        hosts = [h for h in self._world.hosts if h.agent is not None and h.agent.may_be_told()]
        able = [h for h in hosts if not self._resumed or h.is_paused()]
        if able:
            self._resume_group(self._rng.choice(able))
            self._resumed = True
        self._world.after(NANOSECONDS if able else 100 * MS, self._resume_at_last)

    def _reload(self, host: Host) -> None:
        rng = self._rng
        changed = replace(
            host.spec,
            priority=rng.choice((0, 50, 100, 100, 200)),
            preempt_delay=rng.choice((None, None, 300 * MS, 2000 * MS)),
            start_patience=rng.choice((0, 3 * NANOSECONDS)),
        )
        host.retune(changed)

    def _fail_disk(self, host: Host) -> None:
        host.disk.writable = False

        def repair() -> None:
            host.disk.writable = True

        self._undo_later(6 * NANOSECONDS, repair)

    def _jump(self, host: Host) -> None:
        jump = self._rng.choice((PAST_MS, -60_000, 60_000, 86_400_000))
        host.clock.wall_error_ms += jump


def _both_ways(host: int, others: list[int]) -> list[tuple[int, int]]:
    return [(host, other) for other in others] + [(other, host) for other in others]


def _rediscover(world: World, host: Host) -> Callable[[], None]:
    def find() -> None:
        if host.agent is not None:
            host.agent.find(world.draw_addresses(host.index))

    return find
