"""Members with several addresses: what is told of them, and where they are spoken to."""

from __future__ import annotations

import random

from followtheleader.core.actions import Action, Send
from followtheleader.core.membership import SEED_TRIES, Membership
from followtheleader.core.messages import Header, Hello
from followtheleader.core.node import Node
from followtheleader.core.nonces import Nonces
from followtheleader.core.outbox import Outbox
from followtheleader.core.pause import Pauses
from followtheleader.core.peers import KEEPALIVE
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, NANOSECONDS, NO_NONCE, Address, Instant, NodeId, Owner

TIMING = Timing(250 * MS, 3, 0)
LINK, OTHER_LINK = ("fe80::2%eth0", 9001), ("fe80::2%eth1", 9001)
FOUR, SIX = ("10.0.0.2", 9001), ("fd00::2", 9001)


class Company:
    """The members that one node knows; they answer its nonces from where they are told to."""

    def __init__(self) -> None:
        node = Node(Owner(1, 1), "a", 100, TIMING)
        self._nonces = Nonces(random.Random(7), TIMING.patience)
        self.members = Membership(node, self._nonces, Pauses())
        self._counter = 0

    def hello(
        self,
        id: NodeId,
        source: Address,
        now: Instant,
        *told: tuple[NodeId, Address],
        answers: bool = True,
    ) -> list[Send]:
        """Member ``id`` answers from ``source``, and asks; return what it is sent."""
        self._counter += 1
        out: list[Action] = []
        header = Header(Owner(id, 1), self._counter, 1, 100)
        words = Hello(
            ack=answers,
            nonce=99,
            echo=self._nonces.issue(now) if answers else NO_NONCE,
            seen=0,
            name=f"n{id}",
            quorum=False,
            voters_digest=0,
            timing_digest=0,
            witness=False,
            members=told,
        )
        self.members.greeted(header, words, source, now, out)
        return [action for action in out if isinstance(action, Send)]

    def sweep(self, now: Instant) -> list[Address]:
        """Let it greet whom it must; return where."""
        out: list[Action] = []
        self.members.sweep(now, out)
        return [action.address for action in out if isinstance(action, Send)]


def gossip_of(sent: list[Send]) -> list[Address]:
    return [
        address
        for send in sent
        if isinstance(send.message, Hello)
        for _, address in send.message.members
    ]


def test_a_link_local_address_is_told_only_on_its_link() -> None:
    company = Company()
    company.hello(2, LINK, 1)
    assert gossip_of(company.hello(3, ("fe80::3%eth0", 9001), 2)) == [LINK]
    assert gossip_of(company.hello(4, ("10.0.0.4", 9001), 3)) == []
    company.hello(2, SIX, 4)
    assert SIX in gossip_of(company.hello(4, ("10.0.0.4", 9001), 5))


def test_a_member_that_greets_again_is_told_of_who_has_come_since() -> None:
    company = Company()
    company.hello(3, ("10.0.0.3", 9001), 1)
    company.hello(2, FOUR, 2)
    assert gossip_of(company.hello(3, ("10.0.0.3", 9001), 3, answers=False)) == [FOUR]
    assert gossip_of(company.hello(4, ("10.0.0.4", 9001), 4, answers=False)) == []


def test_one_told_is_of_the_link_it_was_told_by() -> None:
    company = Company()
    company.hello(3, ("fe80::3%eth1", 9001), 1, (2, ("fe80::2", 9001)), (5, FOUR))
    assert company.sweep(2) == [OTHER_LINK, FOUR]
    elsewhere = Company()
    elsewhere.hello(3, ("10.0.0.3", 9001), 1, (2, ("fe80::2", 9001)), (5, SIX))
    assert elsewhere.sweep(2) == [SIX]


def test_a_silent_member_is_greeted_where_it_was_heard_and_then_everywhere() -> None:
    company = Company()
    company.hello(2, FOUR, 1)
    company.hello(2, SIX, 2)
    silent = 2 + KEEPALIVE
    assert company.sweep(silent) == [SIX]
    assert company.sweep(silent + 2 * NANOSECONDS) == [SIX, FOUR]


def test_who_does_not_answer_is_sent_for_by_every_path() -> None:
    company = Company()
    company.hello(2, FOUR, 1)
    company.hello(2, SIX, 2)
    (peer,) = company.members.peers.values()
    box = Outbox(3)
    words = Hello(True, NO_NONCE, NO_NONCE, 0, "a", False, 0, 0, False)
    box.send(words, peer)
    box.send_everywhere(words, peer)
    assert [a.address for a in box.actions if isinstance(a, Send)] == [SIX, SIX, FOUR]


def test_a_fresh_word_of_an_address_begins_its_tries_anew() -> None:
    """Nobody has answered there for so long that it is about to be given up: just then somebody is
    seen there again."""
    company = Company()
    company.members.suggest(FOUR, 1)
    now, tries = 1, 0
    while tries < SEED_TRIES:
        tries += company.sweep(now).count(FOUR)
        now += NANOSECONDS
    company.members.suggest(FOUR, now)
    later = [company.sweep(now + second * NANOSECONDS) for second in range(15)]
    assert [FOUR] in later
    for second in range(15, 600):
        company.sweep(now + second * NANOSECONDS)
    assert company.sweep(now + 700 * NANOSECONDS) == []
