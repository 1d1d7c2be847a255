"""A changed list of voters, rolled out host by host while the storm goes on.

A schedule is that of its seed, with other lists: each host's file gets the next list at some time,
and an agent reads it when it is started next, by the rollout or after a fault. Within a change
nothing is waited for; the next one begins when all that run run the new list, and one leads by it.
All invariants hold throughout, over all lists: I1, I2, I7 and I8 ask nobody for a list, and whether
enough locks cover a lease is asked of the list that its leader was started with.

``python -m sim.rollout --seeds 2000 --jobs 2`` runs many, ``--seed 7`` one. ``--impatient``: no
leader is waited for between two changes, and sooner or later a promise is broken.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from dataclasses import dataclass, replace
from itertools import count

from followtheleader.core.actions import ChangeRole
from followtheleader.core.types import MS, NANOSECONDS, Role, Span
from sim.faults import Storm
from sim.host import Host
from sim.invariants import Violation
from sim.many import how_many, run_many
from sim.plan import Plan, draw
from sim.schedule import LOOK_EVERY, Outcome, defects_told, settle
from sim.world import World

Voters = tuple[str, ...]
NEWCOMERS = {"add": 1, "remove": 0, "replace": 1, "back": 2}
FROM_ONE = ("add", "replace", "back")
RESTARTS_END = 120 * NANOSECONDS
"""After the storm all restarts take no longer; then there is a leader to wait for."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """Lists that follow each other. ``pace``: the mean true time between two restarts.

    ``impatient``: the next change begins although nobody has led by the present list.
    """

    plan: Plan
    lists: tuple[Voters, ...]
    begins_at: int
    pace: Span
    impatient: bool = False

    @property
    def replay(self) -> str:
        """The command that runs it again."""
        impatient = " --impatient" if self.impatient else ""
        return f"python -m sim.rollout --seed {self.plan.seed}{impatient} (PYTHONPATH=agent:tests)"


def draw_rollout(seed: int, *, impatient: bool = False) -> Rollout:
    """Return the rollout of ``seed``: of 1 to 5 voters one is added, removed or replaced, or one is
    added, the operator goes back, and another is added."""
    rng = random.Random(f"rollout/{seed}")
    voters = rng.choice((1, 2, 3, 3, 4, 5))
    change = rng.choice(("add", "remove", "replace", "back") if voters > 1 else FROM_ONE)
    plan = _plan_of(seed, voters + NEWCOMERS[change])
    everybody = tuple(spec.name for spec in plan.specs)
    newcomer, leaver = rng.sample(everybody, 2)
    before, after = _without(everybody, newcomer), _without(everybody, leaver)
    both = _without(before, leaver)
    lists = {
        "add": (before, everybody),
        "remove": (everybody, after),
        "replace": (before, everybody, after),
        "back": (both, before, both, after),
    }
    specs = plan.specs
    if voters == 1:  # it has to lead
        specs = tuple(replace(spec, witness=False) for spec in specs)
    return Rollout(
        replace(plan, specs=specs, voters=lists[change][0]),
        lists[change],
        begins_at=rng.randrange(3, 10) * NANOSECONDS,
        pace=rng.choice((200 * MS, NANOSECONDS, 4 * NANOSECONDS)),
        impatient=impatient,
    )


def _plan_of(seed: int, size: int) -> Plan:
    """The plan of the first seed of its own range that makes a group of ``size``."""
    plans = (draw("quorum", number) for number in count(seed * 1000))
    plan = next(plan for plan in plans if len(plan.specs) == size)
    return replace(plan, seed=seed, deaf=())


def _without(names: Voters, name: str) -> Voters:
    return tuple(other for other in names if other != name)


def run_rollout(rollout: Rollout) -> Outcome:
    """Run it; raise `Violation` if a promise is broken."""
    plan = rollout.plan
    world = World(
        plan.seed,
        plan.specs,
        voters=rollout.lists[0],
        wire=plan.wire,
        replay=rollout.replay,
        habits=plan.habits,
        builds=plan.builds,
    )
    with defects_told(world, rollout.replay):
        return _run(world, rollout)


def _run(world: World, rollout: Rollout) -> Outcome:
    plan = rollout.plan
    world.discovery = plan.discovery
    operator = Operator(world, rollout)
    for host in world.hosts:
        world.after(int(world.rng.random() * 2 * NANOSECONDS), host.start)
    storm = Storm(world, plan)
    world.at(world.rng.randrange(5) * NANOSECONDS, storm.begin)
    world.run_until(max(plan.torment, rollout.begins_at))
    storm.calm()
    latest = world.now + RESTARTS_END + 2 * plan.convergence_bound()
    if not world.run_while(lambda: not operator.done, latest):
        world.invariants.fail(world.hosts[0], "the rollout does not come to its end")
    return settle(world, plan)


class Operator:
    """Writes the lists into the hosts' files and restarts the agents, in any order and way."""

    def __init__(self, world: World, rollout: Rollout) -> None:
        self.done = False
        self._world = world
        self._rng = random.Random(f"operator/{rollout.plan.seed}")
        self._lists = list(rollout.lists)
        self._pace = rollout.pace
        self._impatient = rollout.impatient
        world.on_role = self._count
        # Who does not vote yet is a new machine, and has the list that it will vote by.
        for host in world.hosts:
            if host.name not in self._lists[0]:
                host.voters = self._lists[1]
        world.at(rollout.begins_at, self._begin)

    def _begin(self) -> None:
        """The next list: to all files at once, or to each just before its agent's restart."""
        old = self._lists.pop(0)
        self._world.counts[f"rollout: {len(old)} to {len(self._lists[0])} voters"] += 1
        if self._rng.random() < 0.5:
            for host in self._world.hosts:
                host.voters = self._lists[0]
        self._go_on()

    def _go_on(self) -> None:
        rng, world = self._rng, self._world
        behind = [host for host in world.hosts if not self._is_done(host)]
        if behind:
            host = rng.choice(behind)
            host.voters = self._lists[0]
            if host.agent is not None and not (host.agent.stopping or host.frozen):
                self._restart(host)
            world.after(int(rng.expovariate(1.0) * self._pace), self._go_on)
        elif len(self._lists) == 1:
            self.done = True
        elif not self._impatient and not any(self._leads(host) for host in world.hosts):
            world.after(LOOK_EVERY, self._go_on)
        else:
            world.after(int(rng.random() * 3 * NANOSECONDS), self._begin)

    def _is_done(self, host: Host) -> bool:
        runs = host.agent.election.node.voters if host.agent is not None else self._lists[0]
        return runs == host.voters == self._lists[0]

    def _leads(self, host: Host) -> bool:
        """Does it lead by the present list?"""
        runs = host.agent.election.node.voters if host.agent is not None else ()
        return runs == self._lists[0] and self._world.deadline_of(host) is not None

    def _restart(self, host: Host) -> None:
        way = self._rng.choice(("stop", "stop", "kill", "crash"))
        self._world.counts[f"rollout: {way}"] += 1
        if way == "stop" and host.agent is not None:
            host.agent.ask_to_stop()
        elif way == "kill":
            host.kill_agent()
        else:
            host.crash()
        self._world.after(int(self._rng.random() ** 2 * NANOSECONDS), lambda: self._start(host))

    def _start(self, host: Host) -> None:
        if host.agent is not None and host.agent.stopping:
            self._world.after(50 * MS, lambda: self._start(host))
            return
        if not host.up:
            host.boot(self._world.now)
        host.start()

    def _count(self, host: Host, change: ChangeRole) -> None:
        if change.role is Role.LEADER and host.agent is not None:
            runs = host.agent.election.node.voters
            lists = {h.agent.election.node.voters for h in self._world.hosts if h.agent is not None}
            name = "new" if runs == self._lists[-1] else "older"
            self._world.counts[f"rollout: {name} list's leader"] += 1
            self._world.counts["rollout: leader while two lists run"] += len(lists) > 1


def main(arguments: list[str] | None = None) -> int:
    """Run what the command line asks for; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m sim.rollout", description=__doc__)
    parser.add_argument("--seeds", type=how_many, default=100)
    parser.add_argument("--base", type=int, default=0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--impatient", action="store_true")
    parser.add_argument("--jobs", type=int, default=1, help="processes at once")
    options = parser.parse_args(arguments)
    base, seeds = (options.base, options.seeds) if options.seed is None else (options.seed, 1)
    counts: Counter[str] = Counter()
    work = [(seed, options.impatient) for seed in range(base, base + seeds)]
    try:
        for outcome in run_many(_run_drawn, work, options.jobs):
            counts += outcome.counts
    except Violation as violation:
        print(violation)
        return 1
    for name, number in sorted(counts.items()):
        if name.startswith(("rollout", "fault", "leaders")):
            print(f"{name}: {number}")
    print(f"seeds {base} to {base + seeds - 1}, no violation")
    return 0


def _run_drawn(drawn: tuple[int, bool]) -> Outcome:
    seed, impatient = drawn
    return run_rollout(draw_rollout(seed, impatient=impatient))


if __name__ == "__main__":
    sys.exit(main())
