"""Small files, written as a whole or not at all, in directories that are entered without links."""

from __future__ import annotations

import fcntl
import os

from followtheleader.errors import StateError

STATE_FILES = ("role", "leader", "state.json")

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SIZE_LIMIT = 1024 * 1024


def own_directory(runtime_dir: str) -> int:
    """Make and enter RT/guardian (0700, ours). Raise `StateError` if that cannot be."""
    path = os.path.join(runtime_dir, "guardian")
    try:
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        fd = os.open(path, _DIRECTORY)
    except OSError as error:
        raise StateError(
            f"{path}: cannot be made by uid {os.geteuid()}: {error.strerror}. Give the runtime "
            f"directory to that user, or name another one with --runtime-dir"
        ) from None
    found = os.fstat(fd)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        os.close(fd)
        raise StateError(
            f"{path}: belongs to uid {found.st_uid} with mode {found.st_mode & 0o7777:04o}, must "
            f"belong to uid {os.geteuid()} with mode 0700. Remove it or set it right"
        )
    return fd


def unlink_state_files(runtime_dir: str) -> list[str]:
    """Unlink role, leader and state.json. Return what could not be done, for the operator."""
    try:
        fd = os.open(runtime_dir, _DIRECTORY)
    except OSError as error:
        return [f"{runtime_dir}: state files not unlinked: {error.strerror}"]
    faults: list[str] = []
    try:
        for name in STATE_FILES:
            try:
                os.unlink(name, dir_fd=fd)
            except FileNotFoundError:
                pass
            except OSError as error:
                faults.append(f"{runtime_dir}/{name}: not unlinked: {error.strerror}")
    finally:
        os.close(fd)
    return faults


def write_atomic(directory: int, name: str, data: bytes) -> None:
    """Replace ``name`` (0600) by ``data``. Raise `OSError`; the old content then stays."""
    fresh = name + ".new"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(fresh, flags, 0o600, dir_fd=directory)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(fd, view) :]
    finally:
        os.close(fd)
    os.rename(fresh, name, src_dir_fd=directory, dst_dir_fd=directory)


def read_small(directory: int, name: str) -> bytes | None:
    """The content of ``name``, None if there is no such file. Raise `OSError`."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    except FileNotFoundError:
        return None
    try:
        return os.read(fd, _SIZE_LIMIT)
    finally:
        os.close(fd)


def remove(directory: int, name: str) -> None:
    """Unlink ``name`` if it is there. Raise `OSError`."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass


class Lock:
    """One guardian of an instance at a time: the next one waits for the earlier one's end."""

    def __init__(self, directory: int) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            self._fd = os.open("lock", flags, 0o600, dir_fd=directory)
        except OSError as error:
            where = os.readlink(f"/proc/self/fd/{directory}")
            raise StateError(
                f"{where}/lock: cannot be opened: {error.strerror}. Make the directory writable"
            ) from None
        self.held = False

    def take(self) -> bool:
        """Try; True once it is ours."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.held = True
        except BlockingIOError:
            pass
        return self.held
