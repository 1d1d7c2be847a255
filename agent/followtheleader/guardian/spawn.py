"""One process more: clean environment, own session, bounded and unblocked streams."""

from __future__ import annotations

import os
import pwd
import signal

from followtheleader.hook_files import why_not

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# A hook starts with the signals that every program expects, not with ours.
_DEFAULT_SIGNALS = (
    signal.SIGINT,
    signal.SIGPIPE,
    signal.SIGXFSZ,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGCHLD,
)
_MFD_NOEXEC_SEAL = 8


class SpawnFailed(Exception):
    """The program could not be started; the text names it, the cause and the cure."""


def clean_environment() -> dict[bytes, bytes]:
    """PATH, HOME and LANG, and nothing that the agent was started with."""
    try:
        home = pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        home = "/"
    lang = os.environ.get("LANG", "C.UTF-8")
    return {b"PATH": PATH.encode(), b"HOME": os.fsencode(home), b"LANG": os.fsencode(lang)}


def spawn(
    argv: tuple[bytes, ...], env: dict[bytes, bytes], stdin: bytes, streams: int = 1
) -> tuple[int, list[int]]:
    """Start ``argv`` in a session of its own, with ``stdin`` to read.

    Return its pid and the reading ends of its ``streams``: one for stdout and stderr together, or
    one each; with none of them both are our own stderr. Raise `SpawnFailed`.
    """
    opened: list[int] = []
    readers: list[int] = []
    try:
        source = _memory_file(stdin)
        opened.append(source)
        for _ in range(streams):
            reader, writer = os.pipe()
            readers.append(reader)
            opened.append(writer)
        out, error = (opened[1], opened[-1]) if streams else (2, 2)
        actions = [
            (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, out, 1),
            (os.POSIX_SPAWN_DUP2, error, 2),
        ]
        pid = os.posix_spawn(
            argv[0],
            argv,
            env,
            file_actions=actions,
            setsid=True,
            setsigmask=(),
            setsigdef=_DEFAULT_SIGNALS,
        )
    except (OSError, ValueError) as error:
        for fd in readers:
            os.close(fd)
        raise SpawnFailed(_reason(os.fsdecode(argv[0]), error)) from None
    finally:
        for fd in opened:
            os.close(fd)
    _unprotect(pid)
    return pid, readers


def _unprotect(pid: int) -> None:
    """What keeps the guardian from being killed when memory runs out is not for its children."""
    try:
        with open("/proc/self/oom_score_adj", encoding="ascii") as own:
            if int(own.read()) >= 0:
                return
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as child:
            child.write("0")
    except OSError:
        pass  # it has ended already, or has gone on with less rights


def _memory_file(content: bytes) -> int:
    """A file to read from that never blocks its writer, whatever the reader does."""
    try:
        fd = os.memfd_create("ftl-state", os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
    except OSError:  # a kernel before 6.3 does not know the flag
        fd = os.memfd_create("ftl-state", os.MFD_CLOEXEC)
    os.write(fd, content)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _reason(program: str, error: OSError | ValueError) -> str:
    program = program[:256]
    if not isinstance(error, OSError):
        return f"{program}: cannot be started: {error}"
    if "/" not in program:
        cure = "; write the whole path, no shell looks it up"
    else:
        wrong = why_not(program)
        cure = f"; it {wrong}" if wrong else ""
    return f"{program}: cannot be started: {error.strerror}{cure}"
