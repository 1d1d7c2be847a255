"""Where an instance's files may lie: paths only, nothing is created or tried out.

Commands that only read need no more than `locate`; this module imports nothing heavy for them.
"""

from __future__ import annotations

import os
import stat

from followtheleader.errors import StateError

STATUS_SOCKET = "status.sock"


def locate(instance: str, runtime_dir: str | None = None) -> str:
    """The runtime directory in which an agent of ``instance`` answers, for commands that read.

    Unlike `directories.resolve` it takes $RUNTIME_DIRECTORY only if it is named like the instance
    and an agent's socket lies there: the command may run inside somebody else's unit
    (``ExecCondition=ftl-agent is-leader …``).
    """
    refuse_path_as_name(instance)
    if runtime_dir is not None:
        return os.path.abspath(runtime_dir)
    candidates = [system_runtime(instance), *own_runtimes(instance)]
    given = from_systemd("RUNTIME_DIRECTORY")
    if given is not None and os.path.basename(given) == instance:
        candidates.insert(0, given)
    for candidate in candidates:
        if os.path.lexists(os.path.join(candidate, STATUS_SOCKET)):
            return candidate
    return candidates[0]


def system_runtime(instance: str) -> str:
    """The runtime directory of ``instance`` when the system runs it."""
    return f"/run/ftl/{instance}"


def system_state(instance: str) -> str:
    """The state directory of ``instance`` when the system runs it."""
    return f"/var/lib/ftl/{instance}"


def user_runtimes(instance: str) -> list[str]:
    """The runtime directories of ``instance`` when an ordinary user runs it, best first."""
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    found = [f"{base}/ftl/{instance}"] if os.path.isabs(base) and os.path.isdir(base) else []
    return [*found, f"/tmp/ftl-{os.geteuid()}/{instance}"]


def own_runtimes(instance: str) -> list[str]:
    """Those of `user_runtimes` in which nobody but this user can have put a socket: the others must
    not be believed."""
    return [place for place in user_runtimes(instance) if _is_own(os.path.dirname(place))]


def _is_own(place: str) -> bool:
    """Is ``place`` a directory of this user's that no other can write to?

    Of $XDG_RUNTIME_DIR/ftl the directory above counts: after su it may be another user's.
    """
    above = os.path.dirname(place)
    try:
        found = os.lstat(place if above == "/tmp" else above)
    except OSError:
        return False
    others = stat.S_IWGRP | stat.S_IWOTH
    ours = found.st_uid == os.geteuid() and stat.S_ISDIR(found.st_mode)
    return ours and not found.st_mode & others


def user_state(instance: str) -> str:
    """The state directory of ``instance`` when an ordinary user runs it."""
    base = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.expanduser("~/.local/state")
    if not os.path.isabs(base):
        raise StateError(
            f"uid {os.geteuid()} has no home directory to keep its state in: name one with "
            "--state-dir, or set XDG_STATE_HOME"
        )
    return f"{base}/ftl/{instance}"


def from_systemd(variable: str) -> str | None:
    """The directory in $RUNTIME_DIRECTORY or $STATE_DIRECTORY, if any."""
    # systemd lists several directories of a unit with colons; ours is declared first.
    first = os.environ.get(variable, "").split(":")[0]
    return first if os.path.isabs(first) else None


def refuse_path_as_name(instance: str) -> None:
    """Raise `StateError` for what is a path and not the name of an instance."""
    if instance in ("", ".", "..") or "/" in instance or "\0" in instance:
        raise StateError(f"{instance!r}: not the name of an instance; use the stem of its file")
