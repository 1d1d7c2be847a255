"""From the bytes of a file to `Settings`, or to every fault at once.

In three passes, each going on as far as it can: the file to values (``nodes``), every value by the
kind of its key (``schema``), then the rules between keys, which look only at keys that are whole.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from types import MappingProxyType
from typing import Any

from followtheleader.config import keyfile, nodes
from followtheleader.config.durations import format_duration
from followtheleader.config.faults import Faults, Place, near_miss, show
from followtheleader.config.keyfile import NamedKey
from followtheleader.config.kinds import NODE_NAME, surprise
from followtheleader.config.schema import (
    BY_NAME,
    KEYS,
    MAX_PATIENCE,
    OPEN_STOP_TIMEOUT,
    PRESETS,
    QUORUM_STOP_TIMEOUT,
    unknown,
    words,
)
from followtheleader.config.settings import (
    EVENTS,
    Command,
    HookSettings,
    Settings,
    hooks_dir_of,
)
from followtheleader.config.values import Broken, ListNode, MapNode, Node, Scalar
from followtheleader.errors import ConfigError, ensure

_START = Place(1, 1)
_INSTANCE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,62}")
_RESERVED = ("role",)
"""/run/ftl/role is the link to the primary's role file: no instance can have that directory."""


def load(path: str, instance: str | None = None, *, keys: bool = True) -> Settings:
    """Read the file at ``path`` as the configuration of ``instance`` (default: the file's stem),
    and the key file that it names (not without ``keys``).

    Raises `ConfigError` with every fault.
    """
    examination = _examine(_read(path), path, instance, None, keys=keys)
    if examination.settings is None:
        raise ConfigError(examination.faults)
    return examination.settings


@dataclass(frozen=True, slots=True)
class Examination:
    """What could be made out of a file, faulty or not.

    ``settings`` is None if there are ``faults``. ``commands`` has each hook event that is whole, as
    `HookSettings.commands`; the files in ``hooks_dir`` run for those that are not set.
    """

    settings: Settings | None
    faults: list[str]
    commands: Mapping[str, tuple[Command, ...] | None]
    hooks_dir: str


def examine(path: str, instance: str | None = None) -> Examination:
    """Read the file at ``path`` as `load` does, and return also what a fault leaves whole.

    Keys that only a unit of systemd can read are no fault.
    """
    try:
        data = _read(path)
    except ConfigError as error:
        return Examination(None, error.faults, {}, "")
    return _examine(data, path, instance, None, keys=True, outside=True)


def parse(
    data: bytes, path: str, instance: str | None = None, host_name: str | None = None
) -> Settings:
    """Make settings of ``data``, the content of ``path``, which is only named and not read.

    ``host_name`` defaults to this host's. Raises `ConfigError` with every fault.
    """
    examination = _examine(data, path, instance, host_name)
    if examination.settings is None:
        raise ConfigError(examination.faults)
    return examination.settings


def _examine(
    data: bytes,
    path: str,
    instance: str | None,
    host_name: str | None,
    *,
    keys: bool = False,
    outside: bool = False,
) -> Examination:
    """``keys``: read them; ``outside`` of the unit, if that is what it takes, they stay unread."""
    faults = Faults(path)
    name = _instance_name(path, instance, faults)
    named = not faults
    given = _Given(faults)
    root = nodes.read(data, faults)
    # What is not YAML may set anything: of its hooks nothing is known.
    known = named and (isinstance(root, MapNode) or (root is None and not faults))
    given.take(root)
    host_name = socket.gethostname() if host_name is None else host_name
    _check_rules(given, name, host_name)
    if not given.has("node") and re.fullmatch(r"[A-Za-z0-9._-]{1,63}", host_name) is None:
        faults.add(
            _START,
            "node",
            f"the host name {show(host_name)} cannot be used, set node to {NODE_NAME.expects}",
        )
    path = os.path.abspath(path)
    whole = [event for event in EVENTS if known and not given.broken("hooks", f"hooks.on_{event}")]
    commands = {event: given.value(f"hooks.on_{event}") for event in whole}
    hooks_dir = hooks_dir_of(path, name)
    ring, wrong = _read_keys(given, outside=outside) if keys else ((), [])
    told = faults.error().faults if faults else []
    if told or wrong:
        return Examination(None, told + wrong, commands, hooks_dir)
    settings = replace(_settings(given, path, name, host_name), keys=ring)
    return Examination(settings, [], commands, hooks_dir)


def _read_keys(given: _Given, *, outside: bool) -> tuple[tuple[NamedKey, ...], list[str]]:
    """Return the keys, and the faults that lie in their file; those of the path go to ``given``."""
    named = given.values.get("key_file")
    if named is None:
        return (), []
    path = keyfile.expanded(named)
    if path is None:
        if not outside:
            text = (
                f"{named}: CREDENTIALS_DIRECTORY is not set; systemd sets it for a unit with "
                "LoadCredential=, name a path elsewhere"
            )
            _tell(given, "key_file", text)
        return (), []
    try:
        return keyfile.read_keys(path), []
    except keyfile.KeyFileFault as fault:
        _tell(given, "key_file", str(fault))
        return (), []
    except ConfigError as error:
        return (), error.faults


@cache
def default_of(name: str) -> Any:
    """Return the default of the key ``name`` as a setting; None if it depends on something."""
    key = BY_NAME[name]
    if key.default is None:
        return None
    faults = Faults("schema")
    node = nodes.read(key.default.encode(), faults)
    ensure(node is not None, f"the default of {name} is a value")
    value = (
        key.kind.parse(node, lambda at, text: faults.add(at.place, name, text)) if node else None
    )
    ensure(not faults, f"the default of {name} is one that it accepts")
    return value


@dataclass(slots=True)
class _Given:
    """The keys that stand in the file: where, and the settings of those that are whole."""

    faults: Faults
    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)

    def take(self, root: Node | None) -> None:
        """Read the whole document."""
        match root:
            case None | Broken():
                pass
            case MapNode():
                self._section("", root)
            case _:
                kind = "a list" if isinstance(root, ListNode) else "only a text"
                self.faults.add(root.place, "file", f"holds {kind}, write lines of `key: value`")

    def has(self, *names: str) -> bool:
        """Do all of these keys stand in the file, whole or not?"""
        return all(name in self.places for name in names)

    def broken(self, *names: str) -> bool:
        """Is one of these keys in the file and not whole?"""
        return any(name in self.places and name not in self.values for name in names)

    def value(self, name: str) -> Any:
        """Return the setting of a key: the given one or the default."""
        return self.values[name] if name in self.values else default_of(name)

    def _section(self, section: str, mapping: MapNode) -> None:
        allowed = words(section)
        first: dict[str, Place] = {}
        for key_node, value in mapping.pairs:
            word = self._word(section, key_node)
            if word is None:
                continue
            name = f"{section}.{word}" if section else word
            if word in first:
                line = first[word].line
                text = f"is given twice (first in line {line}), keep one"
                self.faults.add(key_node.place, name, text)
            elif word not in allowed:
                self.faults.add(key_node.place, name, unknown(section, word))
            elif allowed[word] is None:
                self._enter(word, value)
                if not isinstance(value, MapNode):
                    self.places[word] = value.place  # and has no value: it is not whole
            else:
                self._value(name, value)
            first.setdefault(word, key_node.place)

    def _word(self, section: str, node: Node) -> str | None:
        if isinstance(node, Broken):
            return None
        if not isinstance(node, Scalar):
            self.faults.add(
                node.place, section or "file", "a list or a mapping is no key, write a word"
            )
            return None
        odd = surprise(node) if node.text else "an empty key"
        if odd is not None:
            hint = near_miss(node.text, words(section))
            self.faults.add(node.place, section or "file", f"{odd}, a key is a word{hint}")
            return None
        return node.text

    def _enter(self, section: str, value: Node) -> None:
        if isinstance(value, MapNode):
            self._section(section, value)
        elif isinstance(value, Scalar) and value.tag == "null":
            text = "holds nothing, write its keys indented below, or remove the line"
            self.faults.add(value.place, section, text)
        elif not isinstance(value, Broken):
            example = next(key.word for key in KEYS if key.section == section)
            text = f"is not a section, write keys such as {example} indented below"
            self.faults.add(value.place, section, text)

    def _value(self, name: str, node: Node) -> None:
        self.places[name] = node.place

        def tell(at: Node, text: str) -> None:
            self.faults.add(at.place, name, text)

        value = BY_NAME[name].kind.parse(node, tell)
        if value is not None:
            self.values[name] = value


def _check_rules(given: _Given, instance: str, host_name: str) -> None:
    """Add the faults between keys; a rule is skipped if one of its keys is not whole."""
    _check_group(given, host_name)
    _check_timing(given)
    _check_network(given)
    if given.has("key_mode") and not given.has("key_file"):
        text = "needs key_file, without a key nothing is signed; name it, or leave key_mode out"
        _tell(given, "key_mode", text)
    if given.value("role_file") == f"/run/ftl/{instance}/role":
        _tell(given, "role_file", "is the role file itself, name the link that shall point to it")


def _check_group(given: _Given, host_name: str) -> None:
    _check_names(given)
    if given.broken("voters", "witness", "node"):
        return
    voters: tuple[str, ...] = given.value("voters")
    node = given.value("node") or host_name
    if not given.value("witness"):
        return
    if not voters:
        text = "a witness votes and there are no voters, name them: voters: [host-a, host-b, …]"
        _tell(given, "witness", text)
    elif voters == (node,):
        text = "this node is the only voter, and a witness never leads, name other voters, too"
        _tell(given, "witness", text)
    elif node not in voters:
        text = (
            f"a witness votes, and this node, {show(node)}, is not among the voters, name it there "
            f"or leave witness out{near_miss(node, voters)}"
        )
        _tell(given, "witness", text)


def _check_names(given: _Given) -> None:
    """Of two voters that differ in case one is nobody, and its vote would always be missing."""
    if given.broken("voters"):
        return
    seen: dict[str, str] = {}
    for voter in given.value("voters"):
        other = seen.setdefault(voter.lower(), voter)
        if other != voter:
            text = f"{show(other)} and {show(voter)} differ in case only, keep the right one"
            _tell(given, "voters", text)


def _check_timing(given: _Given) -> None:
    if given.broken("timing", "heartbeat_interval", "max_failed_responses"):
        return
    if given.has("timing", "heartbeat_interval"):
        preset = given.value("timing")
        if PRESETS[preset] != given.value("heartbeat_interval"):
            interval = format_duration(PRESETS[preset])
            text = f"timing: {preset} says {interval} already, keep one of the two keys"
            _tell(given, "heartbeat_interval", text)
            return
    patience = _heartbeat_interval(given) * (given.value("max_failed_responses") + 1)
    if patience > MAX_PATIENCE:
        key = "max_failed_responses" if given.has("max_failed_responses") else "heartbeat_interval"
        text = (
            f"a dead leader would be missed after {format_duration(patience)} "
            "(heartbeat_interval × (max_failed_responses + 1)), "
            f"choose the two so that it is at most {format_duration(MAX_PATIENCE)}"
        )
        _tell(given, key, text)


def _check_network(given: _Given) -> None:
    if not given.broken("host", "interfaces"):
        host = given.value("host")
        if host != default_of("host") and given.value("interfaces"):
            text = f"host: {host} chooses where to listen already, keep one of the two keys"
            _tell(given, "interfaces", text)
    if given.broken("discovery", "peers"):
        return
    static = "static" in given.value("discovery")
    if static and not given.value("peers"):
        text = "static needs peers, name some: peers: [10.0.0.2, host-b:9001]"
        _tell(given, "discovery", text)
    if given.value("peers") and not static:
        right = "static or [mdns, static]"
        _tell(given, "peers", f"are used by static discovery only, write discovery: {right}")


def _tell(given: _Given, name: str, text: str) -> None:
    given.faults.add(given.places[name], name, text)


def _heartbeat_interval(given: _Given) -> int:
    if given.has("timing"):
        return PRESETS[given.value("timing")]
    interval: int = given.value("heartbeat_interval")
    return interval


def _settings(given: _Given, path: str, instance: str, host_name: str) -> Settings:
    value = given.value
    stop_timeout = value("stop_timeout")
    if stop_timeout is None:
        stop_timeout = QUORUM_STOP_TIMEOUT if value("voters") else OPEN_STOP_TIMEOUT
    return Settings(
        instance=instance,
        path=path,
        service=value("service") or instance,
        node=value("node") or host_name,
        priority=value("priority"),
        preempt=value("preempt"),
        preempt_delay=value("preempt_delay"),
        voters=value("voters"),
        witness=value("witness"),
        heartbeat_interval=_heartbeat_interval(given),
        max_failed_responses=value("max_failed_responses"),
        start_patience=value("start_patience"),
        stop_timeout=stop_timeout,
        host=value("host"),
        port=value("port"),
        interfaces=value("interfaces"),
        discovery=value("discovery"),
        peers=value("peers"),
        key_file=value("key_file"),
        key_mode=value("key_mode"),
        hooks=HookSettings(
            commands=MappingProxyType({event: value(f"hooks.on_{event}") for event in EVENTS}),
            timeout=value("hooks.timeout"),
            on_failure=value("hooks.on_failure"),
        ),
        role_file=value("role_file"),
        primary=value("primary"),
    )


def _instance_name(path: str, instance: str | None, faults: Faults) -> str:
    name = os.path.splitext(os.path.basename(path))[0] if instance is None else instance
    cure = "rename the file" if instance is None else "choose another name"
    if _INSTANCE.fullmatch(name) is None:
        text = (
            f"{show(name)} cannot be an instance's name (letters, digits, '.', '_', '-', at most "
            f"63, not beginning with '.' or '-'), {cure}"
        )
        faults.add(_START, "instance", text)
    elif name in _RESERVED:
        faults.add(_START, "instance", f"'{name}' is taken by the link /run/ftl/{name}, {cure}")
    return name


def _read(path: str) -> bytes:
    """Return the content of ``path``, at most one byte more than is allowed."""
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            mode = os.fstat(descriptor).st_mode
            if not stat.S_ISREG(mode):
                kind = "a directory" if stat.S_ISDIR(mode) else "not a regular file"
                raise _unreadable(path, f"is {kind}, name a YAML file")
            with open(descriptor, "rb", closefd=False) as file:
                return file.read(nodes.MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise _unreadable(path, _missing(path)) from None
    except OSError as error:
        raise _unreadable(path, _refused(error)) from None
    except ValueError:
        raise _unreadable(path, "a path cannot hold a NUL character, name a YAML file") from None


def _missing(path: str) -> str:
    """A mistyped instance must not lead: say what is there instead."""
    folder, name = os.path.split(path)
    try:
        others = [other for other in os.listdir(folder or ".") if other.endswith((".yaml", ".yml"))]
    except OSError:
        others = []
    cure = "create it (an empty file is a valid configuration)"
    return f"there is no such file, {cure}{near_miss(name, sorted(others)[:1000])}"


def _refused(error: OSError) -> str:
    reason = f"cannot be read by uid {os.geteuid()} ({error.strerror})"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{reason}, give it read and its directories search permission (chmod a+rX)"
    return f"{reason}, name a YAML file that can be read"


def _unreadable(path: str, text: str) -> ConfigError:
    faults = Faults(path)
    faults.add(_START, "file", text)
    return faults.error()
