"""Small decisions of the agent on this host: who we are to the others, who makes ``/run/ftl/role``,
when to try again, whose defect an exception is."""

from __future__ import annotations

import os
from types import TracebackType

from followtheleader.config.settings import Settings
from followtheleader.core.addresses import ANYWHERE
from followtheleader.core.timing import Timing
from followtheleader.core.types import NANOSECONDS, NodeId, Span
from followtheleader.host.directories import Directories
from followtheleader.host.identity import node_id
from followtheleader.net.interfaces import usable
from followtheleader.observer import Profile

CONFIG_DIR = "/etc/ftl"
DEFAULT_ROLE_FILE = "/run/ftl/role"
WATCHDOG_AT_LEAST: Span = 2 * NANOSECONDS
LONGEST_PAUSE: Span = 300 * NANOSECONDS
BORDERS = ("/followtheleader/net/", "/followtheleader/host/sockets.py")


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
    )


def own_address(settings: Settings) -> str:
    """Return an address by which this node may be reached; empty if there is none."""
    if settings.host not in ANYWHERE:
        return settings.host
    try:
        return next((interface.address for interface in usable(settings.interfaces)), "")
    except OSError:  # the kernel does not tell; the lookout says so
        return ""


def watchdog_limit(timing: Timing) -> Span:
    """Return how long this agent may be silent before its supervisor ends it."""
    return max(3 * timing.lock, WATCHDOG_AT_LEAST)


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


def is_ours(trace: TracebackType | None) -> bool:
    """Does a frame belong to this package, and not only to where libraries and clients end?"""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/followtheleader/" in name and not any(place in name for place in BORDERS):
            return True
        trace = trace.tb_next
    return False
