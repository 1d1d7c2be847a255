"""Two nodes that live at once under one name, or with one identity: a copied disk or configuration.

Promise: a voter that is known to be doubled is one whose vote nobody counts, whose claims nobody
promises, and whose heartbeats nobody acknowledges. A name is one voter; two machines behind it
could say yes to two leaders, as soon as the network falls into parts with one of them each.

What is known stays known when only one of the two is heard, for that is what such a split looks
like. It ends when one of them says goodbye, or is at home under another name, or is forgotten.
A machine that is set up anew under the name of a dead one doubles nothing: the dead is not heard.
"""

from __future__ import annotations

from followtheleader.core.actions import Action, MembersChanged, Note
from followtheleader.core.addresses import show
from followtheleader.core.node import Node
from followtheleader.core.peers import ALIVE_FOR, Peer
from followtheleader.core.types import NANOSECONDS, Address, Instant, NodeId, Span

DOUBLED_EVERY: Span = 60 * NANOSECONDS
UNCOUNTED = "; a voter that is there twice neither votes nor leads"


class Doubles:
    """Who of ``peers`` (the members by id) is doubled, and whether this node itself is."""

    def __init__(self, node: Node, peers: dict[NodeId, Peer]) -> None:
        self._node = node
        self._peers = peers
        self._since: Instant = 0
        self._unheard_until: Instant = 0
        self._has_namesake = False

    def is_own(self, now: Instant) -> bool:
        """Is this very node, a voter, doubled? Then it neither votes nor leads."""
        return self._has_namesake or now < self._unheard_until

    def go_unheard(self, until: Instant) -> None:
        """Another is heard in our place: our vote would be its vote, too."""
        if self._node.quorum:
            self._unheard_until = until

    def meet(self, peer: Peer, now: Instant, out: list[Action]) -> list[Peer]:
        """``peer`` is new here: had somebody its address? Return who had its name before."""
        for other in list(self._peers.values()):
            if other.name == peer.name:
                other.outnamed = other is not peer
            elif other.contested and peer.address in other.addresses:
                other.earlier = []  # whichever of the two lived there goes by another name
                self.lose(other)
        if peer.name == self._node.name:
            self._contest(peer, out)
        self._tell_namesakes(peer, now, out)
        return [
            other for other in self._peers.values() if other.outnamed and other.name == peer.name
        ]

    def hear_again(self, peer: Peer, now: Instant, out: list[Action]) -> None:
        """It was here before another that has its name, and still is: both live."""
        both = [p for p in self._namesakes(peer.name) if p is peer or p.heard_at >= self._since]
        if len(both) < 2:
            return
        for double in both:
            double.outnamed = False
            self._contest(double, out)
        self._tell_namesakes(peer, now, out)

    def meet_twin(self, peer: Peer, source: Address, now: Instant, out: list[Action]) -> None:
        """Another life of ``peer``'s identity speaks, from ``source``, though it cannot be over.

        A life that is over cannot answer a nonce which is younger than the life after it, nor come
        back when another has been heard in between.
        """
        if self._is_voter(peer) and not peer.twin:
            peer.twin = True
            out.append(MembersChanged())
        if now < peer.doubled_at:
            return
        peer.doubled_at = now + DOUBLED_EVERY
        one, other = (f"{host}:{port}" for host, port in sorted((peer.address, source)))
        out.append(
            Note(
                "identity-doubled",
                f"two nodes have the identity of {peer.name}, at {one} and at {other}: two "
                "machines with one machine-id and one name? Give one of them another `node`, or a "
                f"fresh /etc/machine-id{UNCOUNTED if peer.twin else ''}",
                peer.owner,
            )
        )

    def lose(self, peer: Peer) -> None:
        """``peer`` has left, or is forgotten, or one of its twins is: who is left is there once."""
        peer.outnamed = peer.twin = peer.namesake = False
        rest = [other for other in self._namesakes(peer.name) if other is not peer]
        if peer.name == self._node.name:
            self._has_namesake = bool(rest)
        elif len(rest) == 1:
            rest[0].outnamed = rest[0].namesake = False

    def forget(self, now: Instant) -> None:
        """Nobody is known to be doubled: only what is heard from now on counts."""
        self._since = now
        self._has_namesake = False
        self._unheard_until = 0
        for peer in self._peers.values():
            peer.outnamed = peer.twin = peer.namesake = False
        for peer in self._peers.values():
            peer.outnamed = len(self._namesakes(peer.name)) > 1

    def _contest(self, peer: Peer, out: list[Action]) -> None:
        if not self._is_voter(peer) or peer.namesake:
            return
        peer.namesake = True
        out.append(MembersChanged())
        if peer.name == self._node.name:
            self._has_namesake = True

    def _is_voter(self, peer: Peer) -> bool:
        return peer.name in self._node.voters

    def _namesakes(self, name: str) -> list[Peer]:
        return [peer for peer in self._peers.values() if peer.name == name and not peer.left]

    def _tell_namesakes(self, peer: Peer, now: Instant, out: list[Action]) -> None:
        """Names tell members apart for people, and voters for everybody."""
        where = [
            show(other.address)
            for other in self._namesakes(peer.name)
            if other is peer or now - other.heard_at <= ALIVE_FOR
        ]
        if peer.name == self._node.name:
            where.append("here")
        if len(where) > 1:
            out.append(
                Note(
                    "name-taken",
                    f"{len(where)} members are named {peer.name} ({', '.join(where)}): give each "
                    f"its own `node`{UNCOUNTED if self._is_voter(peer) else ''}",
                    peer.owner,
                )
            )
