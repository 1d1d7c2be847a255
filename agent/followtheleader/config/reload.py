"""What a reload can apply, and what waits for a restart.

H, T and B are constant for one incarnation, because voters promise by them; names, voters and
addresses are what peers know a node by. The table of keys says which is which.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from followtheleader.config.schema import KEYS
from followtheleader.config.settings import EVENTS, Settings

_FIELDS = {field.name for field in fields(Settings)}


def changed(old: Settings, new: Settings, *, reload: bool) -> list[str]:
    """Return the keys whose settings differ and which a reload applies (or does not), in order.

    The preset ``timing`` shows up as the heartbeat_interval that it stands for.
    """
    before, after = _flat(old), _flat(new)
    return [
        key.name
        for key in KEYS
        if key.reload is reload and before.get(key.name) != after.get(key.name)
    ]


def _flat(settings: Settings) -> dict[str, Any]:
    flat = {key.name: getattr(settings, key.name) for key in KEYS if key.name in _FIELDS}
    flat.update({f"hooks.on_{event}": settings.hooks.commands[event] for event in EVENTS})
    flat["hooks.timeout"] = settings.hooks.timeout
    flat["hooks.on_failure"] = settings.hooks.on_failure
    return flat
