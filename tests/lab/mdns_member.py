"""A process that discovers: started by the mDNS tests inside a network namespace.

Arguments: node, id, port, service, interfaces (comma-separated; empty for the usable ones), and how
often to be announced again, in seconds, if not as usual.
Prints one JSON object a line for what it is told; reads the commands ``lead``, ``follow``,
``refresh`` and ``quit`` from stdin.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from followtheleader.net import mdns_session
from followtheleader.net.interfaces import usable
from followtheleader.net.mdns import Announcement, Discovery
from followtheleader.net.watch import InterfaceWatch


def say(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


async def main(
    node: str, node_id: str, port: str, service: str, names: str, often: str = ""
) -> None:
    if often:
        mdns_session.ANNOUNCE_SECONDS = float(often)
    chosen = tuple(name for name in names.split(",") if name)
    discovery = Discovery(
        Announcement(service, node, int(node_id), int(port), "1.0"),
        lambda: usable(chosen),
        lambda address, who: say(found=list(address), node=who),
        lambda message: say(failure=message),
        lambda: say(recovery=True),
    )
    watch = InterfaceWatch(discovery.refresh)
    watch.start()
    say(started=True)
    discovery.start()
    reader = asyncio.StreamReader()
    stdin, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while (command := (await reader.readline()).decode().strip()) not in ("", "quit"):
        if command == "refresh":
            discovery.refresh()
        else:
            discovery.set_role(leading=command == "lead", following=command == "follow")
    began = time.monotonic()
    await discovery.close()
    watch.close()
    stdin.close()
    say(closed=time.monotonic() - began)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
