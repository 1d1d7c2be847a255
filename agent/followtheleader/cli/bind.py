"""``ftl-agent bind`` and ``unbind``: a unit that runs on the leader only.

Promise: what ``bind`` writes is one drop-in, and ``unbind`` removes that and nothing else. A unit
that was enabled no longer starts at boot on every host; ``unbind`` enables it again.
"""

from __future__ import annotations

import contextlib
import os

from followtheleader import cli
from followtheleader.cli import options
from followtheleader.cli.locating import wrong_name
from followtheleader.host import units

USAGE = """\
usage: ftl-agent bind INSTANCE UNIT…

Have systemd run UNIT on the leader of INSTANCE and nowhere else: it is started when this host
begins to lead, and has ended before another's is started. Writes a drop-in for each unit, and stops
it now if this host does not lead. A unit that was started at boot no longer is.

Exit: 0 done, 1 systemd refused, 2 wrong usage, no such unit, or not root.

Example:
  ftl-agent bind svc nginx.service
"""

UNBIND_USAGE = """\
usage: ftl-agent unbind INSTANCE UNIT…

Undo what bind did: remove the drop-in, and enable the unit again if it was enabled. The unit is
neither started nor stopped.

Exit: 0 done, 1 systemd refused, 2 wrong usage, not bound by bind, or not root.

Example:
  ftl-agent unbind svc nginx.service
"""

WAS_ENABLED = "# It was enabled before."


def main(argv: list[str]) -> int:
    """Bind; return the exit code."""
    instance, names = _said(argv)
    for name in names:
        _bind(instance, _existing(name))
    return cli.YES


def unbind(argv: list[str]) -> int:
    """Unbind; return the exit code."""
    instance, names = _said(argv)
    for name in names:
        _unbind(instance, _full(name))
    return cli.YES


def drop_in(instance: str, was_enabled: bool) -> str:
    """Return the text that makes a unit follow the leader."""
    target = units.target_of(instance)
    return "\n".join(
        (
            "# Written by `ftl-agent bind`, removed by `ftl-agent unbind`.",
            *((WAS_ENABLED,) if was_enabled else ()),
            "[Unit]",
            "# Stopped with the leadership, and waited for before another host leads.",
            f"BindsTo={target}",
            f"After={target}",
            "",
            "[Install]",
            f"WantedBy={target}",
            "",
        )
    )


def _said(argv: list[str]) -> tuple[str, list[str]]:
    said = options.parse(argv, (), (), words=64)
    if len(said.words) < 2:
        raise options.WrongUsage("name the instance and a unit")
    instance, *names = said.words
    if wrong := wrong_name(instance):
        raise options.WrongUsage(wrong)
    if not units.is_running():
        raise options.WrongUsage("systemd does not run on this host; use hooks instead")
    if os.geteuid():
        raise options.WrongUsage(f"needs root, to write to {units.ADMINISTRATORS}")
    return instance, names


def _full(name: str) -> str:
    if "/" in name or name.startswith("-"):
        raise options.WrongUsage(f"{name!a} is not the name of a unit, such as nginx.service")
    return name if "." in name else f"{name}.service"


def _existing(name: str) -> units.Unit:
    found = units.unit(_full(name))
    if not found.exists:
        raise options.WrongUsage(f"{found.name}: there is no such unit on this host")
    if found.name.startswith("ftl-"):
        raise options.WrongUsage(f"{found.name} is one of the agent's own units")
    return found


def _bind(instance: str, unit: units.Unit) -> None:
    target = units.target_of(instance)
    others = [name for name in unit.binds_to if name.startswith("ftl-leader@") and name != target]
    if others:
        raise options.WrongUsage(f"{unit.name} is bound to {others[0]}: unbind it there first")
    place = _place(instance, unit.name)
    was_enabled = (unit.enabled and target not in unit.wanted_by) or WAS_ENABLED in _content(place)
    os.makedirs(os.path.dirname(place), 0o755, exist_ok=True)
    # Whatever the umask is: systemd does as root what is written there.
    fd = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    with open(fd, "w", encoding="ascii") as file:
        file.write(drop_in(instance, was_enabled))
    units.systemctl("daemon-reload")
    if unit.enabled:
        units.systemctl("disable", unit.name)
    units.systemctl("add-wants", target, unit.name)
    leads = units.unit(target).active
    units.systemctl(*(("--no-block", "start") if leads else ("stop",)), unit.name)
    now = "started, this host leads" if leads else "stopped, this host does not lead"
    print(f"{unit.name} follows the leader of {instance} ({now}); written: {place}")
    if was_enabled:
        print(f"{unit.name} is not started at boot any more, but by {target}")


def _unbind(instance: str, name: str) -> None:
    place = _place(instance, name)
    content = _content(place)
    if not content:
        raise options.WrongUsage(f"{name} was not bound to {instance} by bind: {place} is missing")
    os.unlink(place)
    wants = f"{units.ADMINISTRATORS}/{units.target_of(instance)}.wants"
    for link in (f"{wants}/{name}",):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)
    for folder in (os.path.dirname(place), wants):
        with contextlib.suppress(OSError):
            os.rmdir(folder)  # unless somebody else has something there
    units.systemctl("daemon-reload")
    if WAS_ENABLED in content:
        units.systemctl("enable", name)
    print(f"{name} no longer follows the leader of {instance}; it runs on as it is")


def _place(instance: str, name: str) -> str:
    return f"{units.ADMINISTRATORS}/{name}.d/ftl-leader-{instance}.conf"


def _content(place: str) -> str:
    try:
        with open(place, encoding="utf-8", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return ""
