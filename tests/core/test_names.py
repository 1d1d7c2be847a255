"""Two members of one name: the operator is told, with both addresses."""

from __future__ import annotations

import random

from followtheleader.core.actions import Action, Note
from followtheleader.core.membership import Membership
from followtheleader.core.messages import Header, Hello
from followtheleader.core.node import Node
from followtheleader.core.nonces import Nonces
from followtheleader.core.pause import Pauses
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Owner

TIMING = Timing(250 * MS, 3, 0)


def joined(*names: str) -> list[str]:
    """What a node named "me" notes when members of these names answer its nonce, in turn."""
    nonces = Nonces(random.Random(1), TIMING.patience)
    members = Membership(Node(Owner(1, 1), "me", 100, TIMING), nonces, Pauses())
    out: list[Action] = []
    for number, name in enumerate(names, start=2):
        hello = Hello(True, 0, nonces.issue(0), 0, name, False, 0, 0, False)
        header = Header(Owner(number, 1), 1, 1, 100)
        members.greeted(header, hello, (f"10.0.0.{number}", 9001), 0, out)
    return [a.text for a in out if isinstance(a, Note) and a.kind == "name-taken"]


def test_two_others() -> None:
    (text,) = joined("b", "b")
    assert "2 members are named b (10.0.0.2:9001, 10.0.0.3:9001)" in text


def test_one_other_with_our_own_name() -> None:
    (text,) = joined("me")
    assert "2 members are named me (10.0.0.2:9001, here)" in text


def test_different_names_are_fine() -> None:
    assert joined("b", "c") == []


def twins(*, again_after: int, newer_silent: bool = False) -> list[str]:
    """What is noted when the older of two lives of node 2 answers a nonce made so late."""
    nonces = Nonces(random.Random(1), TIMING.patience)
    members = Membership(Node(Owner(1, 1), "me", 100, TIMING), nonces, Pauses())
    out: list[Action] = []

    def greet(incarnation: int, counter: int, host: str, now: int) -> None:
        hello = Hello(True, 0, nonces.issue(now), 0, "b", False, 0, 0, False)
        header = Header(Owner(2, incarnation), counter, 1, 100)
        members.greeted(header, hello, (host, 9001), now, out)

    greet(1, 1, "10.0.0.2", 0)
    greet(2, 1, "10.0.0.3", 10 * MS)
    if not newer_silent:
        greet(2, 2, "10.0.0.3", again_after)
    greet(1, 2, "10.0.0.2", again_after + 10 * MS)
    greet(1, 3, "10.0.0.2", again_after + 20 * MS)
    return [a.text for a in out if isinstance(a, Note) and a.kind == "identity-doubled"]


def test_two_that_live_at_once_with_one_identity() -> None:
    (text,) = twins(again_after=2000 * MS)
    assert "the identity of b, at 10.0.0.2:9001 and at 10.0.0.3:9001" in text


def test_a_life_that_comes_back_after_another() -> None:
    """The newer one is silent, so the older counts as a clock set back; but it was here before."""
    (text,) = twins(again_after=5000 * MS, newer_silent=True)
    assert "at 10.0.0.2:9001 and at 10.0.0.3:9001" in text


def test_the_last_word_of_a_life_that_is_over_is_no_twin() -> None:
    assert twins(again_after=500 * MS) == []
