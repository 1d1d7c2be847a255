"""What ``check`` says of the units that follow the leader: are they bound rightly, and in time?

Asks systemd, and changes nothing.
"""

from __future__ import annotations

from followtheleader.config.durations import format_duration
from followtheleader.config.settings import Settings
from followtheleader.config.timeline import OPEN_GRACE
from followtheleader.host import units


def warnings(settings: Settings) -> list[str]:
    """Return a sentence for each unit that does not follow the leader as it seems to be meant."""
    if not units.is_running():
        return []
    try:
        following = units.followers(settings.instance)
    except units.SystemctlFailed as fault:
        return [f"units that follow the leader could not be asked for: {fault}"]
    return [text for unit in following for text in about(unit, settings)]


def about(unit: units.Unit, settings: Settings) -> list[str]:
    """Return what is wrong with one of them, each with the cure."""
    target = units.target_of(settings.instance)
    if not unit.exists:
        return [f"{unit.name}: {target} wants it, and there is no such unit"]
    cure = f"run ftl-agent bind {settings.instance} {unit.name}"
    found = []
    if target not in unit.binds_to:
        found.append(f"{unit.name}: runs on when this host no longer leads (no BindsTo=), {cure}")
    if target not in unit.after:
        found.append(f"{unit.name}: its end is not waited for (no After=), {cure}")
    if others := [name for name in unit.wanted_by if name != target]:
        found.append(f"{unit.name}: is started by {', '.join(others)} as well, {cure}")
    allowed, key = settings.stop_timeout, "stop_timeout"
    if not settings.voters and not allowed:
        allowed, key = OPEN_GRACE, "an open group without stop_timeout"
    if unit.stop_timeout > allowed:
        takes = format_duration(unit.stop_timeout) if unit.stop_timeout < units.FOREVER else "ever"
        found.append(
            f"{unit.name}: may take {takes} to end (TimeoutStopSec=), and is killed after "
            f"{format_duration(allowed)} ({key}); raise stop_timeout, or lower TimeoutStopSec="
        )
    return found
