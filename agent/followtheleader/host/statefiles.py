"""The files by which other programs learn the role: ``role``, ``state.json``, the flag ``leader``.

Promise: none of them says ``leader`` before all that it stands for is written, and on loss the flag
and the role change before anything else. A missing file means "not the leader", so where writing
fails (a full disk), removing is enough to keep the promise.
"""

from __future__ import annotations

import json
import os
import socket
import stat
from collections.abc import Mapping

from followtheleader.errors import StateError
from followtheleader.host import files

LEADER = "leader"


class StateFiles:
    """The files of one instance in ``runtime_dir``, and the link ``role_file`` to its role."""

    def __init__(self, runtime_dir: str, role_file: str | None = None) -> None:
        self._role_path = os.path.join(runtime_dir, "role")
        self._state_path = os.path.join(runtime_dir, "state.json")
        self._flag_path = os.path.join(runtime_dir, "leader")
        self._link_path = role_file
        self._published: str | None = None
        self._linked = False
        # What was written and has to be there: by path, what stat said of it.
        self._written: dict[str, tuple[int, ...]] = {}

    def publish(self, role: str, state: Mapping[str, object]) -> None:
        """Write the role (``leader``, ``follower`` or ``candidate``) and the state beside it.

        Raises `StateError`; then no file says ``leader`` any more, whatever ``role`` was.
        """
        try:
            if role == LEADER:
                self._gain(state)
            else:
                self._lose(role, state)
        except StateError:
            self.withdraw()
            raise

    def withdraw(self) -> bool:
        """Remove all three files; say whether nothing is left that says ``leader``."""
        self._published = None
        self._written.clear()
        gone = files.unlink(self._flag_path)
        gone = files.unlink(self._role_path) and gone
        return files.unlink(self._state_path) and gone

    def missing(self) -> list[str]:
        """The paths of what was published last and was removed or changed by somebody since."""
        found = [path for path, mark in self._written.items() if _mark(path) != mark]
        if self._role_path in found:
            self._published = None  # to be written again
        if self._linked and not self._leads_here():
            found.append(str(self._link_path))
        return found

    def link(self) -> str | None:
        """Point ``role_file`` at our role; None when done, else why not, with the cure.

        Only a symbolic link or nothing is replaced, never a file that somebody wrote, nor a link to
        the role of another instance that is there: two that claim one link would swap it for ever.
        """
        path = self._link_path
        if path is None:
            return None
        try:
            refused = _make_link(path, self._role_path)
        except OSError as error:
            cure = "create its directory for this user, or set role_file"
            refused = f"{path}: no link to the role, uid {os.geteuid()}: {error.strerror}; {cure}"
        self._linked = refused is None
        return refused

    def move_link(self, role_file: str | None) -> None:
        """Make the link at ``role_file`` from now on, and none where it was."""
        if role_file != self._link_path:
            self.unlink_link()
            self._link_path, self._linked = role_file, False

    @property
    def lacks_link(self) -> bool:
        """Is there a link to be made that could not be made, or is somebody else's now?"""
        return self._link_path is not None and not self._leads_here()

    def unlink_link(self) -> None:
        """Remove ``role_file`` if it is a link to our role."""
        if self._link_path is not None and self._leads_here():
            files.unlink(self._link_path)

    def _leads_here(self) -> bool:
        try:
            return os.readlink(str(self._link_path)) == self._role_path
        except OSError:
            return False

    def _gain(self, state: Mapping[str, object]) -> None:
        # The flag comes last: units start on it, and then read the other two.
        self._write_role(LEADER)
        self._write_state(state)
        if self._written.get(self._flag_path) != _mark(self._flag_path):
            self._replace(self._flag_path, b"")

    def _lose(self, role: str, state: Mapping[str, object]) -> None:
        if not files.unlink(self._flag_path):
            raise StateError(f"{self._flag_path}: cannot be removed; make its directory writable")
        self._written.pop(self._flag_path, None)
        self._write_role(role)
        self._write_state(state)

    def _write_role(self, role: str) -> None:
        # Rewritten only when it changes (or was removed): watchers wake on role changes alone.
        if self._published == role and os.path.isfile(self._role_path):
            return
        self._replace(self._role_path, f"{role}\n".encode())
        self._published = role

    def _write_state(self, state: Mapping[str, object]) -> None:
        text = json.dumps(state, ensure_ascii=False, separators=(",", ":"))
        self._replace(self._state_path, text.encode("utf-8", "backslashreplace") + b"\n")

    def _replace(self, path: str, data: bytes) -> None:
        files.replace(path, data)
        self._written[path] = _mark(path)


def _mark(path: str) -> tuple[int, ...]:
    try:
        found = os.lstat(path)
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _is_served(role_path: str) -> bool:
    """Whether an agent runs there; what a killed one has left does not count."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(os.path.join(os.path.dirname(role_path), "status.sock"))
        except BlockingIOError:
            return True
        except OSError:
            return False
    return True


def _make_link(path: str, target: str) -> str | None:
    try:
        # symlink() never replaces: what appears meanwhile is found by the second attempt.
        os.symlink(target, path)
        return None
    except FileExistsError:
        pass
    if not stat.S_ISLNK(os.lstat(path).st_mode):
        return f"{path}: is not a link, so it stays as it is; remove it or set role_file"
    found = os.readlink(path)
    if found == target:
        return None
    if os.path.basename(found) == "role" and os.path.isfile(found) and _is_served(found):
        return (
            f"{path}: leads to {found}, the role of another instance; let only one be `primary`, "
            "or set role_file for one of them"
        )
    temporary = f"{path}.{os.getpid()}"
    files.unlink(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, path)
    return None
