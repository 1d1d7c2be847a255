"""The files that hooks are: which run when none is set, and why one could not.

For ``/etc/ftl/svc.yaml`` and the event ``leader``: ``/etc/ftl/svc/on_leader.sh`` if it exists, then
the executable files of ``/etc/ftl/svc/on_leader.d`` in the order of their names.

Where the guardian is root's, it runs and obeys only what root alone can change: `why_untrusted`,
`why_untrusted_command`.

Promise: it looks and changes nothing, and needs only the standard library: the guardian, which runs
the hooks, and ``check``, which foresees what will happen, rely on the same answers.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence

_LEFT_OVER = ("~", ".bak", ".sample", ".dpkg-old", ".dpkg-dist", ".dpkg-new", ".rpmsave", ".rpmnew")

# What the kernel reads of a file to learn how to run it (BINPRM_BUF_SIZE).
_HEAD = 256
_MOST_STEPS = 400
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_ACCESS_LIST = "system.posix_acl_access"
# What runs the file that is its first argument, and what runs a command, as the same user.
_INTERPRETER = re.compile(r"(ba|da|a|k|mk|z)?sh|(python|perl|ruby|php|lua|tclsh|node)[0-9.]*")
_WRAPPER = re.compile(r"env|nice|ionice|chrt|taskset|timeout|setsid|nohup|stdbuf|flock|time")
_MOST_WRAPPERS = 16


def default_hooks(directory: str, event: str) -> list[str]:
    """Return the paths to run for ``event`` (leader, follower …), in order.

    ``on_EVENT.sh`` is returned even if it cannot be executed, so that running it fails in the open
    and not in silence. A folder that cannot be read counts as empty.
    """
    script = os.path.join(directory, f"on_{event}.sh")
    found = [script] if os.path.lexists(script) else []
    folder = default_folder(directory, event)
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return found
    paths = [os.path.join(folder, name) for name in names if not _left_over(name)]
    return found + [path for path in paths if is_executable(path)]


def default_folder(directory: str, event: str) -> str:
    """Return the folder whose files run for ``event``, after the script."""
    return os.path.join(directory, f"on_{event}.d")


def is_executable(path: str) -> bool:
    """Is ``path`` a regular file (or a link to one) that this process may execute?"""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and os.access(path, os.X_OK)


def why_not(path: str) -> str | None:
    """Return why ``path`` cannot be run as a program, with the cure; None if it can.

    The text begins with what is wrong and does not repeat ``path`` before it.
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return _missing(path)
    except OSError as error:
        return f"cannot be examined ({error.strerror}), correct the path or its permissions"
    if stat.S_ISDIR(mode):
        return f"is a directory, name a program{_program_in(path)}"
    if not stat.S_ISREG(mode):
        return "is not a file, name a program"
    if not mode & 0o111:
        return f"is not executable, run chmod +x {_quoted(path)}"
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except OSError:
        return None  # A program need not be readable to be run.
    return _wrong_head(path, head)


def why_untrusted(path: str) -> str | None:
    """Return why root must not run or obey ``path``, with the cure; None if it may, or if nothing
    is there.

    It, every directory above it, and the same of all that it links to must belong to root and be
    writable by nobody else. The text begins with the place that is wrong.
    """
    rest, place = _words(os.path.join(os.getcwd(), path)), "/"
    for _ in range(_MOST_STEPS):
        try:
            found = os.lstat(place)
            wrong = _wrong_owner(place, found) or _wrong_list(place, found)
            if wrong is None and stat.S_ISLNK(found.st_mode):
                target = os.readlink(place)
                rest = _words(target) + rest
                place = "/" if target.startswith("/") else os.path.dirname(place)
                continue
        except OSError:
            return None
        if wrong is not None or not rest:
            return wrong
        word = rest.pop(0)
        # No link is left in `place`, so its parent is the directory that it lies in.
        place = os.path.dirname(place) if word == ".." else os.path.join(place, word)
    return f"{path}: is behind too many links, name the file itself"


def why_untrusted_command(argv: Sequence[str], depth: int = _MOST_WRAPPERS) -> str | None:
    """Return why root must not run this command, as `why_untrusted` does; None if it may.

    Beside its program all counts that this is known to run: the interpreter in its first line, what
    an interpreter is given to run (`/bin/sh FILE`), and the command of a wrapper (`nice COMMAND`).
    Not seen is what a program does by itself. One that gives up root's rights first (`runuser`) may
    be told to run anything.
    """
    program, *rest = argv
    wrong = why_untrusted(program)
    if wrong is not None or not depth:
        return wrong
    line = _first_line(program)
    if line:
        wrong = why_untrusted_command([*line, program], depth - 1)
    if wrong is None:
        name = os.path.basename(program)
        if _INTERPRETER.fullmatch(name):
            # Behind some options no file follows: -c and -ec, elsewhere -e and -m too.
            code = re.compile("-[^-]*c" if name.endswith("sh") else "-[^-]*[cem]")
            given = next((word for word in rest if word[:1] != "-" or code.fullmatch(word)), "")
            wrong = why_untrusted(given) if given.startswith("/") else None
        elif _WRAPPER.fullmatch(name):
            places = [at for at, word in enumerate(rest) if word.startswith("/")]
            if name == "flock":  # the first is what it locks
                del places[:1]
            wrong = why_untrusted_command(rest[places[0] :], depth - 1) if places else None
    return wrong


def _first_line(program: str) -> list[str]:
    """The interpreter and its argument that the kernel reads there; nothing if none is named."""
    try:
        with open(program, "rb") as file:
            line = file.readline(_HEAD)
    except OSError:
        return []
    words = os.fsdecode(line[2:]).split(None, 1) if line.startswith(b"#!") else []
    return [word.strip() for word in words] if words and words[0].startswith("/") else []


def _words(path: str) -> list[str]:
    return [word for word in path.split("/") if word not in ("", ".")]


def _wrong_owner(place: str, found: os.stat_result) -> str | None:
    mode, is_link = stat.S_IMODE(found.st_mode), stat.S_ISLNK(found.st_mode)
    open_to = stat.S_IWOTH | (stat.S_IWGRP if found.st_gid else 0)
    if not found.st_uid and (is_link or not mode & open_to):
        return None
    where = _quoted(place)
    cures = [f"chown {'-h ' if is_link else ''}root:root {where}"] if found.st_uid else []
    cures += [f"chmod go-w {where}"] if not is_link and mode & open_to else []
    owner = f"uid {found.st_uid}, gid {found.st_gid}, mode {mode:04o}"
    return f"{place}: {owner}: others than root can change it, run {' && '.join(cures)}"


def _wrong_list(place: str, found: os.stat_result) -> str | None:
    """Of a place that root's own group may write to: that may mean others, by an access list."""
    if stat.S_ISLNK(found.st_mode) or not found.st_mode & stat.S_IWGRP:
        return None
    try:
        os.getxattr(place, _ACCESS_LIST, follow_symlinks=False)
    except OSError:
        return None
    return (
        f"{place}: its access control list may let others than root change it, run setfacl -b "
        f"{_quoted(place)} && chmod go-w {_quoted(place)}"
    )


def _missing(path: str) -> str:
    if os.path.islink(path):
        return f"is a link to {os.readlink(path)}, which does not exist, correct the link"
    folder, name = os.path.split(path)
    if not os.path.isdir(folder):
        return f"does not exist, nor does the directory {folder}, create it or correct the path"
    return f"does not exist, create it or correct the path{_near_miss(folder, name)}"


def _near_miss(folder: str, name: str) -> str:
    # Here and not above: the guardian asks only when a hook has failed.
    import difflib

    try:
        names = sorted(os.listdir(folder))[:1000]
    except OSError:
        return ""
    # What differs in its ending only (on_leader, on_leader.sh) is the best guess of all.
    stem = name.partition(".")[0]
    same = [other for other in names if stem and other.partition(".")[0] == stem]
    for other in same + difflib.get_close_matches(name, names, n=3, cutoff=0.6):
        path = os.path.join(folder, other)
        if os.path.isfile(path) and not _left_over(other):
            return f", did you mean {path}?"
    return ""


def _program_in(folder: str) -> str:
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return " in it"
    paths = [os.path.join(folder, name) for name in names if not _left_over(name)]
    first = next((path for path in paths if is_executable(path)), None)
    return f" in it, such as {first}" if first else "; there is none in it"


def _wrong_head(path: str, head: bytes) -> str | None:
    """Say what the kernel will object to in the first bytes of an executable file."""
    if head.startswith(b"#!"):
        return _wrong_interpreter(path, head)
    if head.startswith(b"\x7fELF"):
        return None
    if not head:
        return "is empty, write a program into it, such as a script that begins with #!/bin/sh"
    if head.startswith(_BYTE_ORDER_MARK + b"#!"):
        return "begins with a byte order mark that hides its #!, save it as UTF-8 without one"
    return "does not begin with #!, its first line must name the interpreter, such as #!/bin/sh"


def _wrong_interpreter(path: str, head: bytes) -> str | None:
    line, newline, _ = head[2:].partition(b"\n")
    if line.endswith(b"\r"):
        return rf"has Windows line ends (CR LF), run sed -i 's/\r$//' {_quoted(path)}"
    words = line.split()
    if not words:
        return "names no interpreter behind its #!, write its path, such as #!/bin/sh"
    if not newline and len(words) == 1 and len(head) == _HEAD:
        return f"has a first line longer than {_HEAD} bytes, which the kernel cuts off, shorten it"
    name = os.fsdecode(words[0])
    shown = name if name.isprintable() else ascii(name)[1:-1]
    called = f"begins with #!{shown}, and {shown}"
    if not name.startswith("/"):
        return f"{called} is not an absolute path, write one, such as #!/bin/sh"
    try:
        mode = os.stat(name).st_mode
    except OSError as error:
        wrong = "does not exist" if isinstance(error, FileNotFoundError) else str(error.strerror)
        return f"{called} {wrong}, install it or correct the first line"
    if not stat.S_ISREG(mode):
        return f"{called} is not a program, correct the first line"
    if not mode & 0o111:
        return (
            f"{called} is not executable, correct the first line, or run chmod +x {_quoted(shown)}"
        )
    return None


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _left_over(name: str) -> bool:
    """Is it what an editor or a package manager has left behind?"""
    return name.startswith(".") or name.endswith(_LEFT_OVER)
