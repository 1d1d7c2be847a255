"""A program: print the hooks of a configuration as one JSON object, for the guardian.

    python3 -I -m followtheleader.config.hooks FILE [--instance NAME]

    {"commands": {"leader": [["/path", "argument"]], "follower": null, ...}, "timeout": ns,
     "on_failure": "step-down", "default_dir": "/etc/ftl/svc", "service": "svc"}

The guardian stays small and free of yaml: it runs this as a short-lived child. ``null`` means that
the event has no hooks set, and the files in ``default_dir`` run. Exit codes: 0, 2 for a wrong
command line, 78 (EX_CONFIG) for a faulty file, with every fault on stderr and nothing on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import sys

from followtheleader.config.loader import load
from followtheleader.config.settings import Settings
from followtheleader.errors import ConfigError


def hooks_json(settings: Settings) -> str:
    """Return the hooks of ``settings`` as one line of JSON."""
    hooks = settings.hooks
    return json.dumps(
        {
            "commands": dict(hooks.commands),
            "timeout": hooks.timeout,
            "on_failure": hooks.on_failure,
            "default_dir": settings.hooks_dir,
            "service": settings.service,
        }
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(prog="followtheleader.config.hooks")
    parser.add_argument("file")
    parser.add_argument("--instance")
    options = parser.parse_args(arguments)
    try:
        settings = load(options.file, options.instance, keys=False)
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return os.EX_CONFIG
    sys.stdout.write(hooks_json(settings) + "\n")
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
