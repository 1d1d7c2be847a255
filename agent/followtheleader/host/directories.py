"""Where an instance keeps its files: a runtime directory (until reboot) and a state directory.

The agent calls `resolve`, which creates both or raises `StateError`. Commands that only read call
`places.locate`, which creates nothing.
"""

from __future__ import annotations

import os
import stat
from typing import NamedTuple

from followtheleader.errors import StateError
from followtheleader.host import files, places

RUNTIME_MODE = 0o755


class Directories(NamedTuple):
    """Absolute paths of one instance's directories; both exist and can be written."""

    runtime: str
    state: str


def resolve(
    instance: str, runtime_dir: str | None = None, state_dir: str | None = None
) -> Directories:
    """Choose, create and test the directories of ``instance``.

    The first of: the argument, what systemd set ($RUNTIME_DIRECTORY, $STATE_DIRECTORY), the
    system's (/run/ftl, /var/lib/ftl) for root or where one of ours exists, the user's (XDG).
    """
    places.refuse_path_as_name(instance)
    runtime = runtime_dir or places.from_systemd("RUNTIME_DIRECTORY")
    if runtime is None and _system_usable(places.system_runtime(instance)):
        runtime = places.system_runtime(instance)
    if runtime is None:
        runtime = _user_runtime(instance)
    state = state_dir or places.from_systemd("STATE_DIRECTORY")
    if state is None and _system_usable(places.system_state(instance)):
        state = places.system_state(instance)
    if state is None:
        state = places.user_state(instance)
    return Directories(
        _make(runtime, RUNTIME_MODE, "--runtime-dir"), _make(state, 0o750, "--state-dir")
    )


def make_runtime(path: str) -> None:
    """Make a runtime directory again that somebody has removed. Raise `StateError`."""
    _make(path, RUNTIME_MODE, "--runtime-dir")


def _system_usable(path: str) -> bool:
    if os.geteuid() == 0:
        return True
    try:
        return os.stat(path).st_uid == os.geteuid()
    except OSError:
        return False


def _user_runtime(instance: str) -> str:
    path = places.user_runtimes(instance)[0]
    if path.startswith("/tmp/ftl-"):
        _make_private(os.path.dirname(path))
    return path


def _make_private(path: str) -> None:
    """Create or accept a directory in /tmp that nobody else can have prepared for us."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        pass
    except OSError as error:
        raise files.unwritable(path, error) from None
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StateError(
            f"{path}: must be a directory of uid {os.geteuid()} that nobody else can write, but is "
            f"{stat.filemode(found.st_mode)} of uid {found.st_uid}; remove it or set --runtime-dir"
        )


def _make(path: str, mode: int, option: str) -> str:
    path = os.path.abspath(path)
    cure = f"make it writable for this user, or choose another with {option}"
    try:
        os.makedirs(path, mode, exist_ok=True)
        writable = os.access(path, os.W_OK | os.X_OK, effective_ids=True)
    except FileExistsError:
        raise StateError(f"{path}: is not a directory; remove it or use {option}") from None
    except OSError as error:
        reason = f"cannot be created by uid {os.geteuid()}: {error.strerror}"
        raise StateError(f"{path}: {reason}; {cure}", passing=files.may_pass(error)) from None
    if not writable:
        raise StateError(f"{path}: cannot be written by uid {os.geteuid()}; {cure}")
    return path
