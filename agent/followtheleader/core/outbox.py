"""The outbox: collects the actions of one step, in order."""

from __future__ import annotations

from collections.abc import Iterable

from followtheleader.core.actions import Action, Note, Send
from followtheleader.core.messages import Message
from followtheleader.core.peers import Peer
from followtheleader.core.types import Instant, Owner
from followtheleader.errors import InvariantBroken


class Outbox:
    """The actions of the current step, and its instant."""

    def __init__(self, now: Instant) -> None:
        self.now = now
        self.actions: list[Action] = []

    def begin(self, now: Instant) -> None:
        """Start a new step. Time only goes on."""
        if now < self.now:
            raise InvariantBroken("the clock went backwards")
        self.now = now
        self.actions = []

    def add(self, action: Action) -> None:
        """Append an order."""
        self.actions.append(action)

    def send(self, message: Message, peer: Peer) -> None:
        """Send to where the peer was heard last."""
        self.actions.append(Send(message, peer.owner.id, peer.addresses[0], peer.version))

    def send_everywhere(self, message: Message, peer: Peer) -> None:
        """Send to every address known of a peer that does not answer: one path may be cut."""
        for address in peer.addresses:
            self.actions.append(Send(message, peer.owner.id, address, peer.version))

    def broadcast(self, message: Message, peers: Iterable[Peer]) -> None:
        """Send the same message to each of ``peers``."""
        for peer in peers:
            self.send(message, peer)

    def note(self, kind: str, text: str, peer: Owner | None = None) -> None:
        """Leave a line for the log."""
        self.actions.append(Note(kind, text, peer))
