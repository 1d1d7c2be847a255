"""The UDP endpoint and the interfaces on hosts whose network really changes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator

import pytest

from lab.cable import PREFIX, Process, cable, ip

pytestmark = pytest.mark.lab

# Receives on 0.0.0.0:9001 from the interface named first, sends to the address named second; tells
# what it receives, what it cannot send, and each change of its interfaces.
HOST = """
import asyncio, json, sys
from followtheleader.net.interfaces import has_carrier, usable
from followtheleader.net.udp import Endpoint
from followtheleader.net.watch import InterfaceWatch
def say(**facts):
    print(json.dumps(facts), flush=True)
async def main(taken, peer):
    endpoint = Endpoint.bind("0.0.0.0", 9001)
    endpoint.accept(i.index for i in usable((taken,)))
    endpoint.start(lambda data, sender: say(got=data.decode(), sender=sender[0]))
    say(started=True)
    def look():
        say(addresses=[i.address for i in usable()], carrier=has_carrier("eth0"))
    watch = InterfaceWatch(look)
    assert watch.start()
    number = 0
    while True:
        number += 1
        if not endpoint.send(str(number).encode(), (peer, 9001)):
            say(failed=[f.kind for f in endpoint.take_failures()])
        say(foreign=endpoint.foreign)
        await asyncio.sleep(0.1)
asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def start() -> Iterator[Callable[..., Process]]:
    with cable() as starter:
        yield starter


def test_only_chosen_interfaces_are_heard(start: Callable[..., Process]) -> None:
    chosen = start("a", "-c", HOST, "eth0", "10.77.0.2")
    deaf = start("b", "-c", HOST, "lo", "10.77.0.1")
    assert chosen.wait_for(lambda line: "got" in line)["sender"] == "10.77.0.2"
    deaf.wait_for(lambda line: line.get("foreign", 0) > 2)
    assert [line for line in deaf.seen if "got" in line] == []


def test_a_host_hears_itself_at_its_own_address(start: Callable[..., Process]) -> None:
    own = start("a", "-c", HOST, "eth0", "10.77.0.1")
    assert own.wait_for(lambda line: "got" in line)["sender"] == "10.77.0.1"


def test_changes_of_address_and_carrier_are_survived_and_told(
    start: Callable[..., Process],
) -> None:
    a = start("a", "-c", HOST, "eth0", "10.77.0.2")
    b = start("b", "-c", HOST, "eth0", "10.77.0.1")
    b.wait_for(lambda line: line.get("sender") == "10.77.0.1")
    ip("-n", f"{PREFIX}a", "addr", "flush", "dev", "eth0")
    a.wait_for(lambda line: line.get("addresses") == [])
    a.wait_for(lambda line: line.get("failed") == ["ENETUNREACH"])
    ip("-n", f"{PREFIX}a", "addr", "add", "10.77.0.7/24", "dev", "eth0")
    b.wait_for(lambda line: line.get("sender") == "10.77.0.7")
    ip("-n", f"{PREFIX}b", "link", "set", "eth0", "down")
    a.wait_for(lambda line: line.get("carrier") is False)


def test_a_firewall_of_this_host_is_told_apart(start: Callable[..., Process]) -> None:
    rules = "add table ip t; add chain ip t o { type filter hook output priority 0; policy drop; }"
    a = start("a", "-c", HOST, "eth0", "10.77.0.2")
    subprocess.run(["ip", "netns", "exec", f"{PREFIX}a", "nft", rules], check=True, timeout=10)
    a.wait_for(lambda line: line.get("failed") == ["EPERM"])
