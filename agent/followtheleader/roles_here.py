"""Small decisions about roles on this host: who makes ``/run/ftl/role``, and when to try again."""

from __future__ import annotations

import os

from followtheleader.config.settings import Settings
from followtheleader.core.types import NANOSECONDS, Span

CONFIG_DIR = "/etc/ftl"
DEFAULT_ROLE_FILE = "/run/ftl/role"
LONGEST_PAUSE: Span = 300 * NANOSECONDS


def role_link(settings: Settings) -> str | None:
    """Return the path of the role link that this instance makes, or None if it makes none.

    A ``role_file`` of its own is always made. The default one belongs to the ``primary`` instance,
    else to the only one that is configured.
    """
    if settings.role_file != DEFAULT_ROLE_FILE or settings.primary:
        return settings.role_file
    here = os.path.dirname(os.path.abspath(settings.path))
    return settings.role_file if here == CONFIG_DIR and len(_configured()) == 1 else None


def _configured() -> list[str]:
    try:
        return [name for name in os.listdir(CONFIG_DIR) if name.endswith(".yaml")]
    except OSError:
        return []


class HookFailures:
    """How long to sit out after an on_leader that failed: 1 s, doubled each time, up to 5 min."""

    def __init__(self) -> None:
        self._count = 0

    def forget(self) -> None:
        """It worked."""
        self._count = 0

    def next_pause(self) -> Span:
        """It failed once more."""
        pause = min(NANOSECONDS << min(self._count, 20), LONGEST_PAUSE)
        self._count += 1
        return pause
