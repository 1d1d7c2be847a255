"""A program: an agent that was taken over, in its unit's place and sandbox. It has the guardian's
channel and all that its user owns, and tries what it can; what came of it is JSON on stdout.

    taken_over.py INSTANCE TREASURE

TREASURE is a directory of root's with files named like ours.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Callable

EVIL = {
    "service": "--rsh=/tmp/mine",
    "role": "--help",
    "term": "--exec=/tmp/mine",
    "node": "$(touch /mine)",
    "reason": "a\nLD_PRELOAD=/tmp/mine.so",
    "LD_PRELOAD": "/tmp/mine.so",
    "path": "/tmp",
}


def tried(act: Callable[[], object]) -> str:
    """The name of what stands in the way, or what came of it."""
    try:
        return f"done: {act()!r}"
    except OSError as error:
        return type(error).__name__


def line(kind: str, **fields: object) -> bytes:
    return json.dumps({"m": kind, **fields}).encode() + b"\n"


def main(instance: str, treasure: str) -> None:
    home, etc = f"/run/ftl-guardian/{instance}", f"/etc/ftl/{instance}"
    found = {
        "guardian's directory": tried(lambda: os.listdir(home)),
        "beside it": tried(lambda: os.mkdir("/run/ftl-guardian/mine")),
        "its socket": tried(lambda: os.rename(f"{home}.sock", f"{home}.old")),
        "hook": tried(lambda: os.open(f"{etc}/on_leader.sh", os.O_WRONLY)),
        "configuration": tried(lambda: os.open(f"{etc}.yaml", os.O_WRONLY)),
        "signal to root": tried(lambda: os.kill(1, 0)),
        "control groups": tried(lambda: os.mkdir("/sys/fs/cgroup/mine")),
        "setuid program": tried(lambda: os.chmod(f"/var/lib/ftl/{instance}", 0o4755)),
    }
    guardian = socket.socket(socket.AF_UNIX)
    guardian.connect(f"{home}.sock")
    guardian.sendall(line("hello", pid=os.getpid()))
    now = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    guardian.sendall(line("lease", deadline=now + 60 * 10**9, stop_timeout=0, quorum=False))
    # Commands, paths and messages that there are not, then one that there is.
    guardian.sendall(line("run", command=["/bin/touch", "/mine"]))
    guardian.sendall(line("reload", config="/tmp/mine.yaml", hooks={"leader": [["/bin/id"]]}))
    guardian.sendall(b"\xff" * 200_000 + b"\n")
    guardian.sendall(line("event", event="leader", change=1, facts=EVIL, command="/tmp/mine"))
    heard = b""
    while b'"settled"' not in heard:
        heard += guardian.recv(65536)
    # The guardian will take the state files away that say leader: let it take root's.
    os.symlink(treasure, f"/run/ftl/{instance}")
    print(json.dumps(found), flush=True)
    os.kill(os.getpid(), 9)


if __name__ == "__main__":
    main(*sys.argv[1:3])
