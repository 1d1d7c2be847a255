"""A host that becomes many members: it answers the nonces, as anybody may where no key is set.

    python -m lab.joiner SERVICE TARGET PORT RATE SECONDS KIND

KIND says what is new each time: ``members`` (its id and name), ``lives`` (its incarnation), or
``namesakes`` (its id; it has the name of h1). Ends by itself after SECONDS (60 at most), and prints
how many it has been.
"""

from __future__ import annotations

import socket
import sys
import time

from followtheleader.core.messages import Header, Hello
from followtheleader.core.types import Owner
from followtheleader.wire import Codec, Rejected

FIRST = 1 << 32
ASKS = FIRST - 1
"""The id of one that never joins: the nonce that it is told is everybody's for a moment."""
STEP = 0.02


def greeting(number: int, kind: str, echo: int) -> Hello:
    return Hello(
        ack=echo != 0,
        nonce=0 if echo else number,
        echo=echo,
        seen=0,
        name="h1" if kind == "namesakes" else f"joiner{number}",
        quorum=False,
        voters_digest=0,
        timing_digest=0,
        witness=False,
    )


def say(service: str, number: int, kind: str, echo: int = 0) -> bytes:
    owner = Owner(FIRST, number) if kind == "lives" else Owner(FIRST + number, 1)
    header = Header(owner, 1 if echo == 0 else 2, 0, 100)
    return Codec(service, owner.id).encode(header, greeting(number, kind, echo))


def nonce(service: str, bound: socket.socket) -> int:
    """The newest nonce that has come; 0: none has."""
    newest = 0
    while True:
        try:
            data = bound.recv(2048)
        except BlockingIOError:
            return newest
        decoded = Codec(service, ASKS).decode(data)
        if not isinstance(decoded, Rejected) and isinstance(decoded[1], Hello):
            newest = decoded[1].nonce or newest


def main(service: str, target: str, port: str, rate: str, seconds: str, kind: str) -> None:
    to = (target, int(port))
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("", 0))
    bound.setblocking(False)
    began, been, number = time.monotonic(), 0, 0
    while (elapsed := time.monotonic() - began) < min(float(seconds), 60):
        header = Header(Owner(ASKS, 1), int(elapsed / STEP) + 1, 0, 100)
        bound.sendto(Codec(service, ASKS).encode(header, greeting(1, kind, 0)), to)
        time.sleep(STEP)
        echo = nonce(service, bound)
        while echo and been < elapsed * float(rate):
            number += 1
            been += 1
            bound.sendto(say(service, number, kind, echo), to)
    print(been)


if __name__ == "__main__":
    main(*sys.argv[1:])
