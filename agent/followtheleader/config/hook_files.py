"""The hooks that run when none is set: files beside the configuration, found when they are needed.

For ``/etc/ftl/svc.yaml`` and the event ``leader``: ``/etc/ftl/svc/on_leader.sh`` if it exists, then
the executable files of ``/etc/ftl/svc/on_leader.d`` in the order of their names.
"""

from __future__ import annotations

import os
import stat

_LEFT_OVER = ("~", ".bak", ".sample", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".rpmsave", ".rpmnew")


def default_hooks(directory: str, event: str) -> list[str]:
    """Return the paths to run for ``event`` (leader, follower …), in order.

    ``on_EVENT.sh`` is returned even if it cannot be executed, so that running it fails in the open
    and not in silence. Raises `OSError` if a directory exists and cannot be read.
    """
    script = os.path.join(directory, f"on_{event}.sh")
    found = [script] if os.path.lexists(script) else []
    folder = os.path.join(directory, f"on_{event}.d")
    try:
        names = sorted(os.listdir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return found
    paths = [os.path.join(folder, name) for name in names if not _left_over(name)]
    return found + [path for path in paths if is_executable(path)]


def is_executable(path: str) -> bool:
    """Is ``path`` a regular file (or a link to one) that this process may execute?"""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and os.access(path, os.X_OK)


def _left_over(name: str) -> bool:
    return name.startswith(".") or name.endswith(_LEFT_OVER)
