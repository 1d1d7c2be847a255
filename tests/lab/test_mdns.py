"""mDNS between real network namespaces."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.cable import PREFIX, Process, cable, ip

pytestmark = pytest.mark.lab

MEMBER = Path(__file__).with_name("mdns_member.py")

# Prints every change of the leader's records that another program, such as the seed, sees.
OBSERVER = """
import asyncio, json
from zeroconf import DNSQuestionType, IPVersion
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf
async def main():
    zc = AsyncZeroconf(interfaces=["10.77.0.2"], ip_version=IPVersion.V4Only)
    changes = asyncio.Queue()
    def on_change(zeroconf, service_type, name, state_change):
        changes.put_nowait((name, state_change.name))
    browser = AsyncServiceBrowser(zc.zeroconf, "_ftl._udp.local.", handlers=[on_change],
                                  question_type=DNSQuestionType.QM)
    print(json.dumps({"started": True}), flush=True)
    while True:
        name, change = await changes.get()
        info = AsyncServiceInfo("_ftl._udp.local.", name)
        known = await info.async_request(zc.zeroconf, 3000)
        print(json.dumps({"change": change, "name": name, "port": info.port if known else None,
                          "addresses": info.parsed_addresses(), "txt": len(info.properties)}),
              flush=True)
asyncio.run(main())
"""

# Prints a line for every answer on the network: when all are silent, nobody has asked.
LISTENER = """
import json, socket, struct
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("", 5353))
group = socket.inet_aton("224.0.0.251") + socket.inet_aton("10.77.0.2")
s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
print(json.dumps({"started": True}), flush=True)
while True:
    data = s.recv(9000)
    if data[2] & 0x80:
        print(json.dumps({"answer": True}), flush=True)
"""


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    with cable() as starter:
        yield starter


def found(address: str, port: int) -> Callable[[dict[str, Any]], bool]:
    return lambda line: line.get("found") == [address, port]


def member(node: str, number: int, service: str = "svc", interfaces: str = "") -> tuple[str, ...]:
    return (str(MEMBER), node, str(number), str(9000 + number), service, interfaces)


def test_members_find_each_other_and_only_their_own_service(
    start: Callable[..., Process],
) -> None:
    a = start("a", *member("node.a", 1))
    other = start("b", *member("other", 3, service="svc2"))
    b = start("b", *member("b", 2))
    assert a.wait_for(found("10.77.0.2", 9002))["node"] == "b"
    assert b.wait_for(found("10.77.0.1", 9001))["node"] == "node.a"
    for process in (a, b, other):
        process.say("quit")
    assert a.wait_for(lambda line: "closed" in line)["closed"] < 1.5
    other.wait_for(lambda line: "closed" in line)
    assert [line for line in other.seen if "found" in line] == []


def test_only_the_leader_has_the_leaders_record(start: Callable[..., Process]) -> None:
    observer = start("b", "-c", OBSERVER)
    a = start("a", *member("a", 1))
    a.say("lead")
    seen = observer.wait_for(lambda line: line.get("change") == "Added")
    assert seen["name"] == "svc._ftl._udp.local."
    assert (seen["port"], seen["addresses"], seen["txt"]) == (9001, ["10.77.0.1"], 0)
    a.say("follow")
    observer.wait_for(lambda line: line.get("change") == "Removed")
    # The member's own record stays: who starts later still finds it.
    late = start("b", *member("late", 2))
    late.wait_for(found("10.77.0.1", 9001))


def test_who_follows_nobody_is_announced_again_and_again(start: Callable[..., Process]) -> None:
    """Two parts of a network may never have heard of each other; but a follower's leader does it
    for it, or everybody would hear everybody all the time."""
    listener = start("b", "-c", LISTENER)
    a = start("a", *member("a", 1), "0.3")
    for _ in range(8):  # three at the start, and then nobody has asked
        listener.wait_for_next()
    a.say("follow")
    listener.wait_for_silence(1.5)
    a.say("lead")
    for _ in range(8):
        listener.wait_for_next()


def test_a_change_right_after_an_announcement_is_announced_a_little_later(
    start: Callable[..., Process],
) -> None:
    listener = start("b", "-c", LISTENER)
    a = start("a", *member("a", 1))
    listener.wait_for_next()
    a.say("follow")
    for _ in range(5):  # three at the start: the others are for the change
        listener.wait_for_next()


def test_port_5353_taken_exclusively_then_freed(start: Callable[..., Process]) -> None:
    holder = start(
        "a",
        "-c",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        "s.bind(('', 5353)); print('{\"started\": true}', flush=True); input()",
    )
    b = start("b", *member("b", 2))
    a = start("a", *member("a", 1))
    failure = a.wait_for(lambda line: "failure" in line)["failure"]
    assert failure.startswith("mDNS: UDP port 5353 is held by a program that does not share it; ")
    holder.say("")
    holder.end()
    a.say("refresh")
    a.wait_for(lambda line: "recovery" in line)
    a.wait_for(found("10.77.0.2", 9002))
    b.wait_for(found("10.77.0.1", 9001))


def test_an_address_that_changes_and_an_interface_that_goes(start: Callable[..., Process]) -> None:
    a = start("a", *member("a", 1))
    b = start("b", *member("b", 2))
    b.wait_for(found("10.77.0.1", 9001))
    ip("-n", f"{PREFIX}a", "addr", "add", "10.77.0.9/24", "dev", "eth0")
    ip("-n", f"{PREFIX}a", "addr", "del", "10.77.0.1/24", "dev", "eth0")
    # The kernel removes the secondary address of a network together with its primary one.
    subprocess.run(
        ["ip", "-n", f"{PREFIX}a", "addr", "add", "10.77.0.9/24", "dev", "eth0"],
        check=False,
        capture_output=True,
        timeout=10,
    )
    b.wait_for(found("10.77.0.9", 9001))
    ip("-n", f"{PREFIX}a", "link", "del", "eth0")
    a.wait_for(lambda line: "no usable interface" in line.get("failure", ""))


def test_members_that_started_apart_meet_when_the_cable_is_mended(
    start: Callable[..., Process],
) -> None:
    ip("-n", f"{PREFIX}b", "link", "set", "eth0", "down")
    a = start("a", *member("a", 1))
    b = start("b", *member("b", 2))
    ip("-n", f"{PREFIX}b", "link", "set", "eth0", "up")
    a.wait_for(found("10.77.0.2", 9002))
    b.wait_for(found("10.77.0.1", 9001))


def test_names_that_dns_would_not_like(start: Callable[..., Process]) -> None:
    a = start("a", *member("n" * 63, 1, service="über svc.with dots " * 20))
    b = start("b", *member("b", 2, service="über svc.with dots " * 20))
    b.say("lead")
    a.wait_for(found("10.77.0.2", 9002))
    assert b.wait_for(found("10.77.0.1", 9001))["node"] == "n" * 63
