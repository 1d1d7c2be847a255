"""The tag holds the content together and binds it to one election."""

from __future__ import annotations

from followtheleader.wire import Fault
from followtheleader.wire.seal import Seal
from wire.forge import forge
from wire.samples import SERVICE

DATAGRAM = forge(13)
CONTENT = DATAGRAM[:-16]


def test_what_is_sealed_opens() -> None:
    seal = Seal(SERVICE)
    assert seal.key_id == 0
    assert seal.seal(CONTENT) == DATAGRAM
    assert seal.open(DATAGRAM) == CONTENT


def test_each_datagram_is_sealed_by_itself() -> None:
    seal = Seal(SERVICE)
    assert seal.seal(CONTENT) == seal.seal(CONTENT)


def test_another_election_has_another_tag() -> None:
    assert Seal("another").open(DATAGRAM) is Fault.DAMAGED


def test_an_unknown_key_is_not_mistaken_for_damage() -> None:
    assert Seal(SERVICE).open(forge(13, key_id=7)) is Fault.KEY
