"""``ftl-agent is-leader``: a yes or no for scripts, timers and units.

Promise: exit 0 only if the agent itself has just said ``leader``. It is asked over its socket and
not by its role file, so a dead or frozen agent is never mistaken for a leader: without an answer
within a second the exit code is 3.
"""

from __future__ import annotations

import sys
import time

from followtheleader import cli
from followtheleader.cli import locating, options
from followtheleader.errors import NoAnswer
from followtheleader.host import client

USAGE = """\
usage: ftl-agent is-leader [INSTANCE] [-q] [--wait TIME] [--json] [--runtime-dir DIR]

Ask the agent on this host whether it leads now, and print its role: leader, follower or
candidate. Without INSTANCE: the only one that runs.

  -q, --quiet        print nothing, only exit
  --wait TIME        wait so long for it to lead: 200ms, 30s, 5m
  --json             print one JSON object
  --runtime-dir DIR  where the agent keeps its sockets (default /run/ftl/INSTANCE)

Exit: 0 it leads, 1 it does not, 2 wrong usage, 3 no agent answers within a second. With --wait the
last answer within that time counts.

Example, a timer's service that runs on the leader only:
  ExecCondition=/usr/bin/ftl-agent is-leader svc
"""

ROLES = ("leader", "follower", "candidate")
POLL_INTERVAL = 0.05
"""Seconds between two questions of ``--wait``: twenty a second cost an agent next to nothing."""


def main(argv: list[str]) -> int:
    """Answer ``is-leader``; return the exit code."""
    said = options.parse(argv, ("-q --quiet", "--json"), ("--wait", "--runtime-dir"), words=1)
    wait = options.seconds(said.values["wait"], "--wait") if "wait" in said.values else 0.0
    instance, runtime_dir = said.word(), said.values.get("runtime-dir")
    try:
        role = _ask_until(instance, runtime_dir, wait)
    except NoAnswer as nobody:
        if "json" in said:
            _print_json(instance, None, str(nobody))
        elif "quiet" not in said:
            print(f"ftl-agent is-leader: {nobody}", file=sys.stderr)
        return cli.NO_ANSWER
    if "json" in said:
        _print_json(instance or _asked_name(runtime_dir), role, None)
    elif "quiet" not in said:
        print(role)
    return cli.YES if role == "leader" else cli.NO


def _ask_until(instance: str | None, runtime_dir: str | None, wait: float) -> str:
    """Ask until it leads or ``wait`` seconds are over; the last role said, or `NoAnswer`."""
    end = _now() + wait
    while True:
        try:
            # Located anew each time: the agent may appear while we wait.
            role = _ask(locating.status_socket(instance, runtime_dir))
            if role == "leader" or _now() >= end:
                return role
        except NoAnswer:
            # With time left it may yet be started, or recover.
            if _now() >= end:
                raise
        time.sleep(max(0.0, min(POLL_INTERVAL, end - _now())))


def _ask(path: str) -> str:
    role = client.ask_role(path, cli.ANSWER_WITHIN)
    if role not in ROLES:
        raise NoAnswer(f"{path}: {role[:200]!a} is not a role; ask again, or see ftl-agent status")
    return role


def _asked_name(runtime_dir: str | None) -> str | None:
    """The instance that answers where none was named; None if it stopped in between."""
    try:
        path = locating.status_socket(None, runtime_dir)
        name = client.ask(path, {"command": "status"}, cli.ANSWER_WITHIN).get("instance")
    except (NoAnswer, options.WrongUsage):
        return None
    return name if isinstance(name, str) else None


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _print_json(instance: str | None, role: str | None, error: str | None) -> None:
    import json

    answer = {"instance": instance, "role": role, "leader": role == "leader"}
    print(json.dumps(answer if error is None else {**answer, "error": error}))
