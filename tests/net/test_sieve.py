"""The kernel's own sieve, on loopback: named sources pass, of others a share."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from followtheleader.core.types import Address
from followtheleader.net.sieve import MOST_NAMED, Sieve, program

MANY = 100
FAMILIES = pytest.mark.parametrize(
    ("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")], ids=["4", "6"]
)


class Stand:
    """A port with a sieve, and two that speak to it."""

    def __init__(self, family: socket.AddressFamily, host: str) -> None:
        self.bound, self.member, self.stranger = (
            socket.socket(family, socket.SOCK_DGRAM) for _ in range(3)
        )
        for one in (self.bound, self.member, self.stranger):
            one.bind((host, 0))
            one.setblocking(False)
        six = family == socket.AF_INET6
        self.sieve = Sieve(None, self.bound) if six else Sieve(self.bound, None)

    @property
    def named(self) -> Address:
        host, port, *_ = self.member.getsockname()
        return host, port

    def heard(self, speaker: socket.socket, times: int = MANY) -> int:
        """How many of so many datagrams come to be read."""
        for _ in range(times):
            speaker.sendto(b"x", self.bound.getsockname())
        heard = 0
        while True:
            try:
                self.bound.recv(10)
            except BlockingIOError:
                return heard
            heard += 1

    def close(self) -> None:
        for one in (self.bound, self.member, self.stranger):
            one.close()


@pytest.fixture(name="stand")
def fixture_stand(family: socket.AddressFamily, host: str) -> Iterator[Stand]:
    stand = Stand(family, host)
    yield stand
    stand.close()


@FAMILIES
def test_named_sources_pass_and_others_do_not(stand: Stand) -> None:
    stand.sieve.set([stand.named], 0.0)
    assert stand.sieve.works
    assert stand.heard(stand.member) == MANY
    assert stand.heard(stand.stranger) == 0
    assert stand.sieve.dropped() == MANY
    stand.sieve.clear()
    assert stand.heard(stand.stranger) == MANY
    stand.sieve.clear()


@FAMILIES
def test_of_others_a_share_passes(stand: Stand) -> None:
    stand.sieve.set([stand.named], 0.5)
    assert 100 < stand.heard(stand.stranger, 400) < 300
    stand.sieve.set([], 1.0)
    assert stand.heard(stand.stranger) == MANY


@FAMILIES
def test_as_many_as_a_program_holds(stand: Stand) -> None:
    """The last of them is found; the kernel takes the whole program."""
    strange = "10.0.0.1" if ":" not in stand.named[0] else "fe80::1%eth0"
    others: list[Address] = [(strange, 1 + n) for n in range(MOST_NAMED - 1)]
    stand.sieve.set([*others, stand.named, (strange, 9999)], 0.0)
    assert stand.sieve.works
    assert stand.heard(stand.member) == MANY
    assert stand.heard(stand.stranger) == 0


def test_the_same_port_of_another_host_does_not_pass() -> None:
    stand = Stand(socket.AF_INET, "127.0.0.1")
    try:
        stand.sieve.set([("127.0.0.2", stand.named[1])], 0.0)
        assert stand.heard(stand.member) == 0
    finally:
        stand.close()


def test_a_kernel_that_takes_none_changes_nothing() -> None:
    stand = Stand(socket.AF_INET, "127.0.0.1")
    try:
        sieve = Sieve(socket.socket(fileno=stand.bound.fileno()), None)
        assert sieve._four is not None
        sieve._four.detach()
        sieve.set([], 0.0)
        assert not sieve.works
        assert sieve.dropped() == 0
        sieve.clear()
        assert stand.heard(stand.stranger) == MANY
    finally:
        stand.close()


def test_programs_are_as_long_as_the_kernel_allows() -> None:
    six: list[Address] = [("fd00::1", 9001)] * MOST_NAMED
    four: list[Address] = [("10.0.0.1", 9001)] * MOST_NAMED
    for named, is_six in ((six, True), (four, False)):
        assert len(program(named, 0.1, is_six=is_six)) // 8 <= 4096
        assert len(program(named, 0.1, is_six=not is_six)) // 8 < 20
