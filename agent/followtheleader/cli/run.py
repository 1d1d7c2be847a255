"""``ftl-agent run``: the agent itself, in the foreground, until it is told to stop.

Promise: what is wrong with the configuration, the directories or the address is said on stderr, a
line for each fault, and ends in exit code 78, which tells a supervisor not to try again; what may
be well again without anybody's change, such as a disk that is full, in exit code 1.
"""

from __future__ import annotations

import os
import signal
import sys
from contextlib import contextmanager

from followtheleader import cli
from followtheleader.cli import locating, options
from followtheleader.errors import AddressError, ConfigError, InstanceRunning, StateError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

USAGE = """\
usage: ftl-agent run INSTANCE [--runtime-dir DIR] [--state-dir DIR]
       ftl-agent run -c FILE  [--runtime-dir DIR] [--state-dir DIR]

Run the agent of INSTANCE, configured by /etc/ftl/INSTANCE.yaml, in the foreground. SIGTERM makes it
end its job, hand over and leave; SIGHUP reloads.

  -c, --config FILE  another configuration; the instance is the stem of its name
  --runtime-dir DIR  role files and sockets (default /run/ftl/INSTANCE)
  --state-dir DIR    what must survive a restart (default /var/lib/ftl/INSTANCE)

Exit: 0 stopped as asked, 1 a disk is full or fails or the address is not there (yet), 2 wrong
usage, 78 the configuration, a directory, the port or another agent of this instance is in the way.

Example, without root and without installing anything:
  ftl-agent run -c ./svc.yaml --runtime-dir ./run --state-dir ./state
"""

CONFIG_DIR = "/etc/ftl"


def main(argv: list[str]) -> int:
    """Run the agent until it stops; return the exit code."""
    values = ("-c --config", "--runtime-dir", "--state-dir")
    said = options.parse(argv, (), values, words=1)
    named, path = said.word(), said.values.get("config")
    if (named is None) == (path is None):
        wrong = "name the instance or its file" if named is None else "an instance or -c, not both"
        raise options.WrongUsage(wrong)
    try:
        with _signals_heeded():
            return _run(named, path, said.values.get("runtime-dir"), said.values.get("state-dir"))
    except (StateError, AddressError) as fault:
        print(fault, file=sys.stderr)
        return cli.NO if fault.passing else cli.BAD_START
    except (ConfigError, InstanceRunning) as fault:
        print(fault, file=sys.stderr)
        return cli.BAD_START


@contextmanager
def _signals_heeded() -> Iterator[None]:
    """Until the agent does so itself: what it is made of takes some tenths of a second to import.

    Process 1 would not hear SIGTERM at all, and others would seem to have ended by accident.
    """
    heeded = {
        signal.SIGTERM: lambda *_: sys.exit(cli.YES),
        # There is nothing to read again yet. Not SIG_IGN, which children would inherit.
        signal.SIGHUP: lambda *_: None,
    }
    before = {number: signal.signal(number, handler) for number, handler in heeded.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def config_path(instance: str) -> str:
    """Where the configuration of ``instance`` lies."""
    return os.path.join(CONFIG_DIR, f"{instance}.yaml")


def _run(
    named: str | None, path: str | None, runtime_dir: str | None, state_dir: str | None
) -> int:
    # Here and not above: `ftl-agent help run` needs none of it.
    from followtheleader import agent, config
    from followtheleader.host import directories

    if named is not None:
        wrong = locating.wrong_name(named)
        if wrong is not None:
            raise ConfigError([wrong])
        path = config_path(named)
    settings = config.load(path or "", named)
    return agent.run(settings, directories.resolve(settings.instance, runtime_dir, state_dir))
