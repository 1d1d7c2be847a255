"""Builds of two versions: what each reads of the other, and what it drops and counts."""

from __future__ import annotations

import dataclasses

import pytest

from followtheleader.core.messages import Bye, Header, Hello, Message
from followtheleader.errors import InvariantBroken
from followtheleader.wire import Codec, Fault, Rejected
from sim.newer import NEWER, ONLY_NEWER, NewerCodec, OnlyNewerCodec
from wire.samples import HEADER, ME, PEER, SAMPLES, SERVICE

IN_2 = dataclasses.replace(HEADER, version=2)
GREETINGS = {name for name, message in SAMPLES.items() if isinstance(message, Hello)}
OTHERS = SAMPLES.keys() - GREETINGS
SAID = pytest.mark.parametrize("name", sorted(OTHERS))
EVERY_BUILD = pytest.mark.parametrize("build", [Codec, NewerCodec, OnlyNewerCodec])


def heard(by: type[Codec], datagram: bytes) -> tuple[Header, Message] | Fault:
    outcome = by(SERVICE, PEER).decode(datagram)
    return outcome.reason if isinstance(outcome, Rejected) else outcome


@SAID
def test_what_is_said_in_version_1_is_read_by_both(name: str) -> None:
    for speaker in (Codec, NewerCodec):
        datagram = speaker(SERVICE, ME).encode(HEADER, SAMPLES[name])
        for listener in (Codec, NewerCodec):
            assert heard(listener, datagram) == (HEADER, SAMPLES[name])
        assert heard(OnlyNewerCodec, datagram) is Fault.VERSION


@SAID
def test_version_2_says_more_and_is_read_by_whoever_speaks_it(name: str) -> None:
    datagram = NewerCodec(SERVICE, ME).encode(IN_2, SAMPLES[name])
    assert len(datagram) > len(NewerCodec(SERVICE, ME).encode(HEADER, SAMPLES[name]))
    assert heard(NewerCodec, datagram) == heard(OnlyNewerCodec, datagram) == (IN_2, SAMPLES[name])
    assert heard(Codec, datagram) is Fault.VERSION


@pytest.mark.parametrize("name", sorted(GREETINGS))
@EVERY_BUILD
def test_greetings_are_read_by_all(name: str, build: type[Codec]) -> None:
    sample = SAMPLES[name]
    assert isinstance(sample, Hello)
    greeting = dataclasses.replace(sample, versions=build.versions)
    datagram = build(SERVICE, ME).encode(HEADER, greeting)
    for listener in (Codec, NewerCodec, OnlyNewerCodec):
        assert heard(listener, datagram) == (HEADER, greeting)


@EVERY_BUILD
def test_a_type_that_is_not_known_is_dropped_by_its_name(build: type[Codec]) -> None:
    for header in (HEADER, IN_2):
        strange = NewerCodec(SERVICE, ME).strange(header, Bye())
        read = build.versions[0] <= header.version <= build.versions[1]
        assert heard(build, strange) is (Fault.TYPE if read else Fault.VERSION)


def test_nobody_says_what_it_does_not_speak() -> None:
    for build, wrong in ((Codec, 2), (NewerCodec, 3), (OnlyNewerCodec, 1), (Codec, 0)):
        with pytest.raises(InvariantBroken):
            build(SERVICE, ME).encode(dataclasses.replace(HEADER, version=wrong), Bye())
    with pytest.raises(InvariantBroken):
        NewerCodec(SERVICE, ME).encode(IN_2, SAMPLES["hello"])


def test_the_builds_are_what_they_are_called() -> None:
    assert (Codec.versions, NewerCodec.versions, OnlyNewerCodec.versions) == (
        (1, 1),
        NEWER,
        ONLY_NEWER,
    )
