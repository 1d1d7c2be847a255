"""``ftl-agent run``: the agent itself, in the foreground, until it is told to stop.

Promise: what is wrong with the configuration, the directories or the address is said on stderr, a
line for each fault, and ends in exit code 78, which tells a supervisor not to try again.
"""

from __future__ import annotations

import os
import sys

from followtheleader import cli
from followtheleader.cli import locating, options
from followtheleader.errors import AddressError, ConfigError, InstanceRunning, StateError

USAGE = """\
usage: ftl-agent run INSTANCE [--runtime-dir DIR] [--state-dir DIR]
       ftl-agent run -c FILE  [--runtime-dir DIR] [--state-dir DIR]

Run the agent of INSTANCE, configured by /etc/ftl/INSTANCE.yaml, in the foreground. SIGTERM makes it
end its job, hand over and leave; SIGHUP reloads.

  -c, --config FILE  another configuration; the instance is the stem of its name
  --runtime-dir DIR  role files and sockets (default /run/ftl/INSTANCE)
  --state-dir DIR    what must survive a restart (default /var/lib/ftl/INSTANCE)

Exit: 0 stopped as asked, 2 wrong usage, 78 the configuration, a directory, the address or another
agent of this instance is in the way.

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
        return _run(named, path, said.values.get("runtime-dir"), said.values.get("state-dir"))
    except (ConfigError, StateError, InstanceRunning, AddressError) as fault:
        print(fault, file=sys.stderr)
        return cli.BAD_START


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
