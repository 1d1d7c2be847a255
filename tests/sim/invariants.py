"""What must hold after every event, and the shadow of what every voter has granted.

    I1  quorum: at most one node believes that it leads before its deadline, frozen ones included
    I2  tokens strictly grow: over the whole quorum group; in an open group per node with a disk
    I3  role changes go on where the last one ended; hooks and jobs of one host never overlap
    I4  a bounded time after healing one leads, all others are locked on it, and nothing changes
    I5  packets per second and peer are bounded
    I6  nothing is promised, acknowledged or released in quarantine
    I7  nobody replaces a live lock, not even in a later life, nor acknowledges while its job runs
    I8  quorum: a job has ended before another node's starts; nothing is released while it runs
    I9  who knows of a pause neither begins to lead nor promises, but for the one that led last
    I10 where not everybody hears everybody, and it stays so, nobody's role changes again and again

State changes only when an agent steps or performs, or a guardian starts or ends a job; each check
sits where its state can change, which is the same as checking after every event, only cheaper.

The shadow locks are kept apart from the core: they are made from what was *said* on the network,
survive restarts of the node that granted them, and end only by their time or by a RELEASE that was
delivered. A core that forgets is thus compared with a world that does not. Whether the one who
grants is a voter is the leader's to say: its list counts, not that of the one who speaks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NoReturn

from followtheleader.core.actions import Action, ChangeRole, ExtendLease, PublishToken, Send
from followtheleader.core.events import Event, Received
from followtheleader.core.messages import (
    Ack,
    Busy,
    Heartbeat,
    Prepare,
    Promise,
    Refute,
    Release,
)
from followtheleader.core.node import Memory, Node
from followtheleader.core.timing import lock_span
from followtheleader.core.types import (
    MAX_TERM,
    NANOSECONDS,
    Instant,
    NodeId,
    Owner,
    Role,
    Span,
    Term,
)

if TYPE_CHECKING:
    from sim.host import Host
    from sim.world import World

PACKETS_AT_ONCE = 20
PACKETS_PER_BEAT = 4
"""I5: within a second a member sends each other member at most the first, plus the second for each
heartbeat of the fastest leader in the group: 36 at H = 250 ms. ACK and PROMISE are not counted:
each answers one datagram and is never answered itself; a thawed node answers all that waited.
"""
FASTEST = 1100
"""The fastest clock, in thousandths."""


class Violation(AssertionError):
    """A promise was broken; the text says which, by whom, when, and how to see it again."""


@dataclass(slots=True)
class Granted:
    """A shadow lock of ``span`` (of the voter's clock) since ``since``; both ends in true time."""

    owner: Owner
    term: Term
    seq: int
    span: Span
    since: int
    until: int


@dataclass(slots=True)
class Watched:
    """What is known about one host."""

    role: Role = Role.CANDIDATE
    change: int = 0
    leads_until: int | None = None
    quarantine_until: Instant = 0
    token: Term = 0
    granted: Granted | None = None
    asked: dict[tuple[Owner, Term, int], tuple[Span, int]] = field(default_factory=dict)
    only: NodeId | None = None
    window: int = 0
    packets: int = 0


class Invariants:
    """The checks of one world."""

    def __init__(self, world: World, replay: str) -> None:
        self._world = world
        self._replay = replay
        self._newest_token: Term = 0
        self._watched: dict[int, Watched] = {}
        self.most_packets = 0.0
        self._most_allowed: float | None = None

    def fail(self, host: Host, what: str) -> NoReturn:
        """Raise with everything needed to see it again."""
        world = self._world
        raise Violation(
            f"{world.log.tail()}\n\n{host.name} at {world.now / NANOSECONDS:.6f} s: {what}\n"
            f"replay: {self._replay or 'no command'}"
        )

    def _of(self, host: Host) -> Watched:
        watched = self._watched.get(host.index)
        if watched is None:
            watched = self._watched[host.index] = Watched()
        return watched

    # -- lives

    def agent_started(self, host: Host, memory: Memory) -> None:
        """A new incarnation begins with ``memory``."""
        watched, now = self._of(host), host.local()
        watched.role, watched.change, watched.packets = Role.CANDIDATE, 0, 0
        if host.lost_disk:
            watched.token = 0
        host.lost_disk = not host.disk.writable
        longest = max(host.spec.timing.lock, memory.max_lock) if host.quorum else 0
        if memory.clean_until is not None:
            longest = min(longest, max(memory.clean_until - now, 0))
        watched.quarantine_until = now + longest

    def rebooted(self, host: Host) -> None:
        """The new boot's clock may run faster: a lock is safe only for its shortest true span."""
        granted = self._of(host).granted
        if granted is not None:
            shortest = granted.since + granted.span * 1000 // FASTEST
            granted.until = min(granted.until, shortest)

    def agent_gone(self, host: Host) -> None:
        """The process is dead: it believes nothing any more."""
        self._of(host).leads_until = None

    # -- steps

    def told(self, host: Host, event: Event) -> None:
        """The agent is about to handle ``event``: note what frees or asks for a lock."""
        watched = self._of(host)
        if host.agent is not None:
            watched.only = host.agent.election.leads_in_pause(host.local())
        if not host.quorum or not isinstance(event, Received):
            return
        message, sender = event.message, event.header.sender
        if isinstance(message, Heartbeat):
            key = (sender, message.term, message.seq)
            # A repetition that is acknowledged extends nothing: its first arrival counts.
            span = lock_span(message.lease, message.stop_timeout)
            watched.asked.setdefault(key, (span, self._world.now))
            if len(watched.asked) > 200:
                del watched.asked[next(iter(watched.asked))]
        elif isinstance(message, Release):
            _free(watched, sender, message.term)
        elif isinstance(message, Refute):
            _free(watched, message.old, MAX_TERM)
        elif isinstance(message, Prepare):
            _free(watched, sender, message.term - 1)
            if message.after is not None:
                _free(watched, *message.after)

    def stepped(self, host: Host, actions: list[Action]) -> None:
        """The election has decided; nothing of it is performed yet."""
        watched = self._of(host)
        leads = watched.leads_until is not None
        for action in actions:
            if isinstance(action, Send):
                if not isinstance(action.message, Ack | Promise):
                    self._count(host, watched)
                if isinstance(action.message, Promise):
                    self._check_paused(host, action.receiver)
                if host.quorum:
                    self._check_said(host, watched, action)
            elif isinstance(action, ChangeRole):
                leads = True
                if action.role is Role.LEADER:
                    if watched.only not in (None, host.node_id):
                        self.fail(host, "I9: begins to lead in a pause")
                    self._check_token(host, watched, action.term)
            elif isinstance(action, ExtendLease):
                leads = True
            elif isinstance(action, PublishToken):
                self._check_token(host, watched, action.token)
        if leads:
            self._check_single(host, watched)

    def _check_paused(self, host: Host, receiver: NodeId) -> None:
        only = host.agent.election.leads_in_pause(host.local()) if host.agent else None
        if only not in (None, receiver):
            self.fail(host, f"I9: promises {receiver:x} in a pause, {only:x} led last")

    def _check_single(self, host: Host, watched: Watched) -> None:
        """I1: whoever believes that it leads is alone, frozen ones included."""
        agent, world = host.agent, self._world
        lease_end = agent.election.leads_until(host.local()) if agent is not None else None
        if agent is None or lease_end is None:
            watched.leads_until = None
            return
        watched.leads_until = host.clock.true(lease_end)
        if not host.quorum:
            return
        for other in world.hosts:
            until = self._of(other).leads_until
            if other is not host and until is not None and until > world.now:
                self.fail(host, f"I1: leads although {other.name} leads until {until / 1e9:.6f} s")
        self._check_covered(host, agent.election.node, watched.leads_until)

    def _check_covered(self, host: Host, node: Node, leads_until: int) -> None:
        """I1's cause: M of the leader's voters are locked until its lease and job have ended, in
        true time."""
        world, voters = self._world, node.voters
        end = leads_until + self._true_span(host, host.spec.timing.stop_timeout)
        locked = 0
        for other in world.hosts:
            granted = self._of(other).granted
            covers = granted is not None and granted.owner == node.owner and granted.until >= end
            locked += other.name in voters and (covers or other is host)
        if locked <= len(voters) // 2:
            self.fail(host, f"I1: {locked} locks cover its lease until {leads_until / 1e9:.6f} s")

    def _check_said(self, host: Host, watched: Watched, send: Send) -> None:
        message = send.message
        if isinstance(message, Ack | Promise | Busy | Release) and (
            host.local() < watched.quarantine_until
        ):
            self.fail(host, f"I6: says {message} in quarantine")
        if isinstance(message, Release | Refute):
            old = isinstance(message, Refute)
            if host.guardian.owes_predecessor if old else host.guardian.job is not None:
                self.fail(host, f"I8: says {message} while its job runs")
        acts = watched.leads_until is not None or host.guardian.job is not None
        if isinstance(message, Ack) and acts:
            self.fail(host, f"I7: says {message} while it leads or its job runs")

    def _grant_said(self, host: Host, ack: Ack, receiver: NodeId) -> None:
        """A lock is granted by the ACK that leaves: who dies before it has granted nothing."""
        watched = self._of(host)
        for (owner, term, seq), (span, since) in reversed(watched.asked.items()):
            meant = (owner.id, owner.incarnation, term, seq)
            if meant == (receiver, ack.incarnation, ack.term, ack.seq):
                until = since + self._true_span(host, span)
                self._grant(host, watched, Granted(owner, term, seq, span, since, until))
                break

    def _true_span(self, host: Host, span: Span) -> int:
        return host.clock.true(host.local() + span) - self._world.now

    def _grant(self, host: Host, watched: Watched, new: Granted) -> None:
        """I7: a live lock is never replaced, not even by a later life of the voter."""
        old = watched.granted
        if old is not None and old.until > self._world.now and old.owner != new.owner:
            self.fail(host, f"I7: {new} replaces the live {old}")
        if old is None or old.owner != new.owner or (new.term, new.seq) > (old.term, old.seq):
            watched.granted = new

    def _check_token(self, host: Host, watched: Watched, token: Term) -> None:
        """I2: tokens strictly grow, over the whole group where a majority decides."""
        newest = self._newest_token if host.quorum else watched.token
        if token <= newest:
            self.fail(host, f"I2: token {token} after {newest}")

    def token_published(self, host: Host, token: Term) -> None:
        """The token is out. One that died with its agent before this was never seen."""
        self._of(host).token = token
        self._newest_token = max(self._newest_token, token)

    def _count(self, host: Host, watched: Watched) -> None:
        """I5: packets per second and peer stay bounded."""
        world = self._world
        window = world.now // NANOSECONDS
        if window != watched.window:
            watched.window, watched.packets = window, 0
        watched.packets += 1
        others = len(world.hosts) - 1
        if self._most_allowed is None:  # no reload changes how fast hosts beat
            beats = NANOSECONDS / min(h.spec.timing.heartbeat for h in world.hosts)
            self._most_allowed = others * (PACKETS_AT_ONCE + PACKETS_PER_BEAT * beats)
        if watched.packets > self._most_allowed:
            self.fail(host, f"I5: {watched.packets} datagrams to {others} members within 1 s")
        self.most_packets = max(self.most_packets, watched.packets / others)

    # -- what is performed

    def spoken(self, host: Host, send: Send) -> None:
        """I2's cause: what is spoken in a quorum group is on disk before."""
        if not host.quorum:
            return
        disk, message = host.disk, send.message
        if isinstance(message, Prepare | Ack | Heartbeat) and message.term > (disk.floor or 0):
            self.fail(host, f"I2: says {message}, but its disk has only {disk.floor}")
        if isinstance(message, Ack):
            self._grant_said(host, message, send.receiver)
            granted = self._of(host).granted
            if granted is not None and granted.span > disk.max_lock:
                self.fail(host, f"I2: grants {granted}, but its disk has only {disk.max_lock}")

    def role_changed(self, host: Host, change: ChangeRole) -> None:
        """I3: each role change goes on where the last one ended."""
        watched = self._of(host)
        if change.change != watched.change + 1:
            self.fail(host, f"I3: change {change.change} after {watched.change}")
        if change.old_role is not watched.role or change.role is change.old_role:
            self.fail(host, f"I3: {change} from {watched.role}")
        watched.role, watched.change = change.role, change.change

    def gained(self, host: Host, change: ChangeRole) -> None:
        """I3: no on_leader while the job or an on_follower runs."""
        if host.guardian.busy:
            self.fail(host, f"I3: {change} while the earlier job or its on_follower runs")

    def job_started(self, host: Host) -> None:
        """I8: in a quorum group every other job has ended. A frozen one ends before it goes on."""
        if not host.quorum:
            return
        world = self._world
        for other in world.hosts:
            job = other.guardian.job
            if other is host or job is None:
                continue
            killed_at = other.clock.true(job.deadline + other.spec.timing.stop_timeout)
            if not other.frozen or world.now < killed_at:
                self.fail(host, f"I8: job starts while {other.name}'s runs until {killed_at}")


def _free(watched: Watched, owner: Owner, term: Term) -> None:
    granted = watched.granted
    if granted is not None and granted.owner == owner and granted.term <= term:
        watched.granted = None
