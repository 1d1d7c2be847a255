"""The members: who they are, where they are, and whether they are who they say.

Promise: `Membership.speaker` lets a message pass only if it comes from an incarnation that has
answered one of our nonces, and only once. The one exception is RELEASE, which passes from any
incarnation because it can free nothing but its sender's own locks.

An address is only a suggestion, from wherever it came: it gets HELLO with growing pauses until
somebody there answers. A member that falls silent gets HELLO too, and is forgotten after a day.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from followtheleader.core.actions import Action, MembersChanged, Note, Send
from followtheleader.core.addresses import is_unicast, show, told_by, worth_telling
from followtheleader.core.doubles import Doubles
from followtheleader.core.messages import Header, Hello
from followtheleader.core.node import Node
from followtheleader.core.nonces import Nonces
from followtheleader.core.pause import Pauses
from followtheleader.core.peers import (
    ADDRESSES_EACH,
    ALIVE_FOR,
    ANSWER_EVERY,
    FIRST_PAUSE,
    Peer,
    Seed,
    digest,
)
from followtheleader.core.replay import ReplayWindow
from followtheleader.core.types import (
    ANYBODY,
    GREETING_VERSION,
    MS,
    NANOSECONDS,
    NO_NONCE,
    NO_VERSION,
    Address,
    Instant,
    NodeId,
    Nonce,
    Owner,
    Span,
)

MEMBER_FOR: Span = 600 * NANOSECONDS
"""A leader heartbeats every member heard within this time."""
FORGOTTEN_AFTER: Span = 86_400 * NANOSECONDS
LONGEST_PAUSE: Span = 10 * NANOSECONDS
"""Between two HELLOs to where nobody answers."""
FIRST_REMINDER: Span = 2 * NANOSECONDS
"""From a member's first HELLO to its second, which goes to all its addresses."""
TOLD_EVERY: Span = 60 * NANOSECONDS
MAX_PEERS = 512
MAX_SEEDS = 512
SEED_TRIES = 12
GOSSIP_LIMIT = 24
LIVES_KEPT = 8


class Membership:
    """Peers by id, addresses yet to be tried, and the handshake that joins the two."""

    def __init__(self, node: Node, nonces: Nonces, pauses: Pauses) -> None:
        self._node = node
        self._pauses = pauses
        self._nonces = nonces
        self.peers: dict[NodeId, Peer] = {}
        self.doubles = Doubles(node, self.peers)
        self._seeds: dict[Address, Seed] = {}
        self._asked: dict[Address, Instant] = {}
        self._configured: list[Address] = []
        self.sweep_at: Instant | None = None
        """When `sweep` wants to be called."""
        timing = node.timing
        self._voters = digest(sorted(node.voters))
        self._timing = digest((timing.heartbeat, timing.forgiven, timing.stop_timeout))

    # -- questions

    def members(self, now: Instant) -> Iterator[Peer]:
        """Yield those whom a leader heartbeats, in the order in which they joined."""
        for peer in self.peers.values():
            if not peer.left and peer.version and now - peer.heard_at <= MEMBER_FOR:
                yield peer

    def expected(self, now: Instant) -> list[NodeId]:
        """Return the ids of those whose promise is worth waiting for."""
        return [
            peer.owner.id
            for peer in self.peers.values()
            if peer.expected
            and peer.compatible
            and not peer.left
            and now - peer.heard_at <= ALIVE_FOR
        ]

    # -- datagrams

    def speaker(
        self, header: Header, source: Address, now: Instant, out: list[Action]
    ) -> Peer | None:
        """Return the member that speaks, if it is verified, and this is new. See `Peer.compatible`.

        Whoever is not verified is asked to prove itself.
        """
        peer = self.peers.get(header.sender.id)
        if peer is None or peer.owner != header.sender:
            self._ask(source, header.sender, now, out)
            return None
        if not peer.window.accept(header.counter):
            return None
        if peer.outnamed:
            self.doubles.hear_again(peer, now, out)
        if peer.heard(source, header.priority, now):
            out.append(MembersChanged())
        if source in self._seeds:
            del self._seeds[source]
        return peer

    def greeted(
        self, header: Header, hello: Hello, source: Address, now: Instant, out: list[Action]
    ) -> bool:
        """Answer a HELLO, and verify its sender if it answers ours. False: it is a replay."""
        peer = self.peers.get(header.sender.id)
        if peer is not None and peer.owner == header.sender:
            if not peer.window.accept(header.counter):
                if not self._nonces.is_fresh(hello.echo, now):
                    # Heard before; or somebody has used its counters up, and what it answers tells.
                    self._ask(source, header.sender, now, out, echo=hello.nonce)
                    return False
                peer.window = ReplayWindow()
                peer.window.accept(header.counter)
            if peer.outnamed:
                self.doubles.hear_again(peer, now, out)
            if peer.heard(source, header.priority, now):
                out.append(MembersChanged())
            self._seeds.pop(source, None)
        self._on_hello(header, hello, source, now, out)
        return True

    def may_release(self, header: Header) -> bool:
        """Is this RELEASE new? It may come from any incarnation.

        It is no sign of life: a dead agent's last will is sent by its guardian, and from elsewhere.
        """
        peer = self.peers.get(header.sender.id)
        return peer is None or peer.owner != header.sender or peer.window.accept(header.counter)

    def _ask(
        self,
        source: Address,
        sender: Owner,
        now: Instant,
        out: list[Action],
        echo: Nonce = NO_NONCE,
    ) -> None:
        """Somebody speaks who has to prove that it lives: ask it, at most once per 50 ms.

        ``echo``: a nonce of its own, which may not be able to hear us before it is answered.
        """
        last = self._asked.get(source)
        if last is not None and now - last < ANSWER_EVERY:
            return
        if len(self._asked) >= MAX_SEEDS:
            self._asked.clear()
        self._asked[source] = now
        hello = self._hello(now, sender, ack=echo != NO_NONCE, echo=echo)
        out.append(_greeting(hello, sender.id, source))

    def _on_hello(
        self, header: Header, hello: Hello, source: Address, now: Instant, out: list[Action]
    ) -> None:
        verified = self._nonces.is_fresh(hello.echo, now)
        joined = verified and self._verify(header, hello, source, now, out)
        known = self._is_verified(header.sender)
        # A member that greets us again is told, too: it may not have heard of who has come since.
        proved = verified or known
        # Whoever says that a later life of ours is heard is asked to prove that this is news.
        doubted = not verified and hello.seen > self._node.owner.incarnation
        if hello.nonce != NO_NONCE:
            out.append(
                _greeting(
                    self._hello(
                        now,
                        header.sender,
                        ack=True,
                        echo=hello.nonce,
                        ask=not known or doubted,
                        listener=source if proved else None,
                    ),
                    header.sender.id,
                    source,
                )
            )
        elif joined:
            out.append(
                _greeting(
                    self._hello(now, header.sender, ack=True, ask=False, listener=source),
                    header.sender.id,
                    source,
                )
            )
        if proved:
            self._hear_gossip(hello, source, now)

    def _hear_gossip(self, hello: Hello, source: Address, now: Instant) -> None:
        for member, address in hello.members:
            told = told_by(address, source)
            peer = self.peers.get(member)
            if peer is None or not _is_at(peer, told, now):
                self.suggest(told, now)

    def _is_verified(self, owner: Owner) -> bool:
        peer = self.peers.get(owner.id)
        return peer is not None and peer.owner == owner

    def _verify(
        self, header: Header, hello: Hello, source: Address, now: Instant, out: list[Action]
    ) -> bool:
        """The sender has answered a nonce: accept its incarnation. Return whether it is new."""
        peer = self.peers.get(header.sender.id)
        if peer is not None and peer.owner != header.sender:
            older = header.sender.incarnation < peer.owner.incarnation
            if older and not peer.left and now - peer.heard_at <= self._node.timing.patience:
                if now - peer.verified_at > self._node.timing.patience:
                    self.doubles.meet_twin(peer, source, now, out)
                return False
            if header.sender.incarnation in peer.earlier and not peer.left:
                self.doubles.meet_twin(peer, source, now, out)
        if peer is None and len(self.peers) >= MAX_PEERS:
            return False
        new = peer is None or peer.owner != header.sender
        version = self._common_version(hello)
        same_voters = self._has_same_voters(hello)
        if peer is None or new:
            before, addresses = peer, [source]
            if before is not None:
                addresses += [a for a in before.addresses if a != source][: ADDRESSES_EACH - 1]
            peer = Peer(
                header.sender,
                hello.name,
                header.priority,
                hello.witness,
                hello.versions,
                version,
                hello.quorum,
                same_voters,
                hello.timing_digest == self._timing,
                addresses,
                now,
                now,
            )
            peer.window.accept(header.counter)
            if before is not None:
                peer.earlier = [before.owner.incarnation, *before.earlier][:LIVES_KEPT]
                peer.doubled_at = before.doubled_at
                peer.leads_others_at = before.leads_others_at
                peer.twin = before.twin
                self._look_back(before, source, now)
            self.peers[header.sender.id] = peer
            self._announce(peer, out)
            for namesake in self.doubles.meet(peer, now, out):
                namesake.hello_at = now  # if it answers, both live
                self._wake_by(now)
        peer.name, peer.witness = hello.name, hello.witness
        peer.quorum, peer.same_voters = hello.quorum, same_voters
        peer.same_timing = hello.timing_digest == self._timing
        peer.versions, peer.version = hello.versions, version
        peer.heard(source, header.priority, now)
        self._seeds.pop(source, None)
        self._wake_by(peer.hello_at)
        return new

    def _look_back(self, before: Peer, source: Address, now: Instant) -> None:
        """Its earlier life was elsewhere: ask there whether that is over, when it must be."""
        is_voter = before.name in self._node.voters
        if is_voter and before.address != source and len(self._seeds) < MAX_SEEDS:
            at = now + self._node.timing.patience + MS
            self._seeds[before.address] = Seed(at)
            self._wake_by(at)

    def _common_version(self, hello: Hello) -> int:
        """Return the highest version that both speak; `NO_VERSION`: there is none."""
        ours, theirs = self._node.versions, hello.versions
        highest = min(ours[1], theirs[1])
        return highest if highest >= max(ours[0], theirs[0]) else NO_VERSION

    def _has_same_voters(self, hello: Hello) -> bool:
        """Voters must agree on who votes: two different lists may have disjoint majorities."""
        if hello.quorum != self._node.quorum:
            return False
        return not hello.quorum or hello.voters_digest == self._voters

    def _announce(self, peer: Peer, out: list[Action]) -> None:
        out.append(MembersChanged())
        where = f"{peer.name} at {show(peer.address)}"
        out.append(Note("member-joined", f"member {where}", peer.owner))

    def _hello(
        self,
        now: Instant,
        to: Owner | None = None,
        *,
        ack: bool = False,
        ask: bool = True,
        echo: int = NO_NONCE,
        listener: Address | None = None,
    ) -> Hello:
        """``listener``: where it goes to, if it tells of the members."""
        seen = 0
        if to is not None and (peer := self.peers.get(to.id)):
            seen = peer.owner.incarnation if peer.owner.incarnation > to.incarnation else 0
        node = self._node
        return Hello(
            ack=ack,
            nonce=self._nonces.issue(now) if ask else NO_NONCE,
            echo=echo,
            seen=seen,
            name=node.name,
            quorum=node.quorum,
            voters_digest=self._voters,
            timing_digest=self._timing,
            witness=node.witness,
            versions=node.versions,
            pause=self._pauses.said(now),
            members=self._gossip(now, to, listener) if listener else (),
        )

    def _gossip(
        self, now: Instant, to: Owner | None, listener: Address
    ) -> tuple[tuple[NodeId, Address], ...]:
        others = [p for p in self.members(now) if to is None or p.owner.id != to.id]
        others.sort(key=lambda p: (-p.heard_at, p.owner.id))
        told = ((p.owner.id, worth_telling(p.addresses, listener)) for p in others)
        worth = ((id, address) for id, address in told if address is not None)
        return tuple(islice(worth, GOSSIP_LIMIT))

    def leads_others(self, peer: Peer, now: Instant, out: list[Action]) -> None:
        """It leads, by other voters than ours: the one way to two leaders of a quorum group."""
        if now < peer.leads_others_at:
            return
        peer.leads_others_at = now + TOLD_EVERY
        out.append(
            Note(
                "other-leader",
                f"{peer.name} at {show(peer.address)} leads by other `voters` than this node's: "
                "lists that differ by more than one name can have a leader each; give every member "
                "the same list (README, Changing the voters)",
                peer.owner,
            )
        )

    # -- departures

    def resigned(self, owner: Owner) -> None:
        """Its RELEASE came, or its lock ran out: do not wait for its promise."""
        peer = self.peers.get(owner.id)
        if peer is not None and peer.owner == owner:
            peer.expected = False

    def departed(self, owner: Owner, out: list[Action]) -> None:
        """It said goodbye."""
        peer = self.peers.get(owner.id)
        if peer is not None and peer.owner == owner and not peer.left:
            peer.left = True
            peer.expected = False
            self.doubles.lose(peer)
            out.append(MembersChanged())
            out.append(Note("member-left", f"member {peer.name} left", owner))

    # -- addresses

    def suggest(self, address: Address, now: Instant, *, configured: bool = False) -> None:
        """Take up an address to be tried, unless somebody is known there."""
        if configured and address not in self._configured:
            self._configured.append(address)
        if not is_unicast(address) or self._is_served(address, now):
            return
        seed = self._seeds.get(address)
        if seed is None:
            if len(self._seeds) >= MAX_SEEDS and not configured:
                return
            self._seeds[address] = Seed(now, configured=configured)
            self._wake_by(now)
            return
        # A fresh word: whoever was not there may be there now.
        seed.tries = 0
        seed.configured = seed.configured or configured

    def hear_of(self, address: Address, teller: Peer, now: Instant) -> Address | None:
        """Take up an address of another that ``teller`` has told; return it as it is from here."""
        address = told_by(address, teller.address)
        self.suggest(address, now)
        return address if is_unicast(address) else None

    def drop(self, address: Address) -> None:
        """Nobody is tried there any more because the configuration says so."""
        if address in self._configured:
            self._configured.remove(address)
            self._seeds.pop(address, None)

    def _is_served(self, address: Address, now: Instant) -> bool:
        return any(_is_at(peer, address, now) for peer in self.peers.values())

    def greet(self, now: Instant, out: list[Action]) -> None:
        """Send HELLO to everybody at once, and soon again: a start, or a carrier that is back."""
        for seed in self._seeds.values():
            seed.try_at, seed.pause = now, FIRST_PAUSE
        for peer in self.peers.values():
            peer.hello_at, peer.pause = now, FIRST_REMINDER // 2
        self._wake_by(now)
        self.sweep(now, out)

    def forget_what_anybody_said(self, now: Instant) -> None:
        """Only members are heard from now on: what others may have made us believe of them ends.

        That are the counters that were heard, and who is there twice. A life that somebody made up
        ends by its silence.
        """
        for peer in self.peers.values():
            peer.window = ReplayWindow()
            peer.earlier = []
        self.doubles.forget(now)

    def sweep(self, now: Instant, out: list[Action]) -> None:
        """Send the HELLOs that are due, and forget who was silent for a day."""
        for address in [a for a, s in self._seeds.items() if s.try_at <= now]:
            self._try(address, now, out)
        for peer in list(self.peers.values()):
            if peer.hello_at <= now:
                self._remind(peer, now, out)
        times = [s.try_at for s in self._seeds.values()]
        times += [p.hello_at for p in self.peers.values()]
        self.sweep_at = min(times, default=None)

    def _try(self, address: Address, now: Instant, out: list[Action]) -> None:
        seed = self._seeds[address]
        seed.tries += 1
        if seed.tries > SEED_TRIES and not seed.configured:
            del self._seeds[address]  # whoever suggested it will suggest it again
            return
        out.append(_greeting(self._hello(now), ANYBODY, address))
        seed.try_at = now + seed.pause
        seed.pause = min(seed.pause * 2, LONGEST_PAUSE)

    def _remind(self, peer: Peer, now: Instant, out: list[Action]) -> None:
        if now - peer.heard_at > FORGOTTEN_AFTER:
            del self.peers[peer.owner.id]
            self.doubles.lose(peer)
            out.append(MembersChanged())
            for address in peer.addresses:
                if address in self._configured:
                    self.suggest(address, now, configured=True)
            return
        # Where it was heard last; if it does not answer there, everywhere.
        for address in peer.addresses if peer.pause else peer.addresses[:1]:
            # To whoever is there now: another node may have taken the address over.
            out.append(_greeting(self._hello(now), ANYBODY, address))
        # One HELLO may be lost: the first pause is short, so that ALIVE_FOR is not missed by it.
        peer.pause = min(peer.pause * 2, LONGEST_PAUSE) if peer.pause else FIRST_REMINDER
        peer.hello_at = now + peer.pause

    def _wake_by(self, at: Instant) -> None:
        if self.sweep_at is None or at < self.sweep_at:
            self.sweep_at = at


def _is_at(peer: Peer, address: Address, now: Instant) -> bool:
    return address in peer.addresses and now - peer.heard_at <= ALIVE_FOR


def _greeting(hello: Hello, receiver: NodeId, address: Address) -> Send:
    return Send(hello, receiver, address, GREETING_VERSION)
