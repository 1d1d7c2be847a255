"""Who is heard when too many speak; the sieve is one that only remembers."""

from __future__ import annotations

from collections.abc import Iterable

from followtheleader.core.peers import KEEPALIVE
from followtheleader.core.types import NANOSECONDS, Address, Owner
from followtheleader.core.view import MemberView
from followtheleader.net import gate
from followtheleader.net.gate import Gate
from followtheleader.net.sieve import Sieve

MEMBER: Address = ("10.0.0.1", 9001)
NEWCOMER: Address = ("10.0.0.2", 9001)
START = 10**15


class Remembers(Sieve):
    """``named`` and ``share`` as they were set last."""

    def __init__(self) -> None:
        super().__init__(None, None)
        self.named: list[Address] | None = None
        self.share = 1.0
        self.unread = 0

    def set(self, named: Iterable[Address], share: float) -> None:
        self.named, self.share = list(named), share

    def clear(self) -> None:
        self.named, self.share = None, 1.0

    def dropped(self) -> int:
        return self.unread


def member(number: int, address: Address, heard_at: int = START) -> MemberView:
    return MemberView(
        *(number, Owner(number, 1), f"m{number}", address, 100, False, False),
        *((1, 1), 1, False, False, False, False, heard_at),
    )


class Door:
    """A gate with one member, and its clock."""

    def __init__(self) -> None:
        self.sieve = Remembers()
        self.gate = Gate(self.sieve)
        self.now = START
        self.gate.know([member(1, MEMBER)], self.now)

    def heard(self, source: Address, times: int) -> int:
        return sum(self.gate.admits(source, self.now) for _ in range(times))

    def heard_of_many(self, hosts: int, each: int = 1) -> int:
        """As `heard`, from so many hosts that nobody knows."""
        return sum(
            self.heard((f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}", 9001), each)
            for n in range(1 << 16, (1 << 16) + hosts)
        )

    def wait(self, seconds: float = 1.0) -> None:
        self.now += int(seconds * NANOSECONDS)


def test_a_strange_host_has_a_bound_and_others_are_heard_beside_it() -> None:
    door = Door()
    assert door.heard(("10.0.0.9", 1), 150) == 150
    assert door.heard(("10.0.0.9", 2), 500) == gate.OF_A_HOST - 150
    assert door.heard(NEWCOMER, 50) == 50
    door.wait()
    assert door.heard(("10.0.0.9", 1), 500) == gate.OF_A_HOST


def test_all_strangers_together_have_a_bound_and_members_are_heard_beside_them() -> None:
    door = Door()
    assert door.heard_of_many(3000) == gate.OF_STRANGERS
    assert door.heard(NEWCOMER, 1) == 0
    assert door.heard(MEMBER, 400) == 400
    assert len(door.gate._counts) <= 1025


def test_nodes_of_this_host_have_no_bound_each() -> None:
    assert Door().heard(("127.0.0.1", 9001), 5000) == gate.OF_STRANGERS


def test_a_member_has_a_bound_too() -> None:
    door = Door()
    assert door.heard(MEMBER, 20_000) == gate.OF_A_MEMBER


def test_whom_we_have_greeted_is_heard_beside_a_flood_for_a_moment() -> None:
    door = Door()
    door.heard_of_many(3000)
    assert door.gate.may_greet(NEWCOMER, door.now, asks=False)
    assert door.heard(NEWCOMER, 100) == gate.OF_A_GREETED
    door.wait(6)
    door.heard_of_many(3000)
    assert door.heard(NEWCOMER, 100) == 0


def test_whoever_spoke_first_is_not_heard_because_it_was_asked() -> None:
    """Else whoever sends in many names would be heard in all of them."""
    door = Door()
    door.heard_of_many(3000)
    assert door.gate.may_greet(NEWCOMER, door.now, asks=True)
    assert door.heard(NEWCOMER, 100) == 0


def test_all_whom_we_have_greeted_have_a_bound_together() -> None:
    door = Door()
    greeted: list[Address] = [("10.9.0.1", port) for port in range(1, 200)]
    assert all(door.gate.may_greet(one, door.now, asks=False) for one in greeted)
    door.heard_of_many(3000)
    assert sum(door.heard(one, 100) for one in greeted) == gate.OF_ALL_GREETED


def test_what_strangers_make_us_say_has_a_bound() -> None:
    """A question is longer than what it answers, and its sender may be made up."""
    door = Door()
    asked = [("10.1.0.1", port) for port in range(1, 5000)]
    assert sum(door.gate.may_greet(one, door.now, asks=True) for one in asked) == 100
    tried = [("10.2.0.1", port) for port in range(1, 5000)]
    assert sum(door.gate.may_greet(one, door.now, asks=False) for one in tried) == 1024
    assert door.gate.may_greet(MEMBER, door.now, asks=True)
    assert door.gate.may_greet(MEMBER, door.now, asks=False)
    assert len(door.gate._greeted) <= 256


def test_a_flood_is_thinned_out_by_the_kernel_and_members_are_named() -> None:
    door = Door()
    door.wait(0.1)
    door.gate.may_greet(NEWCOMER, door.now, asks=False)
    door.heard_of_many(gate.SIEVE_AT - 1)
    assert door.sieve.named is None
    door.heard_of_many(1)
    assert door.sieve.named == [MEMBER, NEWCOMER]
    assert 0.04 < door.sieve.share < 0.06, "4000 in a tenth of a second; 2000 are to be read"
    door.wait()
    door.sieve.unread = 96_000
    door.heard(MEMBER, 1)
    assert door.gate.unread == 96_000
    assert 0.01 < door.sieve.share < 0.03, "100,000 in the second before"


def test_the_sieve_goes_with_the_flood_though_nobody_speaks() -> None:
    door = Door()
    door.heard_of_many(20_000)
    assert door.sieve.named == [MEMBER]
    door.wait()
    door.gate.turn(door.now)
    assert door.sieve.named == [MEMBER], "of the second before"
    door.wait()
    door.gate.turn(door.now)
    assert door.sieve.named is None


def test_a_member_that_floods_is_named_no_more() -> None:
    door = Door()
    assert door.heard(MEMBER, 20_000) == gate.OF_A_MEMBER
    door.wait()
    door.gate.turn(door.now)
    assert door.sieve.named == []


def test_a_host_has_so_many_members() -> None:
    door = Door()
    host = "10.0.0.7"
    those = [member(n, (host, n)) for n in range(10, 10 + gate.MEMBERS_OF_A_HOST)]
    door.gate.know(those, door.now)
    assert not door.gate.may_join(Owner(99, 1), (host, 99), door.now)
    assert door.gate.may_join(Owner(99, 1), NEWCOMER, door.now)
    assert door.gate.may_join(Owner(10, 1), (host, 10), door.now), "it is one"
    assert door.gate.may_join(Owner(10, 2), (host, 10), door.now), "it begins anew"
    assert not door.gate.may_join(Owner(1, 2), (host, 1), door.now)
    assert not door.gate.is_outdated(door.now)
    door.wait(2 * KEEPALIVE / NANOSECONDS)
    assert door.gate.is_outdated(door.now)
    door.gate.know(those, door.now)
    assert door.gate.may_join(Owner(99, 1), (host, 99), door.now), "the others are silent"


def test_those_who_come_at_once_are_counted_before_any_is_a_member() -> None:
    door = Door()
    joined = [door.gate.may_join(Owner(n, 1), ("10.0.0.7", n), door.now) for n in range(10, 99)]
    assert sum(joined) == gate.MEMBERS_OF_A_HOST


def test_joining_has_a_pace() -> None:
    door = Door()
    homes = [(f"10.3.{n >> 8}.{n & 255}", 9001) for n in range(1000)]
    joined = [door.gate.may_join(Owner(n, 1), at, door.now) for n, at in enumerate(homes, 2)]
    assert sum(joined) == 256
    door.wait()
    joined = [door.gate.may_join(Owner(n, 2), at, door.now) for n, at in enumerate(homes, 2)]
    assert sum(joined) == 10
