"""What a configuration means on this host: who we are to others, and who makes the role link."""

from __future__ import annotations

import os

from followtheleader.config.settings import Settings
from followtheleader.core.addresses import ANYWHERE
from followtheleader.core.types import NodeId
from followtheleader.host.directories import Directories
from followtheleader.host.identity import node_id
from followtheleader.net.interfaces import usable
from followtheleader.observer import Profile
from followtheleader.wire import NO_KEYS, Key, KeyRing

CONFIG_DIR = "/etc/ftl"
DEFAULT_ROLE_FILE = "/run/ftl/role"


def profile_of(settings: Settings, directories: Directories, me: NodeId | None = None) -> Profile:
    """Say in the driver's words what the configuration says; ``me``, if that is known already."""
    return Profile(
        id=node_id(directories.state, settings.node, settings.service) if me is None else me,
        service=settings.service,
        name=settings.node,
        priority=settings.priority,
        timing=settings.timing,
        voters=settings.voters,
        witness=settings.witness,
        preempt_delay=settings.preempt_delay if settings.preempt else None,
        start_patience=settings.start_patience,
        host=settings.host,
        port=settings.port,
        interfaces=settings.interfaces,
        mdns="mdns" in settings.discovery,
        peers=tuple((p.host, p.port) for p in settings.peers)
        if "static" in settings.discovery
        else (),
        state_dir=directories.state,
        ring=ring_of(settings),
    )


def ring_of(settings: Settings) -> KeyRing:
    """Return the keys as the wire knows them, and what is done with them."""
    if not settings.keys:
        return NO_KEYS
    keys = tuple(Key(key.id, key.name, key.secret) for key in settings.keys)
    mode = settings.key_mode
    return KeyRing(keys, signs=mode != "accept", unsigned=mode != "require")


def own_address(settings: Settings) -> str:
    """Return an address by which this node may be reached; empty if there is none."""
    if settings.host not in ANYWHERE:
        return settings.host
    try:
        return next((interface.address for interface in usable(settings.interfaces)), "")
    except OSError:  # the kernel does not tell; the lookout says so
        return ""


def role_link(settings: Settings) -> str | None:
    """Return the path of the role link that this instance makes, or None if it makes none.

    A ``role_file`` of its own is always made. The default one belongs to the ``primary`` instance,
    else to the only one that is configured.
    """
    if settings.role_file != DEFAULT_ROLE_FILE or settings.primary:
        return settings.role_file
    here, own = os.path.split(os.path.abspath(settings.path))
    if here != CONFIG_DIR:
        return None
    try:
        others = [name for name in os.listdir(CONFIG_DIR) if name.endswith(".yaml")]
    except OSError:
        others = []  # that it cannot be read now says nothing of another instance
    return settings.role_file if set(others) <= {own} else None
