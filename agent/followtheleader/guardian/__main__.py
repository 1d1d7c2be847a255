"""The guardian's program; never started by hand:

    python -I -m followtheleader.guardian --config FILE --instance NAME --runtime-dir DIR --fd N
        by the agent, as its child, on the connection N
    … --home-dir DIR in place of --fd N
        by systemd, as root's unit ftl-guardian@NAME.service, with the socket on which agents come

A unit serves one agent and ends; the next connection starts it anew. Started with nobody at the
door, after it was killed, it makes good what its earlier life owed, and ends.

Exit codes: 0 all that was owed is done; 2 usage; 78 the configuration or a directory is at fault,
with the reason on stderr.
"""

from __future__ import annotations

import os
import sys

from followtheleader.errors import StateError
from followtheleader.guardian.door import Door, NoDoor
from followtheleader.guardian.manager import Manager
from followtheleader.guardian.post import Post
from followtheleader.guardian.program import Guardian, Refused
from followtheleader.guardian.spawn import SpawnFailed

PLACES = ("--config", "--instance", "--runtime-dir")
CHILD, UNIT = "--fd", "--home-dir"
EXIT_USAGE = 2
EXIT_CONFIG = 78
DOOR_PATIENCE_MS = 200


def main(argv: list[str]) -> int:
    """Run one guardian to its end."""
    given = dict(zip(argv[::2], argv[1::2], strict=False))
    if len(argv) != 2 * len(given) or set(given) not in ({*PLACES, CHILD}, {*PLACES, UNIT}):
        return _wrong_usage()
    if not given.get(CHILD, "0").isdigit():
        return _wrong_usage()
    config, instance, runtime_dir = (given[place] for place in PLACES)
    post = Post(config, instance, runtime_dir, given.get(UNIT, ""), in_unit=UNIT in given)
    _settle_in()
    try:
        if post.in_unit:
            _serve_at_the_door(post)
        else:
            Guardian(post, int(given[CHILD])).run()
    except (StateError, Refused, SpawnFailed, NoDoor) as fault:
        _say(post, str(fault))
        return EXIT_CONFIG
    return 0


def _serve_at_the_door(post: Post) -> None:
    door, manager = Door(post), Manager(os.environ.pop("NOTIFY_SOCKET", ""))
    manager.ready()
    while isinstance(guest := door.enter(DOOR_PATIENCE_MS), str):
        _say(post, guest)
    # Nobody: a connection that has ended already.
    fd, peer = guest or (os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), 0)
    Guardian(post, fd, peer, manager).run()
    manager.close()


def _wrong_usage() -> int:
    options = " … ".join((*PLACES, f"({CHILD}|{UNIT})"))
    sys.stderr.write(f"usage: followtheleader.guardian {options} …\n")
    return EXIT_USAGE


def _say(post: Post, text: str) -> None:
    sys.stderr.write(f"ftl-guardian[{post.instance}]: {text}\n")
    sys.stderr.flush()


def _settle_in() -> None:
    """Have three standard streams, hold no file system busy, be found by name."""
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(fd)
    os.chdir("/")
    os.umask(0o022)
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as name:
            name.write("ftl-guardian")
    except OSError:
        pass


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
