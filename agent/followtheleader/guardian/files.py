"""Small files in directories that are entered without links, written as a whole or not at all.

The one exception: a state file that says leader and cannot be unlinked is written over where it is.
"""

from __future__ import annotations

import os
import stat

STATE_FILES = ("role", "leader", "state.json")
# What is written over a file that cannot be unlinked. The flag's mere existence says leader.
NO_LEADER = {"role": b"follower\n", "state.json": b'{"role":"follower"}\n'}

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SIZE_LIMIT = 1024 * 1024


def unlink_state_files(runtime_dir: str, may_write: bool = True) -> list[str]:
    """Unlink role, leader and state.json; what cannot be unlinked is written over.

    Not so if we must not (``may_write``) because the directory is another user's.

    Return what still says leader or may do so, for the operator.
    """
    try:
        fd = os.open(runtime_dir, DIRECTORY)
    except FileNotFoundError:
        return []  # nothing says leader where nothing is
    except OSError as error:
        return [f"{runtime_dir}: state files not unlinked: {error.strerror}"]
    try:
        faults = [_disown(fd, runtime_dir, name, may_write) for name in STATE_FILES]
        return [fault for fault in faults if fault]
    finally:
        os.close(fd)


def _disown(directory: int, place: str, name: str, may_write: bool) -> str:
    """Have ``name`` no longer say leader. Return why not, or nothing."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass
    except OSError as error:
        silenced = may_write and name in NO_LEADER and _overwrite(directory, name, NO_LEADER[name])
        if not silenced:
            return (
                f"{place}/{name}: cannot be unlinked: {error.strerror}. It wrongly says leader: "
                "make the directory writable and remove it"
            )
    return ""


def _overwrite(directory: int, name: str, data: bytes) -> bool:
    flags = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        fd = os.open(name, flags, dir_fd=directory)
    except IsADirectoryError:
        return True  # it has no word
    except OSError:
        return False
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
            return False  # by another name it is somebody else's file
        # In this order: `role` is never empty. (state.json is for a moment no JSON.)
        written = os.pwrite(fd, data, 0) == len(data)
        os.ftruncate(fd, len(data))
    except OSError:
        return False
    finally:
        os.close(fd)
    return written


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
