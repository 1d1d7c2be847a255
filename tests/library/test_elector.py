"""The library's front door, with real sockets on loopback and no mDNS."""

from __future__ import annotations

import ctypes
import inspect
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from followtheleader import Elector, ElectorEvent, elect
from followtheleader.config.loader import default_of
from followtheleader.elector import MOST_WAITING, OPTIONS
from followtheleader.errors import AddressError

PATIENCE = 15.0
PR_GET_CHILD_SUBREAPER = 37


def free_ports(count: int) -> list[int]:
    """Ports that are free now: all are held until all are known."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    tick = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        tick.wait(0.01)


class Group:
    """Electors that know each other's ports, and what they told, in order."""

    def __init__(self, count: int) -> None:
        ports = free_ports(count)
        self.told: list[tuple[int, ElectorEvent]] = []
        self.members = [
            elect(
                "MyServiceName",
                host="127.0.0.1",
                port=port,
                node=f"n{number}",
                peers=tuple(f"127.0.0.1:{other}" for other in ports if other != port),
                mdns=False,
            )
            for number, port in enumerate(ports)
        ]
        for number, member in enumerate(self.members):
            for event in ("leader", "follower", "reelection", "error"):
                member.on(event, partial(self._hear, number))

    def _hear(self, number: int, event: ElectorEvent) -> None:
        self.told.append((number, event))

    def leaders(self) -> list[Elector]:
        return [member for member in self.members if member.is_leader]

    def events(self, number: int) -> list[str]:
        return [event.type for n, event in self.told if n == number]


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(3)
    for member in group.members:
        member.start()
    try:
        yield group
    finally:
        for member in group.members:
            member.stop()


def test_one_leads_and_the_others_follow_it(group: Group) -> None:
    wait_until(lambda: len(group.told) >= 3)

    assert len(group.leaders()) == 1
    leader = next(event for _, event in group.told if event.type == "leader")
    followers = [event for _, event in group.told if event.type == "follower"]
    assert {event.leader for event in followers} == {leader.leader}
    assert {event.term for event in followers} == {leader.term}
    assert leader.token == leader.term > 0


def test_stop_hands_over(group: Group) -> None:
    wait_until(lambda: len(group.told) >= 3)
    first = group.leaders()[0]
    number = group.members.index(first)

    assert first.stop()
    wait_until(lambda: len(group.leaders()) == 1)

    assert group.events(number)[-1] == "follower"
    assert not first.is_leader
    successor = group.members.index(group.leaders()[0])
    assert group.events(successor)[-2:] == ["reelection", "leader"]


def test_stop_waits_for_a_handler_and_says_so_if_it_may_not() -> None:
    """The leadership is kept meanwhile: the handler's work is what must not run twice."""
    goes_on = threading.Event()
    began = threading.Event()
    order: list[str] = []
    member = Elector("svc", host="127.0.0.1", mdns=False)

    def lead(_: ElectorEvent) -> None:
        began.set()
        goes_on.wait(30)
        order.append("leader ended")

    member.on("leader", lead)
    member.on("follower", lambda _: order.append("follower"))
    member.start()
    assert began.wait(10)
    assert not member.stop(timeout=0.1)
    assert order == []
    goes_on.set()
    assert member.stop()
    assert order == ["leader ended", "follower"]


def test_a_handler_may_stop_its_own_elector() -> None:
    said: list[object] = []
    member = Elector("svc", host="127.0.0.1", mdns=False)
    member.on("leader", lambda _: said.append(member.stop()))
    member.on("follower", lambda _: said.append("follower"))
    member.start()
    member.wait()
    assert said == [False, "follower"]


def test_a_handler_must_be_one() -> None:
    with pytest.raises(TypeError, match="handler: 5 cannot be called"):
        Elector("svc").on("leader", 5)  # type: ignore[arg-type]


def test_the_next_leads_only_after_the_follower_handlers_have_returned(group: Group) -> None:
    wait_until(lambda: len(group.told) >= 3)
    first = group.leaders()[0]
    may_return = threading.Event()
    first.on("follower", lambda _: may_return.wait(PATIENCE))
    stopping = threading.Thread(target=first.stop)
    stopping.start()
    number = group.members.index(first)
    wait_until(lambda: group.events(number)[-1] == "follower")

    # Longer than lease and lock: it goes on renewing until the handler has returned.
    assert not _leads_within(group, 2.0)
    may_return.set()
    stopping.join(PATIENCE)
    wait_until(lambda: len(group.leaders()) == 1)


def _leads_within(group: Group, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    tick = threading.Event()
    while time.monotonic() < deadline:
        if group.leaders():
            return True
        tick.wait(0.005)
    return False


def test_an_exception_in_a_handler_is_an_error_event_and_the_election_goes_on() -> None:
    seen: list[ElectorEvent] = []
    port = free_ports(1)[0]
    elector = elect({"name": "Lonely", "host": "127.0.0.1", "port": port, "mdns": False})
    elector.on("leader", lambda e: 1 / 0).on("error", seen.append)
    with elector:
        wait_until(lambda: bool(seen))
        assert isinstance(seen[0].error, ZeroDivisionError)
        wait_until(lambda: elector.is_leader)


def test_a_handler_that_exits_ends_neither_its_thread_nor_the_election() -> None:
    """Else nobody would ever settle, and the node could not hand over."""
    said: list[object] = []
    member = Elector("svc", host="127.0.0.1", mdns=False)
    member.on("leader", lambda _: sys.exit("enough"))
    member.on("leader", lambda _: said.append("next"))
    member.on("follower", lambda _: said.append("follower"))
    member.on("error", lambda event: said.append(repr(event.error)))
    member.start()
    wait_until(lambda: len(said) == 2)
    assert member.is_leader
    assert member.stop(timeout=PATIENCE)
    assert said == ["next", """RuntimeError("SystemExit('enough')")""", "follower"]


def test_options_of_the_seed() -> None:
    elector = elect({"name": "x", "type": "mine", "port": 9001, "maxFailedResponses": 5})

    assert elector.service == "x.mine"


NAME = "write a name of at most 63 bytes"
LIST = "write a list such as [10.0.0.2, host-b:9001]"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, f"name: is empty, {NAME}"),
        ({"name": 7}, 'name: 7 is a number, write it in quotes: "7"'),
        ({"type": "t" * 62}, "is longer than 63 bytes"),
        ({"host": "x"}, "host: 'x' is not an IPv4 address, write an address of this host"),
        ({"host": "fe80::1"}, "host: 'fe80::1' is of one link, its interface is missing"),
        ({"host": None}, "host: is None, write an address"),
        ({"node": "a b"}, "node: 'a b' cannot be used, write a name of letters, digits"),
        ({"port": 0}, "port: 0 is out of range, write a number from 1 to 65535"),
        ({"port": "9001"}, 'port: "9001" is text, write 9001 without quotes'),
        ({"port": True}, "port: true is a boolean, write a number from 1 to 65535"),
        ({"max_failed_responses": 0}, "max_failed_responses: 0 is out of range"),
        ({"maxFailedResponses": 2.5}, "max_failed_responses: '2.5' is not a whole number"),
        ({"mdns": "yes"}, 'mdns: "yes" is text, write true'),
        ({"interfaces": ["nope"]}, "interfaces: nope does not exist on this host now"),
        ({"interfaces": ["a b"]}, "interfaces: 'a b' cannot be used"),
        ({"interfaces": "lo"}, "interfaces: 'lo' is text, write a list: [lo]"),
        ({"peers": ["a b"]}, "peers: 'a b' is not a host name, write an address or a host name"),
        ({"peers": ["host:x"]}, "peers: 'x' is not a port (1 to 65535)"),
        (
            {"peers": ["::1:9001"]},
            "peers: '::1:9001' is IPv6 without brackets, write \"[::1]:9001\"",
        ),
        ({"peers": "a:1"}, "peers: 'a:1' is text, write a list: [a:1]"),
        ({"peers": {"a"}}, f"peers: {{'a'}} is of type set, {LIST}"),
        ({"peers": ["a", b"b"]}, f"peers: b'b' is of type bytes, {LIST}"),
        ({"hots": "10.0.0.2"}, "hots: is unknown, did you mean 'host'?"),
        ({"priority": 3}, "priority: is a key of the agent and no option of the library, write"),
    ],
    ids=str,
)
def test_options_that_make_no_sense_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(says)}" if ":" in says else says) as told:
        elect({"name": "x", **options} if options else {})
    assert "\n" not in str(told.value)


def test_every_fault_of_the_options_is_told_at_once() -> None:
    with pytest.raises(ValueError, match=":") as told:
        elect("x", port=0, host="q", peers=["a b", "10.0.0.2"])
    named = [line.partition(":")[0] for line in str(told.value).splitlines()]
    assert named == ["port", "host", "peers"]


def test_options_mean_what_they_mean_to_the_agent() -> None:
    """Including the defaults, which the signature states for people."""
    for name, parameter in inspect.signature(Elector).parameters.items():
        if name in ("host", "port", "max_failed_responses"):
            assert parameter.default == default_of(name)
    assert set(inspect.signature(Elector).parameters) == set(OPTIONS)
    assert elect("x", interfaces=["lo"], peers=["10.0.0.2", "b:1"], node=None).service == "x"


def test_a_host_name_that_no_node_can_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "höst")
    assert elect("x").service == "x"


def test_unknown_events_are_refused() -> None:
    with pytest.raises(ValueError, match="leader, follower, reelection, error"):
        elect("x").on("leading", print)


def test_a_taken_port_is_said_by_start() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        elector = elect("x", host="127.0.0.1", port=taken.getsockname()[1], mdns=False)
        with pytest.raises(AddressError, match="port"):
            elector.start()


def test_the_program_is_not_made_a_reaper() -> None:
    """Its children are its own affair: only the agent, which has no others, adopts orphans."""
    libc, told = ctypes.CDLL(None), ctypes.c_int(-1)
    group = Group(1)
    group.members[0].start()
    try:
        wait_until(lambda: group.members[0].is_leader)
        assert libc.prctl(PR_GET_CHILD_SUBREAPER, ctypes.byref(told), 0, 0, 0) == 0
        assert told.value == 0
    finally:
        group.members[0].stop()


def test_a_trouble_is_an_event_once_and_never_more_than_a_slow_handler_can_hear() -> None:
    """It is told again and again while it lasts, and others may cause it in other words."""
    elector = elect("MyServiceName", host="127.0.0.1", mdns=False)
    for _ in range(3):
        elector.on_trouble("mdns", "no multicast")
    assert elector._inbox.qsize() == 1
    elector.on_relief("mdns")
    elector.on_trouble("mdns", "no multicast")
    assert elector._inbox.qsize() == 2
    for number in range(1000):
        elector.on_trouble(f"member n{number}", "speaks version 9")
    assert elector._inbox.qsize() == MOST_WAITING
