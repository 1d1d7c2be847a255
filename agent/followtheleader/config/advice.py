"""What a valid configuration may still get wrong.

`warnings` looks at this host (do the hooks exist?) and changes nothing. It serves ``ftl-agent
check``. Nothing here stops an agent from starting.
"""

from __future__ import annotations

import errno
import os
import shlex
import socket
import stat
from collections.abc import Iterable, Mapping
from dataclasses import replace

from followtheleader.config import timeline
from followtheleader.config.durations import MS, SECOND, format_duration
from followtheleader.config.faults import near_miss, printable, show
from followtheleader.config.keyfile import CREDENTIALS, why_not_for_agent
from followtheleader.config.loader import default_of
from followtheleader.config.settings import Command, Settings
from followtheleader.core.addresses import is_loopback
from followtheleader.hook_files import (
    default_folder,
    default_hooks,
    is_executable,
    why_not,
    why_untrusted,
    why_untrusted_command,
)

BUSY_HOST = 25 * MS
"""Heartbeats closer than this make an ordinarily busy host lapse."""
DEFAULT_PRIORITY = 100


def warnings(settings: Settings) -> list[str]:
    """Return a sentence for everything that is allowed but perhaps not meant; each with a cure."""
    return [
        *_about_voters(settings),
        *_about_this_node(settings),
        *_about_timing(settings),
        *_about_preemption(settings),
        *_about_network(settings),
        *hook_warnings(settings.hooks.commands, settings.hooks_dir),
    ]


def hook_warnings(commands: Mapping[str, tuple[Command, ...] | None], hooks_dir: str) -> list[str]:
    """Return what is wrong with the hooks: ``commands`` are set, those in ``hooks_dir`` default.

    An event that is not in ``commands`` is passed over. The rules are those of `HookSettings`.
    """
    found = []
    for event in commands:
        key = f"hooks.on_{event}"
        argvs = commands[event]
        if argvs is None:
            found += _about_default_hooks(hooks_dir, event)
            continue
        for argv in argvs:
            found += _about_file(key, argv[0])
            # `[/a.sh, /b.sh]` is one command; whoever wrote it may have meant two.
            scripts = [word for word in argv[1:] if is_executable(word) and word[0] == "/"]
            if len(argvs) == 1 and len(argv) == 2 and scripts:
                found.append(
                    f"{key}: {scripts[0]} is an argument of {argv[0]}; to run both, write "
                    f"[[{argv[0]}], [{scripts[0]}]]"
                )
    return found


def untrusted(settings: Settings) -> list[str]:
    """Return what root's guardian will refuse: files that others than root can change."""
    reasons = {settings.path: why_untrusted(settings.path)}
    for event, argvs in settings.hooks.commands.items():
        default = default_hooks(settings.hooks_dir, event) if argvs is None else ()
        for argv in [*(argvs or ()), *((path,) for path in default)]:
            reasons[argv[0]] = reasons.get(argv[0]) or why_untrusted_command(argv)
    return [
        f"{path}: refused under systemd: {reason}" for path, reason in reasons.items() if reason
    ]


def unreadable_keys(settings: Settings) -> list[str]:
    """Return what keeps the agent's unit from reading the keys."""
    if settings.key_file is None or settings.key_file.startswith(CREDENTIALS):
        return []
    why = why_not_for_agent(settings.key_file)
    return [f"key_file: {why}"] if why else []


def why_never_leads(settings: Settings) -> str:
    """Return in a few words why this node never leads; nothing if it may."""
    if settings.witness:
        return "a witness never leads"
    if settings.priority == 0:
        return "a node of priority 0 never leads"
    if settings.voters and settings.node not in settings.voters:
        return "a node that is not among the voters never leads"
    return ""


def missing_interfaces(names: Iterable[str]) -> list[str]:
    """Return a sentence for each of ``names`` that is no network interface of this host now."""
    existing = [name for _, name in socket.if_nameindex()]
    return [
        f"{name} does not exist on this host now{near_miss(name, existing)}"
        for name in names
        if name not in existing
    ]


def _about_voters(settings: Settings) -> list[str]:
    count = len(settings.voters)
    if count == 0:
        return []
    if count == 1:
        return ["voters: a single voter, nobody can take over from it; name three, or none"]
    if count == 2 and settings.witness and settings.node in settings.voters:
        (other,) = (voter for voter in settings.voters if voter != settings.node)
        return [
            f"voters: two voters, one of them this witness: only {other} ever leads, and only "
            "while both are there; add a voter"
        ]
    if count == 2:
        return [
            "voters: two voters, without either of them nobody leads; add a third, or a witness "
            "(a node with `witness: true` that is named in voters too)"
        ]
    if count % 2 == 0:
        return [
            f"voters: {count} voters survive no more failures than {count - 1}, add one or leave "
            "one out"
        ]
    return []


def _about_this_node(settings: Settings) -> list[str]:
    node, voters = settings.node, settings.voters
    found = []
    if voters and node not in voters:
        same = [voter for voter in voters if voter.lower() == node.lower()]
        hint = f", did you mean {show(same[0])}?" if same else near_miss(node, voters)
        found.append(
            f"node: {node} is not among the voters, it follows and never votes or leads{hint}"
        )
    if node in ("localhost", "localhost.localdomain"):
        found.append(f"node: {node} is what many hosts are called, set node to a name of its own")
    hook = settings.hooks.commands["leader"]
    if hook and (why := why_never_leads(settings)):
        found.append(f"hooks.on_leader: never runs, for {why}")
    if settings.priority == 0 and voters == (node,) and not settings.witness:
        found.append("priority: 0 on the only voter, nobody leads")
    if settings.witness and settings.priority != DEFAULT_PRIORITY:
        found.append("priority: a witness never leads, leave it out here")
    return found


def _about_preemption(settings: Settings) -> list[str]:
    if not settings.preempt:
        if settings.preempt_delay == default_of("preempt_delay"):
            return []
        return ["preempt_delay: waits for nothing without preempt: true"]
    if why := why_never_leads(settings):
        return [f"preempt: {why}, leave it out here"]
    found = []
    if settings.priority <= DEFAULT_PRIORITY:
        found.append(
            f"preempt: takes over only from members of a priority below {settings.priority}; "
            f"{DEFAULT_PRIORITY} is the default, so write a higher priority here"
        )
    return found


def _about_timing(settings: Settings) -> list[str]:
    found = []
    if settings.heartbeat_interval < BUSY_HOST:
        found.append(
            f"heartbeat_interval: {format_duration(settings.heartbeat_interval)}, a host that is "
            f"busy for {format_duration(settings.timing.lease)} loses leadership; write "
            f"{format_duration(BUSY_HOST)} or more unless you measured it"
        )
    if settings.voters and settings.stop_timeout == 0:
        found.append(
            "stop_timeout: 0s, the job is killed at once when this node stops leading, also by an "
            "orderly stop; write the time that it needs to end, such as 2s"
        )
    if (settings.voters or settings.stop_timeout) and not timeline.in_time(settings):
        found.append(
            f"stop_timeout: {format_duration(settings.stop_timeout)}, with clocks "
            f"{timeline.CLOCKS_OFF}% off the guardian cannot end the job before another may "
            f"lead, and a busy host needs more; write {_that_is_in_time(settings)} or more, or a "
            "longer heartbeat_interval"
        )
    if timeline.is_replaceable(settings) and settings.stop_timeout >= 60 * SECOND:
        found.append(
            f"stop_timeout: {format_duration(settings.stop_timeout)}, after the death of the "
            f"leader's host nobody leads for {format_duration(settings.timing.lock)}"
        )
    return found


def _that_is_in_time(settings: Settings) -> str:
    """The shortest stop timeout, in tenths of a second, that leaves the guardian time enough."""
    tenth = 100 * MS
    enough = next(
        stop
        for stop in range(tenth, 60 * SECOND, tenth)
        if timeline.in_time(replace(settings, stop_timeout=stop))
    )
    return format_duration(enough)


def _about_network(settings: Settings) -> list[str]:
    found = [f"interfaces: {text}" for text in missing_interfaces(settings.interfaces)]
    places = [("host", settings.host), *(("peers", peer.host) for peer in settings.peers)]
    for key, host in places:
        zone = host.partition("%")[2]
        if zone and not zone.isdigit():
            found += [f"{key}: {host}: {text}" for text in missing_interfaces((zone,))]
    link = settings.role_file
    if link and os.path.isdir(link) and not os.path.islink(link):
        text = "is a directory, and nothing will lead to the role; name the link in it"
        found.append(f"role_file: {link} {text}")
    if not _is_bindable(settings.host):
        found.append(f"host: {settings.host} is not an address of this host now")
    if is_loopback(settings.host):
        found.append(f"host: {settings.host}, only agents on this same host are heard")
    if "static" in settings.discovery and settings.port is None and _other_instances(settings):
        found.append(
            "port: not set, and other instances are configured on this host: peers cannot know "
            "which port this one gets; set port"
        )
    return found


def _is_bindable(host: str) -> bool:
    """Whether a socket can have this address now; a zone that does not exist is told elsewhere."""
    plain, _, zone = host.partition("%")
    try:
        if ":" not in host:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
                bound.bind((host, 0))
        else:
            scope = socket.if_nametoindex(zone) if zone and not zone.isdigit() else int(zone or 0)
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as bound:
                bound.bind((plain, 0, 0, scope))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True


def _other_instances(settings: Settings) -> bool:
    folder, own = os.path.split(settings.path)
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return any(name.endswith(".yaml") and name != own for name in names)


def _about_default_hooks(directory: str, event: str) -> list[str]:
    found = []
    folder = default_folder(directory, event)
    try:
        os.listdir(folder)
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        found.append(f"on_{event}: {folder} is not a directory, make it one or remove it")
    except OSError as error:
        text = f"cannot be read ({error.strerror}), its hooks will not run; correct its permissions"
        found.append(f"on_{event}: {folder} {text}")
    paths = default_hooks(directory, event)
    return found + [line for path in paths for line in _about_file(f"on_{event}", path)]


def _about_file(key: str, path: str) -> list[str]:
    wrong = why_not(path)
    if wrong is not None:
        return [printable(f"{key}: {path} {wrong}", 10_000)]
    if os.stat(path).st_mode & stat.S_IWOTH:
        text = f"{key}: {path} can be changed by everybody, run chmod o-w {shlex.quote(path)}"
        return [printable(text, 10_000)]
    return []
