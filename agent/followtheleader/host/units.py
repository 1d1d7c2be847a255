"""systemd's units of this host: what follows the leader, asked for and changed by systemctl.

Commands of an operator and ``check`` use it; the agent never does (its sandbox would not let it).
Where systemd does not run, `is_running` says so and nothing else may be called.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass

from followtheleader.errors import FtlError

ADMINISTRATORS = "/etc/systemd/system"
PATIENCE_SECONDS = 60
FOREVER = 2**63 - 1

_SPANS = {
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "min": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 24 * 3600 * 10**9,
    "w": 7 * 24 * 3600 * 10**9,
    "month": 2_629_800 * 10**9,
    "y": 31_557_600 * 10**9,
}
_SPAN = re.compile(r"([0-9.]+)(us|ms|month|min|s|h|d|w|y)")
_PROPERTIES = "Id LoadState ActiveState UnitFileState BindsTo After WantedBy TimeoutStopUSec"


class SystemctlFailed(FtlError):
    """systemctl said no; the text is what it said."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit as systemd has it. ``stop_timeout`` in nanoseconds (`FOREVER`: it is never killed)."""

    name: str
    exists: bool
    active: bool
    enabled: bool
    binds_to: tuple[str, ...]
    after: tuple[str, ...]
    wanted_by: tuple[str, ...]
    stop_timeout: int


def is_running() -> bool:
    """Is this host run by systemd?"""
    return os.path.isdir("/run/systemd/system")


def target_of(instance: str) -> str:
    """The name of the target that is active on the instance's leader."""
    return f"ftl-leader@{instance}.target"


def unit(name: str) -> Unit:
    """Return one unit; it need not exist. Raises `SystemctlFailed`."""
    told = systemctl("show", *(f"--property={word}" for word in _PROPERTIES.split()), name)
    facts = dict(line.partition("=")[::2] for line in told.splitlines() if "=" in line)
    words = {key: tuple(facts.get(key, "").split()) for key in ("BindsTo", "After", "WantedBy")}
    return Unit(
        facts.get("Id") or name,
        facts.get("LoadState") == "loaded",
        facts.get("ActiveState") in ("active", "activating", "reloading"),
        facts.get("UnitFileState") in ("enabled", "enabled-runtime", "linked"),
        words["BindsTo"],
        words["After"],
        words["WantedBy"],
        span(facts.get("TimeoutStopUSec", "infinity")),
    )


def followers(instance: str) -> list[Unit]:
    """Return the units that the leader target wants, or that are bound to it."""
    target = target_of(instance)
    told = systemctl(
        "show", "--property=Wants", "--property=Requires", "--property=BoundBy", target
    )
    names = [name for line in told.splitlines() for name in line.partition("=")[2].split()]
    return [unit(name) for name in sorted(set(names))]


def systemctl(*words: str) -> str:
    """Run systemctl and return what it printed. Raises `SystemctlFailed`."""
    argv = ["systemctl", "--no-ask-password", "--no-pager", *words]
    try:
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise SystemctlFailed(f"systemctl {' '.join(words)}: {error}") from None
    if done.returncode:
        said = done.stderr.strip() or f"exit status {done.returncode}"
        raise SystemctlFailed(f"systemctl {' '.join(words)}: {said}")
    return done.stdout


def span(text: str) -> int:
    """Return the nanoseconds of a time span as systemd prints it: ``1min 30s``, ``infinity``."""
    if text == "infinity":
        return FOREVER
    return round(sum(float(number) * _SPANS[unit] for number, unit in _SPAN.findall(text)))
