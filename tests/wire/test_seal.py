"""The tag holds the content together, binds it to one election, and proves who has the key."""

from __future__ import annotations

from hashlib import blake2s
from itertools import pairwise

import pytest

from followtheleader.errors import InvariantBroken
from followtheleader.wire import Fault, Key, KeyRing, election_hash
from followtheleader.wire.seal import Seal
from wire.forge import forge
from wire.rings import key, ring
from wire.samples import SERVICE

DATAGRAM = forge(13)
CONTENT = DATAGRAM[:-16]

MODES = ("none", "accept", "sign", "require")


def seal(*names: str, mode: str = "require", service: str = SERVICE) -> Seal:
    return Seal(service, ring(*names, mode=mode))


def said_by(seal: Seal) -> bytes:
    """A datagram with the key id that ``seal`` wants in its header."""
    return seal.seal(forge(13, key_id=seal.key_id)[:-16])


def of_mode(mode: str) -> Seal:
    return Seal(SERVICE) if mode == "none" else seal("a", mode=mode)


def test_what_is_sealed_opens() -> None:
    unkeyed = Seal(SERVICE)
    assert unkeyed.key_id == 0
    assert unkeyed.seal(CONTENT) == DATAGRAM
    assert unkeyed.open(DATAGRAM) == CONTENT


def test_each_datagram_is_sealed_by_itself() -> None:
    for one in (Seal(SERVICE), seal("a")):
        assert one.seal(CONTENT) == one.seal(CONTENT)


def test_another_election_has_another_tag() -> None:
    assert Seal("another").open(DATAGRAM) is Fault.DAMAGED


def test_an_unknown_key_is_not_mistaken_for_damage() -> None:
    assert Seal(SERVICE).open(forge(13, key_id=7)) is Fault.KEY


def test_the_tag_is_what_the_layout_says() -> None:
    """Made by hand: a member of any build has to come to the same bytes."""
    secret = bytes(range(32))
    salt = election_hash(SERVICE).to_bytes(8, "big")
    derived = blake2s(SERVICE.encode(), key=secret, person=b"ftl-svc").digest()
    content = forge(13, key_id=9)[:-16]
    tag = blake2s(content, digest_size=16, key=derived, person=b"ftl-wire", salt=salt).digest()
    signer = Seal(SERVICE, KeyRing((Key(9, "nine", secret),), signs=True, unsigned=False))
    assert signer.seal(content) == content + tag


@pytest.mark.parametrize("sender", MODES)
@pytest.mark.parametrize("receiver", MODES)
def test_neighbours_on_the_way_to_signed_hear_each_other(sender: str, receiver: str) -> None:
    """Both ways; of the others one is deaf to what the other says."""
    signed = sender in ("sign", "require")
    opened = of_mode(receiver).open(said_by(of_mode(sender)))
    if not signed and receiver == "require":
        assert opened is Fault.UNSIGNED
    elif signed and receiver == "none":
        assert opened is Fault.KEY
    else:
        assert isinstance(opened, bytes)
    if not isinstance(opened, bytes):
        assert abs(MODES.index(sender) - MODES.index(receiver)) > 1


def test_only_who_requires_drops_what_is_unsigned() -> None:
    assert seal("a").open(DATAGRAM) is Fault.UNSIGNED
    for mode in ("accept", "sign"):
        assert seal("a", mode=mode).open(DATAGRAM) == CONTENT


def test_a_key_is_rotated_by_adding_swapping_and_removing() -> None:
    steps = [("a",), ("a", "b"), ("b", "a"), ("b",)]
    for before, after in pairwise(steps):
        for one, other in ((before, after), (after, before)):
            assert isinstance(seal(*one).open(said_by(seal(*other))), bytes)
    assert seal("a").open(said_by(seal("b"))) is Fault.KEY


def test_one_name_with_two_secrets_is_told_apart_from_a_key_that_is_not_there() -> None:
    other = Seal(SERVICE, KeyRing((key("a", secret="b"),), signs=True, unsigned=False))
    assert seal("a").open(said_by(other)) is Fault.TAG
    assert seal("b").open(said_by(other)) is Fault.KEY


def test_each_service_has_keys_of_its_own() -> None:
    """With the header of the right service as well: the key file may be shared, traffic is not."""
    stranger = seal("a", service="another")
    content = forge(13, key_id=stranger.key_id)[:-16]
    assert seal("a").open(stranger.seal(content)) is Fault.TAG


def test_no_bit_may_change() -> None:
    whole, opener = said_by(seal("a")), seal("a")
    for position in range(len(whole) * 8):
        changed = bytearray(whole)
        changed[position // 8] ^= 1 << position % 8
        assert isinstance(opener.open(bytes(changed)), Fault)


def test_a_secret_is_not_shown() -> None:
    assert "secret" not in repr(ring("a"))
    assert "...." not in repr(ring("a"))


@pytest.mark.parametrize(
    "wrong",
    [
        KeyRing((key("a"), key("b", 1))),
        KeyRing((Key(0, "zero", bytes(32)),)),
        KeyRing((), signs=True),
        KeyRing((), unsigned=False),
    ],
)
def test_what_only_we_can_get_wrong(wrong: KeyRing) -> None:
    with pytest.raises(InvariantBroken):
        Seal(SERVICE, wrong)
