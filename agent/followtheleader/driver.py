"""The asyncio shell of the election: one inbox, one step loop, performs actions.

The loop one can recite: take the next event, or the core's own deadline; step; perform what the
core ordered, in its order. Whatever is slow (hooks, mDNS, name servers) works elsewhere and comes
back as an event. The one thing that waits here is the fsync of what must not be forgotten: a term
once per election, a new life's number, the stamp of a clean stop. Nothing may be said before it.

The driver knows the network and the floor on disk. What a role *means* on this host (files, hooks,
the guardian; or the handlers of a program) is its `Observer`'s business.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter, deque
from typing import assert_never

from followtheleader.builds import Builds
from followtheleader.core import actions as do
from followtheleader.core import events as ev
from followtheleader.core.election import Election
from followtheleader.core.messages import Header, Hello, Message
from followtheleader.core.node import Memory, Node
from followtheleader.core.types import ANYBODY, MS, Address, Instant, Owner, Role
from followtheleader.core.view import View
from followtheleader.errors import StateError
from followtheleader.host.clock import boot_mark, boottime, wall_ms, wall_us
from followtheleader.host.floors import Floors, next_incarnation
from followtheleader.impostors import Impostors
from followtheleader.lookout import Lookout
from followtheleader.net.gate import TOO_MANY, Gate
from followtheleader.net.seed import PING, PONG, PongBudget
from followtheleader.net.udp import Endpoint
from followtheleader.observer import Observer, Profile
from followtheleader.other_voters import OtherVoters
from followtheleader.refusals import Refusals
from followtheleader.remembering import Remembering
from followtheleader.signing import Signing
from followtheleader.unsent import Unsent
from followtheleader.wire import KEY_OFFSET, Codec, Fault, KeyRing, Rejected, Sender

MOST_EVENTS_AT_ONCE = 10_000
LOOK_AT_MEMBERS_SECONDS = 5.0
MOST_RESTARTS = 3
"""So often this process begins a later life, for members may have heard different ones; after that
whoever is heard in its place is a clone, which does the same."""


class Driver:
    """One election's loop. Call everything from the loop's thread."""

    def __init__(self, profile: Profile, observer: Observer, *, job_running: bool = False) -> None:
        self._profile = profile
        self._observer = observer
        self._codec = Codec(profile.service, profile.id, profile.ring)
        self._inbox: deque[ev.Event] = deque()
        self._working = False
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at: Instant | None = None
        self._pongs = PongBudget()
        self._builds = Builds(observer, self._codec.versions)
        self._other_voters = OtherVoters(observer, quorum=bool(profile.voters))
        self._members_timer: asyncio.TimerHandle | None = None
        # An earlier life of this run counted its changes from 1 too.
        self._change_offset = 0
        self._last_change = 0
        self._last_owed = 0
        self._started = False
        # What a later life in this process must be told again.
        self._stopping = False
        self._link = ev.LinkChanged(up=True)
        self._sit_out_until: Instant = 0
        self._configured: dict[Address, ev.AddressFound] = {}
        self._restarts = 0
        self.counters: Counter[str] = Counter()
        self.signing = Signing(profile.ring)
        self.refusals = Refusals(self.counters, profile.ring, self._tell_of_refusal)
        self._remembering = Remembering(profile.state_dir, lambda: self.view().members, observer)
        self._floors = self._load_floors()
        self.endpoint = Endpoint.bind(profile.host, profile.port, self._remembering.last.port)
        self._gate = Gate(self.endpoint.sieve)
        here = self.endpoint.host, self.endpoint.port
        self._impostors = Impostors(here, self._tell_of_impostor)
        self._lookout = Lookout(profile, self.endpoint, observer, self.post)
        self._unsent = Unsent(self.endpoint, self.counters, observer)
        self._begin_life(self._memory(), owes=job_running)

    # -- one life

    def _load_floors(self) -> Floors | None:
        directory = self._profile.state_dir
        if directory is None:
            return None
        floors = Floors.load(directory)
        damaged = os.path.join(directory, "floor.json.damaged")
        if self._profile.voters and os.path.exists(damaged):
            raise StateError(
                f"{damaged}: what this voter has promised is lost, and it might vote twice; "
                "wait until the longest lock of the group has passed (1.25 × (lease + "
                "stop_timeout) of its slowest member), then remove that file and start again"
            )
        return floors

    def _memory(self) -> Memory:
        """What the disk remembers; the stamp of a clean stop is taken off it at once."""
        floors = self._floors
        if floors is None or floors.value is None:
            return Memory(writable=floors is not None)
        value = floors.value
        return Memory(
            # A floor of 0 means that nothing was ever claimed or accepted here.
            floor=value.floor or None,
            max_lock=value.max_lock,
            # An instant means something only on the clock that it was read from.
            clean_until=value.clean_until
            if value.clean_until and value.clean_boot and value.clean_boot == boot_mark()
            else None,
        )

    def _begin_life(self, memory: Memory, above: int = 0, *, owes: bool = False) -> None:
        floors = self._floors
        stored = floors.value.incarnation if floors and floors.value else 0
        incarnation = next_incarnation(max(stored, above), wall_us())
        if floors is not None:
            # Stored before it is used: no two lives may ever share a number.
            floors.store(incarnation=incarnation, clean_until=0)
        profile = self._profile
        node = Node(
            owner=Owner(profile.id, incarnation),
            name=profile.name,
            priority=profile.priority,
            timing=profile.timing,
            voters=profile.voters,
            witness=profile.witness,
            preempt_delay=profile.preempt_delay,
            start_patience=profile.start_patience,
            versions=self._codec.versions,
        )
        self.node = node
        self._will: do.DepositWill | None = None
        self._sender = Sender(self._codec, node.owner, node.priority)
        rng = random.Random(int.from_bytes(random.SystemRandom().randbytes(16), "big"))
        self._election = Election(
            node,
            memory,
            rng,
            boottime(),
            job_running=owes,
            may_restart=self._restarts < MOST_RESTARTS,
        )

    async def start(self) -> None:
        """Listen, and begin to look for the others. Raises `AddressError`."""
        self._loop = asyncio.get_running_loop()
        self._lookout.accept_interfaces()
        self.endpoint.start(self._on_datagram, self._work)
        if self._floors is not None and self._floors.damage is not None:
            self._observer.on_trouble("floor", self._floors.damage)
        if self.endpoint.note:
            self._observer.on_note("port", self.endpoint.note, {"port": self.endpoint.port})
        self._started = True
        remembered = self._remembering.last.members
        for member in remembered:
            self.post(ev.AddressFound(member.address))
        self._lookout.resolve_peers()
        self.post(ev.Started(bool(remembered), searches=self._profile.mdns))
        self._lookout.start()
        self._remembering.begin(self.endpoint.port)

    async def close(self) -> None:
        """Stop everything; say goodbye by mDNS."""
        self._cancel_timer()
        if self._members_timer is not None:
            self._members_timer.cancel()
        await self._remembering.close()
        await self._lookout.close()
        self._unsent.close()
        self.endpoint.close()

    # -- questions

    def view(self) -> View:
        """Return what the election shows of itself now."""
        return self._election.view(boottime())

    def counts(self) -> dict[str, int]:
        """Return what has been counted of datagrams since the start."""
        return dict(self.counters) | {"unread": self._gate.unread}

    def is_punctual(self) -> bool:
        """Return whether the election does its work in time: for the watchdog."""
        due = self._election.next_deadline()
        return due is None or boottime() - due < self.node.timing.lock

    # -- changes

    def change(self, profile: Profile) -> None:
        """Go on with what of ``profile`` may change within one life; the rest must be the same."""
        before, self._profile = self._profile.ring, profile
        if profile.ring != before:
            self._use_keys(before, profile.ring)
        self._sender.priority = profile.priority
        now = ev.Retuned(profile.priority, profile.preempt_delay, profile.start_patience)
        node = self.node
        if now != ev.Retuned(node.priority, node.preempt_delay, node.start_patience):
            self.post(now)
        self._lookout.change(profile)

    def _use_keys(self, before: KeyRing, ring: KeyRing) -> None:
        """Sign and verify by other keys; a will that was signed before is signed again."""
        self._codec.use(ring)
        self.signing.ring = ring
        self.refusals.use(ring)
        if self._will is not None:
            self._deposit(self._will)
        self.post(ev.KeysChanged(strict=before.unsigned and not ring.unsigned))

    # -- events

    def post(self, event: ev.Event) -> None:
        """Hand an event to the election; it is worked on before this returns, or soon."""
        match event:
            case ev.StopRequested():
                self._stopping = True
            case ev.LinkChanged():
                self._link = ev.LinkChanged(event.up)
            case ev.StepDownRequested():
                self._sit_out_until = max(self._sit_out_until, boottime() + event.sit_out)
            case ev.AddressFound(configured=True):
                self._configured[event.address] = event
            case ev.AddressDropped():
                self._configured.pop(event.address, None)
        self._inbox.append(event)
        if not self._working:
            self._work()

    def _work(self) -> None:
        """Step until the inbox is empty, then sleep until the core's deadline."""
        if self._working or not self._started:
            return
        self._working = True
        try:
            while self._inbox:
                self._step(self._inbox.popleft())
        finally:
            self._working = False
        self._arm_timer()

    def _step(self, event: ev.Event) -> None:
        if isinstance(event, ev.Settled):
            if event.change < min(self._last_owed, self._change_offset):
                return  # of an earlier life, and something later is owed
            event = ev.Settled(max(event.change - self._change_offset, 0))
        now = boottime()
        orders = self._election.step(event, now)
        persisted = False
        for order in orders:
            if isinstance(order, do.Send):
                self._send(order)
            elif isinstance(order, do.Persist):
                persisted = self._persist(order)
                if not persisted:
                    self._inbox.appendleft(ev.StoreFailed())
                    if order.required:
                        return  # not one word of what was to be said after it
            elif isinstance(order, do.Restart):
                if self._restart(order.incarnation):
                    return  # what the old life wanted to say is nobody's word any more
            else:
                self._perform(order)
        if persisted and (took := boottime() - now) >= MS:
            self._inbox.appendleft(ev.Stored(took))

    def _perform(self, order: do.Action) -> None:
        match order:
            case do.ExtendLease():
                self._observer.on_lease(order.deadline)
            case do.ChangeRole():
                self._on_role(order)
            case do.PublishToken():
                self._observer.on_token(order.token)
            case do.LeaderChanged():
                self._observer.on_leader(order.leader)
            case do.DepositWill():
                self._deposit(order)
            case do.MembersChanged():
                members = self.view().members
                self._gate.know(members, boottime())
                self._lookout.members_changed(members)
                self._look_at_members()
                self._observer.on_members()
                self._remembering.soon()
            case do.PauseChanged():
                self._observer.on_pause(order)
            case do.Note():
                peer = f"{order.peer.id:016x}" if order.peer else None
                self._observer.on_note(order.kind, order.text, {"peer": peer})
            case do.Stopped():
                self._on_stopped(order)
            case do.Dropped():
                self.refusals.refuse(order.reason, order.source, boottime())
            case do.Send() | do.Persist() | do.Restart():
                pass  # done by _step: often, or what follows depends on them
            case _:
                assert_never(order)

    def _send(self, order: do.Send) -> None:
        if isinstance(order.message, Hello) and not order.message.ack:
            asks = order.receiver != ANYBODY
            if not self._gate.may_greet(order.address, boottime(), asks=asks):
                self.counters["not-greeted"] += 1
                return
        self.counters["sent"] += 1
        if not self.endpoint.send(
            self._sender.datagram(order.message, order.receiver, order.version), order.address
        ):
            self._unsent.failed()

    def _persist(self, order: do.Persist) -> bool:
        if self._floors is None:
            return not order.required
        try:
            self._floors.store(floor=order.floor, max_lock=order.max_lock)
        except StateError as error:
            self._observer.on_trouble("state-directory", str(error))
            return False
        self._observer.on_relief("state-directory")
        return True

    def _on_role(self, order: do.ChangeRole) -> None:
        self._last_change = order.change + self._change_offset
        if order.role is Role.FOLLOWER:
            self._last_owed = self._last_change
        self._lookout.set_role(order.role)
        self._observer.on_role(
            do.ChangeRole(
                self._last_change,
                order.role,
                order.old_role,
                order.term,
                order.reason,
                order.leader,
                order.deadline,
                order.reelection,
            )
        )

    def _look_at_members(self) -> None:
        """Is there anybody who cannot elect together with us?"""
        if self._members_timer is not None:
            self._members_timer.cancel()
            self._members_timer = None
        members, now = self.view().members, boottime()
        unread = self._builds.look(members, now)
        if self._other_voters.look(members, now) or unread:
            # Whoever falls silent is announced by nobody.
            again = LOOK_AT_MEMBERS_SECONDS, self._look_at_members
            self._members_timer = self._loop.call_later(*again)

    def _deposit(self, order: do.DepositWill) -> None:
        self._will = order
        self._observer.on_will(
            [
                (address, self._sender.last_will(order.release, receiver, version))
                for receiver, address, version in order.recipients
            ]
        )

    def _restart(self, seen: int) -> bool:
        """A later life of ours is known: our clock was set back. Begin anew above it, and return
        whether that is done."""
        view = self.view()
        if self._stopping:
            return False
        self._restarts += 1
        try:
            self._floors = self._load_floors()
            self._begin_life(self._memory(), above=seen, owes=view.owes)
        except StateError as error:
            # The old life goes on unheard; the next HELLO makes us try again.
            self._observer.on_trouble("state-directory", str(error))
            return False
        self._observer.on_note(
            "restarted",
            "a later life of this node is known (its clock was set back, or it was cloned): begun "
            "anew above it",
            {},
        )
        self._change_offset = self._last_change
        # What was said to the old life is not for the new one; that a job has ended is.
        settled = [event for event in self._inbox if isinstance(event, ev.Settled)]
        self._inbox.clear()
        self._inbox.extend(settled)
        self._inbox.extend(self._configured.values())
        self._inbox.extend(ev.AddressFound(member.address) for member in view.members)
        self._inbox.append(ev.Started())
        self._inbox.append(self._link)
        if self._sit_out_until > boottime():
            self._inbox.append(ev.StepDownRequested(self._sit_out_until - boottime()))
        return True

    def _on_stopped(self, order: do.Stopped) -> None:
        if self._floors is not None:
            try:
                self._floors.store(clean_until=max(order.lock_until, 1), clean_boot=boot_mark())
            except StateError as error:
                self._observer.on_trouble("state-directory", str(error))
        self._observer.on_stopped()

    # -- time

    def _arm_timer(self) -> None:
        due = self._election.next_deadline()
        if due is None:
            self._cancel_timer()
            return
        now, loop = boottime(), self._loop
        if self._timer is not None and self._timer.when() <= loop.time():
            return  # it is due, and waits for its turn behind the datagrams: leave it there
        # One that fires too early will look again; but shortly before that, setting another while
        # we are awake is cheaper than to wake up for nothing.
        if self._timer_at is not None and due >= self._timer_at > now + (due - now) // 3:
            return
        self._cancel_timer()
        self._timer_at = due
        self._timer = loop.call_at(loop.time() + max(due - now, 0) / 1e9, self._on_timer)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._timer_at = None

    def _on_timer(self) -> None:
        self._timer = self._timer_at = None
        self._gate.turn(boottime())
        due = self._election.next_deadline()
        if due is not None and due <= boottime():
            # What is buffered may be the very heartbeat whose silence the timer complains of.
            self.endpoint.drain()
            self._inbox.append(ev.Woken(wall_ms()))
            self._work()
        else:
            self._arm_timer()

    # -- the network

    def _on_datagram(self, data: bytes, source: Address) -> None:
        self.counters["received"] += 1
        now = boottime()
        if not self._gate.admits(source, now):
            self.refusals.refuse(TOO_MANY, source, now)
            return
        if data == PING:
            self._on_ping(source)
            return
        decoded = self._codec.decode(data)
        if isinstance(decoded, Rejected):
            key_id = data[KEY_OFFSET] if len(data) > KEY_OFFSET else 0
            self.refusals.refuse(decoded.reason, source, now, key_id)
            if decoded.reason is Fault.OWN and decoded.header is not None:
                who = decoded.header.sender
                if self._impostors.heard(who, self.node.owner, source, now):
                    self._inbox.append(ev.IdentityTaken())
        elif self._may_join(decoded, source, now) and len(self._inbox) < MOST_EVENTS_AT_ONCE:
            self.refusals.accept(source)
            self.signing.heard(decoded[0].sender.id, data[KEY_OFFSET])
            self._inbox.append(ev.Received(decoded[0], decoded[1], source))

    def _may_join(self, said: tuple[Header, Message], source: Address, now: Instant) -> bool:
        header, message = said
        if not isinstance(message, Hello) or not message.echo:
            return True
        if self._gate.may_join(header.sender, source, now):
            return True
        self.refusals.refuse(TOO_MANY, source, now)
        if self._gate.is_outdated(now):
            self._gate.know(self.view().members, now)
        return False

    def _tell_of_impostor(self, text: str) -> None:
        self._observer.on_note("identity", text, {})

    def _tell_of_refusal(self, text: str, fields: dict[str, object]) -> None:
        self._observer.on_note("dropped", text, fields)

    def _on_ping(self, source: Address) -> None:
        if self.view().valid_leader and self._pongs.spend(boottime()):
            self.endpoint.send(PONG, source)
