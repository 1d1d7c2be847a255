"""What a reload can apply, and what waits for a restart.

The table of keys says which is which. H, T and B are constant for one incarnation, because voters
promise by them; service, node, voters, witness and addresses are what peers know a node by.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, fields, replace
from typing import Any

from followtheleader.config.schema import KEYS
from followtheleader.config.settings import EVENTS, Settings

LOOK_SECONDS = 0.1
MOST_LOOKS = 20

_FIELDS = {field.name for field in fields(Settings)}


@dataclass(frozen=True, slots=True)
class Changes:
    """What a reload amounts to; lists of keys are in the order of the table.

    ``settings``: what the agent goes on with, the old ones with all that a reload applies.
    ``applied``: by the agent itself. ``hooks``: by the guardian, once it has read them.
    ``restart``: what the agent goes on without until it is started again.
    """

    settings: Settings
    applied: list[str]
    hooks: list[str]
    restart: list[str]

    @classmethod
    def between(cls, running: Settings, read: Settings) -> Changes:
        """Compare what runs with what was read.

        The preset ``timing`` shows up as the heartbeat_interval that it stands for.
        """
        before, after = _flat(running), _flat(read)
        changed = [key for key in KEYS if before.get(key.name) != after.get(key.name)]
        own = {
            key.name: getattr(read, key.name) for key in changed if key.reload and not key.section
        }
        return cls(
            settings=replace(running, hooks=read.hooks, keys=read.keys, **own),
            applied=list(own),
            hooks=[key.name for key in changed if key.section == "hooks"],
            restart=[key.name for key in changed if not key.reload],
        )

    @property
    def facts(self) -> dict[str, list[str]]:
        """The lists by name."""
        return {"applied": self.applied, "hooks": self.hooks, "restart": self.restart}


async def at_rest(*paths: str) -> None:
    """Wait until nobody has written to ``paths`` for a tenth of a second; two seconds at most.

    An editor that empties a file before it fills it would otherwise be read in between, and an
    empty file is a valid configuration.
    """
    before = [_stamp(path) for path in paths]
    for _ in range(MOST_LOOKS):
        await asyncio.sleep(LOOK_SECONDS)
        now = [_stamp(path) for path in paths]
        if now == before:
            return
        before = now


def _stamp(path: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _flat(settings: Settings) -> dict[str, Any]:
    flat = {key.name: getattr(settings, key.name) for key in KEYS if key.name in _FIELDS}
    flat.update({f"hooks.on_{event}": settings.hooks.commands[event] for event in EVENTS})
    # What the file holds is what matters: a reload reads it again, also where its name stays.
    flat["key_file"] = (settings.key_file, settings.keys)
    flat["hooks.timeout"] = settings.hooks.timeout
    flat["hooks.on_failure"] = settings.hooks.on_failure
    return flat
