"""What strangers send: the npm package's PING, and noise."""

from __future__ import annotations

import random
import socket

from agent.stand import Node, Stand


def is_answered(node: Node) -> bool:
    """Does the node answer PING, before something else that it always answers?"""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as pinger:
        pinger.settimeout(0.3)
        pinger.sendto(b"PING", ("127.0.0.1", node.port))
        try:
            return pinger.recv(100) == b"PONG"
        except TimeoutError:
            return False


def received(node: Node) -> int:
    count: int = node.status()["counters"]["received"]
    return count


def test_pings_and_noise(stand: Stand) -> None:
    a, b = stand.pair()
    assert is_answered(a)
    before = received(b)
    assert not is_answered(b)
    assert received(b) > before

    rng = random.Random(7)
    noise = [rng.randbytes(rng.randrange(1, 1400)) for _ in range(300)]
    noise += [b"\xf2\x01" + rng.randbytes(rng.randrange(0, 158)) for _ in range(300)]
    noise += [b"", b"ping", b"PING\n", b"PONG"]  # only the exact word is a question
    changes = [a.status()["change"], b.status()["change"]]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for datagram in noise:
            stranger.sendto(datagram, ("127.0.0.1", a.port))

    def rejected() -> int:
        counters = a.status()["counters"]
        return sum(n for name, n in counters.items() if name.startswith("rejected-"))

    stand.wait(lambda: rejected() >= len(noise), "every one of them is counted")
    assert [a.status()["change"], b.status()["change"]] == changes
    assert a.role == "leader"
    assert len(a.status()["members"]) == 1
