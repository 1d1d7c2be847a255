"""The world: one queue of events ordered by (true time, order of making), hosts, and a network.

Everything random comes from generators seeded with ``seed``; nothing iterates a set. Equal seeds
therefore give equal traces, in any process.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Callable, Sequence

from followtheleader.core.actions import ChangeRole
from followtheleader.core.types import MS, NANOSECONDS, Address, Instant, LeaderInfo, Role, Span
from followtheleader.wire import Codec
from sim.habits import Habits
from sim.host import Host, Spec
from sim.invariants import Invariants
from sim.network import Datagram, Network
from sim.trace import Trace

PORT = 9001


class World:
    """Hosts in one group. ``voters`` empty: an open group; ``wire``: real bytes travel.

    Each life of an agent is of one of the ``builds``.
    """

    def __init__(
        self,
        seed: int,
        specs: Sequence[Spec],
        *,
        voters: tuple[str, ...] = (),
        wire: bool = False,
        replay: str = "",
        trace: Trace | None = None,
        habits: Habits | None = None,
        even_clocks: bool = False,
        builds: Sequence[type[Codec]] = (Codec,),
    ) -> None:
        self.seed = seed
        self.now = 0
        self.voters = voters
        self.wire = wire
        self.rng = random.Random(f"world/{seed}")
        self.habits = habits or Habits()
        self.counts: Counter[str] = Counter()
        self.changes: Counter[int] = Counter()
        """Role changes by the index of the host."""
        self.log = trace or Trace()
        self.invariants = Invariants(self, replay)
        self._even_clocks = even_clocks
        self._builds = builds
        self._queue: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0
        self.on_role: Callable[[Host, ChangeRole], None] | None = None
        self.on_left: Callable[[Host], None] | None = None
        addresses: list[Address] = [(f"10.0.0.{i + 1}", PORT) for i in range(len(specs))]
        self.network = Network(
            random.Random(f"network/{seed}"), self.after, self._deliver, addresses
        )
        self.network.counts = self.counts
        self._addresses = addresses
        self.discovery = 1.0
        """The share of the other addresses that a starting agent is told."""
        self.latest_search: Span = 0
        """Half of all agents search by mDNS, and come to it within this from their start."""
        self.hosts = [
            Host(self, i, spec, addresses[i], self.rng.getrandbits(63) + 1)
            for i, spec in enumerate(specs)
        ]

    # -- time

    def at(self, true: int, action: Callable[[], None]) -> None:
        """Call ``action`` at true time ``true``, after everything put there before."""
        self._made += 1
        heapq.heappush(self._queue, (true, self._made, action))

    def after(self, span: Span, action: Callable[[], None]) -> None:
        """Call ``action`` after a true span."""
        self._made += 1
        heapq.heappush(self._queue, (self.now + span, self._made, action))

    def run_until(self, true: int) -> None:
        """Let everything happen up to true time ``true``."""
        queue = self._queue
        while queue and queue[0][0] <= true:
            self.now, _, action = heapq.heappop(queue)
            action()
        self.now = max(self.now, true)

    def run_while(self, condition: Callable[[], bool], until: int) -> bool:
        """Run while ``condition`` holds; return False if it still does at true time ``until``."""
        queue = self._queue
        while condition():
            if not queue or queue[0][0] > until:
                self.now = until
                return False
            self.now, _, action = heapq.heappop(queue)
            action()
        return True

    # -- what hosts draw from the world

    def draw_rate(self) -> int:
        """Return a clock rate in thousandths: exact, or anything within ±10 %."""
        if self._even_clocks:
            return 1000
        return self.rng.choice((900, 1100, 1000, self.rng.randint(900, 1100)))

    def draw_build(self) -> type[Codec]:
        """Return what is installed when an agent starts: groups are upgraded, and back."""
        return self._builds[0] if len(self._builds) == 1 else self.rng.choice(self._builds)

    def draw_addresses(self, index: int) -> list[Address]:
        """Return the addresses that host ``index`` finds by itself; gossip tells the rest."""
        others = [a for i, a in enumerate(self._addresses) if i != index]
        if self.discovery >= 1.0:
            return others
        found = [a for a in others if self.rng.random() < self.discovery]
        return found or [self.rng.choice(others)]

    # -- what happens

    def trace(self, host: Host, what: str, detail: object = "") -> None:
        """Leave a line in the trace."""
        self.log.add(self.now, host.name, what, detail)

    def role_changed(self, host: Host, change: ChangeRole) -> None:
        """An agent performs a role change."""
        self.invariants.role_changed(host, change)
        self.trace(host, "role", change)
        self.counts["role changes"] += 1
        self.changes[host.index] += 1
        if change.role is Role.LEADER:
            self.counts["leaders elected"] += 1
        if self.on_role is not None:
            self.on_role(host, change)

    def left(self, host: Host) -> None:
        """An agent has stopped properly."""
        if self.on_left is not None:
            self.on_left(host)

    def _deliver(self, receiver: int, source: Address, datagram: Datagram) -> None:
        self.hosts[receiver].receive(source, datagram)

    # -- the state of things

    def leaders(self) -> list[Host]:
        """Return the hosts whose agent leads under a valid lease, jobs that are leaving too."""
        return [h for h in self.hosts if self.deadline_of(h) is not None]

    def deadline_of(self, host: Host) -> Instant | None:
        """Return the end of the host's valid lease in its own time."""
        if host.agent is None:
            return None
        view = host.agent.election.view(host.local())
        return view.deadline if view.valid_leader else None

    def disagreement(self) -> str:
        """Say why the group has not converged: "" if one leads and all others are locked on it."""
        leaders = [h for h in self.leaders() if h.agent is not None]
        if len(leaders) != 1:
            return f"{len(leaders)} leaders: {[h.name for h in leaders]}"
        leader = leaders[0]
        assert leader.agent is not None
        owner = leader.agent.election.view(leader.local()).owner
        names = {h.agent.owner: h.name for h in self.hosts if h.agent is not None}
        lives = {life.id: life for life in names}
        for host in self.hosts:
            if host.agent is None:
                return f"{host.name} does not run"
            view = host.agent.election.view(host.local())
            if host.agent.stopping or view.leaving:
                return f"{host.name} is leaving"
            if host.agent.waits_for_disk:
                return f"{host.name} waits for its disk"
            for member in view.members:
                life = lives.get(member.id)
                if life is not None and member.owner.incarnation > life.incarnation:
                    # Its clock was set back, and it will begin anew.
                    return f"{host.name} is about to tell {names[life]} of a later life"
            if view.paused_until is not None:
                return f"{host.name} is paused"
            if host is leader:
                continue
            if host.spec.outranks(leader.spec) and (not host.quorum or host.votes()):
                return f"{host.name} is about to preempt"
            told: LeaderInfo | None = view.leader
            if view.role is not Role.FOLLOWER or told is None or told.owner != owner:
                return f"{host.name} is {view.role} of {told}"
            if view.lock_owner != owner or not told.direct:
                return f"{host.name} is locked on {view.lock_owner}, direct={told.direct}"
        return ""


def seconds(true: int) -> str:
    """Write a true instant for people."""
    return f"{true / NANOSECONDS:.3f} s"


def milliseconds(span: float) -> Span:
    """Return a span from milliseconds."""
    return int(span * MS)
