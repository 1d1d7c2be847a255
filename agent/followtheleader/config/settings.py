"""What the agent is told: frozen values, complete and checked, all spans integer nanoseconds.

Made by ``followtheleader.config.loader`` only; this file knows nothing of YAML.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from followtheleader.config.keyfile import NamedKey
from followtheleader.core.timing import Timing

EVENTS = ("leader", "follower", "reelection", "error")
"""The events that run hooks; the key of each is ``hooks.on_EVENT``."""

KEY_MODES = ("accept", "sign", "require")
"""``key_mode``, in the order in which a running group goes through them."""

Command = tuple[str, ...]
"""An argument vector. The first word is an absolute path; no shell is involved."""


@dataclass(frozen=True, slots=True)
class HookSettings:
    """What to run at each of `EVENTS`, in order.

    ``commands[event]``: None if not set (the files in `Settings.hooks_dir` run), empty if set to
    run nothing. ``timeout`` is for one hook. ``on_failure``, when an on_leader fails or times out:
    step-down, retry or ignore.
    """

    commands: Mapping[str, tuple[Command, ...] | None]
    timeout: int
    on_failure: str


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """Where a peer may be found. ``host`` is a name or a literal address without brackets.

    ``port`` None: the port that this node is configured to use, else 9001.
    """

    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration of one instance; the keys' meanings are in ``schema.KEYS``.

    ``path`` is absolute. ``port`` None: not set. ``interfaces`` empty: the usable ones. ``voters``
    empty: an open group. ``keys``: what the ``key_file`` holds, where it was read.
    """

    instance: str
    path: str
    service: str
    node: str
    priority: int
    preempt: bool
    preempt_delay: int
    voters: tuple[str, ...]
    witness: bool
    heartbeat_interval: int
    max_failed_responses: int
    start_patience: int
    stop_timeout: int
    host: str
    port: int | None
    interfaces: tuple[str, ...]
    discovery: tuple[str, ...]
    peers: tuple[PeerAddress, ...]
    key_file: str | None
    key_mode: str
    hooks: HookSettings
    role_file: str
    primary: bool
    keys: tuple[NamedKey, ...] = ()

    @property
    def timing(self) -> Timing:
        """The spans that follow from the two timing knobs and the stop timeout."""
        return Timing(self.heartbeat_interval, self.max_failed_responses, self.stop_timeout)

    @property
    def hooks_dir(self) -> str:
        """Where the hooks lie that run if none is set: ``/etc/ftl/svc`` for /etc/ftl/svc.yaml."""
        return hooks_dir_of(self.path, self.instance)


def hooks_dir_of(path: str, instance: str) -> str:
    """Return the `Settings.hooks_dir` of ``instance`` whose configuration is at ``path``."""
    return os.path.join(os.path.dirname(path), instance)
