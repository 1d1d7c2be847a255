"""What mDNS needs no network for: names, and a discovery that cannot begin."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from followtheleader.net import mdns
from followtheleader.net.interfaces import Interface
from followtheleader.net.mdns import Announcement, Discovery, label, service_mark
from followtheleader.net.mdns_session import _sockets

WHO = Announcement("svc", "node-a.example", 0xAB, 9001, "1.0")


def test_labels() -> None:
    assert WHO.member_label == "node-a-example-00000000000000ab"
    assert WHO.leader_label == "svc"
    assert label("...") == "---"
    assert label("") == "x"
    assert label("a\tb\0") == "a-b-"


@given(st.text(max_size=300), st.sampled_from(["", "-00000000000000ab"]))
def test_a_label_is_always_one_label(name: str, ending: str) -> None:
    made = label(name, ending)
    assert 0 < len(made.encode()) <= 63
    assert "." not in made
    assert made.endswith(ending)


@given(st.text(max_size=300))
def test_txt_entries_fit(service: str) -> None:
    who = Announcement(service, "n" * 63, 2**64 - 1, 9001, "1" * 300)
    assert all(len(key) + 1 + len(value) <= 255 for key, value in who.txt.items())


def test_services_are_told_apart_whatever_their_length() -> None:
    names = ["a", "b", "x" * 200, "x" * 201, "x" * 202]
    assert len({service_mark(name) for name in names}) == len(names)


def test_one_socket_for_each_interface_and_family() -> None:
    places = [
        Interface("eth0", 2, "10.0.0.2", 24),
        Interface("eth0", 2, "10.0.0.3", 24),
        Interface("eth1", 3, "10.0.1.2", 24),
        Interface("eth0", 2, "fd00::2", 64),
        Interface("eth0", 2, "fe80::2%eth0", 64),
        Interface("eth1", 3, "fe80::3%eth1", 64),
    ]
    assert _sockets(places) == ["10.0.0.2", "10.0.1.2", "fe80::2", "fe80::3"]


def test_two_interfaces_with_the_same_address() -> None:
    """A VLAN has the link-local address of what it lies on; a numberless link borrows IPv4."""
    places = [
        Interface("eth0", 2, "10.0.0.2", 32),
        Interface("eth0.7", 7, "10.0.0.2", 32),
        Interface("eth0", 2, "fe80::2%eth0", 64),
        Interface("eth0.7", 7, "fe80::2%eth0.7", 64),
    ]
    assert _sockets(places) == ["10.0.0.2", 2, 7]


def run_until_told(interfaces: object, most_seconds: float = 5) -> list[str]:
    """Start a discovery on these interfaces; what it says at first."""
    told: list[str] = []

    async def main() -> None:
        said = asyncio.Event()

        def on_failure(message: str) -> None:
            told.append(message)
            said.set()

        def chosen() -> list[Interface]:
            if isinstance(interfaces, Exception):
                raise interfaces
            assert isinstance(interfaces, list)
            return interfaces

        discovery = Discovery(WHO, chosen, lambda address, node: None, on_failure)
        discovery.start()
        async with asyncio.timeout(most_seconds):
            await said.wait()
        discovery.refresh()
        discovery.set_role(leading=True, following=False)
        await asyncio.sleep(0)
        assert discovery.failure is not None
        await discovery.close()
        await discovery.close()

    asyncio.run(main())
    return told


CURE = "members are found by `peers` and remembered addresses only; trying on"


def test_no_interface_yet() -> None:
    assert run_until_told([]) == [f"mDNS: no usable interface has an address yet; {CURE}"]


def test_an_interface_that_vanished() -> None:
    assert run_until_told(OSError("eth9: gone")) == [f"mDNS: eth9: gone; {CURE}"]


def test_what_cannot_ask_keeps_nobody_waiting() -> None:
    async def main() -> None:
        asked = asyncio.Event()
        discovery = Discovery(
            WHO, list, lambda address, node: None, lambda message: None, on_search=asked.set
        )
        discovery.start()
        async with asyncio.timeout(5):
            await asked.wait()
        await discovery.close()

    asyncio.run(main())


def test_recovery_is_told_and_the_next_failure_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zeroconf here: a session that fails, fails, works, fails."""
    from followtheleader.net import mdns_session

    outcomes = iter(["down", "down", None, "down"])

    class Scripted:
        def __init__(self, *_: object) -> None: ...

        async def open(self) -> str | None:
            return next(outcomes, "end")

        async def publish(self, leading: bool, *, following: bool, woken: bool) -> str | None:
            return "cut"

        async def close(self) -> None: ...

    monkeypatch.setattr(mdns_session, "Session", Scripted)
    monkeypatch.setattr(mdns, "FIRST_RETRY_SECONDS", 0.01)
    told: list[str] = []

    async def main() -> None:
        ended = asyncio.Event()

        def on_failure(message: str) -> None:
            told.append(message.split(";")[0])
            if message.startswith("mDNS: end"):
                ended.set()

        discovery = Discovery(
            WHO,
            lambda: [Interface("lo", 1, "127.0.0.1", 8)],
            lambda address, node: None,
            on_failure,
            lambda: told.append("recovered"),
        )
        discovery.start()
        async with asyncio.timeout(5):
            await ended.wait()
        await discovery.close()

    asyncio.run(main())
    assert told == ["mDNS: down", "recovered", "mDNS: cut", "mDNS: down", "mDNS: end"]


def test_what_zeroconf_warns_of_ends_with_the_next_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """No zeroconf here: a session that cannot send while the link is down. Zeroconf says each fault
    once; after the next change of interfaces new sockets show that it is over."""
    from followtheleader.net import mdns_session

    opened: list[Scripted] = []

    class Scripted:
        def __init__(self, *told: object) -> None:
            self._complain = told[3]
            self._first = not opened
            opened.append(self)

        async def open(self) -> str | None:
            return None

        async def publish(self, leading: bool, *, following: bool, woken: bool) -> str | None:
            if self._first:
                assert callable(self._complain)
                self._complain("Network is unreachable")
            return None

        async def wait(self, wake: asyncio.Event) -> bool:
            await wake.wait()
            return True

        async def close(self) -> None: ...

    monkeypatch.setattr(mdns_session, "Session", Scripted)
    told: list[str] = []

    async def main() -> None:
        failed, over = asyncio.Event(), asyncio.Event()

        def on_failure(message: str) -> None:
            told.append(message)
            failed.set()

        chosen = [Interface("lo", 1, "127.0.0.1", 8)]
        discovery = Discovery(WHO, lambda: chosen, lambda address, node: None, on_failure, over.set)
        discovery.start()
        async with asyncio.timeout(5):
            await failed.wait()
            assert not over.is_set()
            discovery.refresh()
            await over.wait()
        discovery.refresh()
        await asyncio.sleep(0)
        await discovery.close()

    asyncio.run(main())
    assert told == ["mDNS: Network is unreachable"]
    assert len(opened) == 2
