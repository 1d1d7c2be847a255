"""``python -I -m followtheleader.guardian --config FILE --instance NAME --runtime-dir DIR --fd N``.

Started by the agent, never by hand. Exit codes: 0 all that was owed is done; 2 usage; 78 the
configuration or the runtime directory is at fault, with the reason on stderr.
"""

from __future__ import annotations

import os
import sys

from followtheleader.errors import StateError
from followtheleader.guardian.program import Guardian, Refused
from followtheleader.guardian.spawn import SpawnFailed

OPTIONS = ("--config", "--instance", "--runtime-dir", "--fd")
EXIT_USAGE = 2
EXIT_CONFIG = 78


def main(argv: list[str]) -> int:
    """Run one guardian to its end."""
    given = dict(zip(argv[::2], argv[1::2], strict=False))
    if len(argv) != 2 * len(OPTIONS) or set(given) != set(OPTIONS) or not given["--fd"].isdigit():
        sys.stderr.write("usage: followtheleader.guardian " + " … ".join(OPTIONS) + " …\n")
        return EXIT_USAGE
    config, runtime_dir = (
        os.path.abspath(given["--config"]),
        os.path.abspath(given["--runtime-dir"]),
    )
    instance = given["--instance"]
    _settle_in()
    try:
        Guardian(config, instance, runtime_dir, int(given["--fd"])).run()
    except (StateError, Refused, SpawnFailed) as fault:
        sys.stderr.write(f"ftl-guardian[{instance}]: {fault}\n")
        return EXIT_CONFIG
    return 0


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
