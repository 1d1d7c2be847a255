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
