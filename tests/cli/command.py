"""Running ``ftl-agent`` as people do: a process of its own, its exit code and what it printed."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from typing import NamedTuple

COMMAND = (sys.executable, "-P", "-m", "followtheleader")
SECONDS = 30


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


def ftl_agent(*words: str, env: Mapping[str, str] | None = None, cwd: str | None = None) -> Result:
    """Run ``ftl-agent words``; ``env`` is added to a clean environment."""
    done = subprocess.run(
        [*COMMAND, *words],
        capture_output=True,
        text=True,
        env=clean_environment(env),
        cwd=cwd,
        timeout=SECONDS,
    )
    return Result(done.returncode, done.stdout, done.stderr)


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what a supervisor or a desktop has set in it."""
    set_by_others = ("XDG_RUNTIME_DIR", "XDG_STATE_HOME", "RUNTIME_DIRECTORY", "STATE_DIRECTORY")
    kept = {name: value for name, value in os.environ.items() if name not in set_by_others}
    return {**kept, **(more or {})}
