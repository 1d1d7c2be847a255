"""The agent, made a build from the future (see `sim.newer`): a prelude of its process.

``python -P -c "from lab.newer_build import run; run('newer')" run -c …`` is that build's ftl-agent.
"""

from __future__ import annotations

import itertools
import sys
from pathlib import Path

from followtheleader import driver
from followtheleader.core.actions import Send
from followtheleader.core.messages import Header, Hello
from followtheleader.driver import Driver
from sim.newer import STRANGE_EACH, NewerCodec, OnlyNewerCodec

BUILDS = {"newer": NewerCodec, "only-newer": OnlyNewerCodec}
TESTS = str(Path(__file__).parent.parent)


def code(build: str) -> str:
    """Return the program of an agent of that build, to be given its command line."""
    return (
        f"import sys; sys.path.append({TESTS!r}); from lab.newer_build import run; run({build!r})"
    )


def prelude(build: str) -> str:
    """Return what makes the agent of a process such a build, to be run before it."""
    return (
        f"import sys; sys.path.append({TESTS!r}); "
        f"from lab.newer_build import install; install({build!r})"
    )


def run(build: str) -> None:
    """Be ``ftl-agent`` of that build."""
    from followtheleader.cli.main import main

    install(build)
    sys.exit(main(sys.argv[1:]))


def install(build: str) -> None:
    """From now on this process's agent is of that build."""
    turns = itertools.count(1)
    say = Driver._send

    def say_more(self: Driver, order: Send) -> None:
        say(self, order)
        codec, sender = self._codec, self._sender
        if isinstance(order.message, Hello) or next(turns) % STRANGE_EACH:
            return
        assert isinstance(codec, NewerCodec)
        sender._counter += 1
        header = Header(
            self.node.owner, sender._counter, order.receiver, sender.priority, order.version
        )
        self.endpoint.send(codec.strange(header, order.message), order.address)

    setattr(driver, "Codec", BUILDS[build])  # noqa: B010
    setattr(Driver, "_send", say_more)  # noqa: B010
