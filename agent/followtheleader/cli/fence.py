"""``ftl-agent fence``: runs a command unless a newer leader has been there.

Promise: COMMAND starts only after this node's token was compared with the newest that FILE has
seen, and is on the disk there, and while FILE is locked; no two commands that came through one FILE
ever overlap, not even if ``fence`` itself is killed, as long as what keeps FILE keeps its locks.
Whatever stands in the way is told with place, value and cure; then nothing is run, and FILE still
holds a whole token.

FILE is shared by hosts, so nothing here trusts one host's memory: not the name (it may have been
replaced while we waited), not an earlier look at the token.
"""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import stat
import struct
import sys
import time
from contextlib import suppress

from followtheleader import cli
from followtheleader.cli import locating, options
from followtheleader.cli.terminal import clean
from followtheleader.errors import FtlError, NoAnswer, StateError
from followtheleader.host import client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

USAGE = """\
usage: ftl-agent fence --token-file FILE [--token N] [--wait TIME] [--runtime-dir DIR]
                       [INSTANCE] -- COMMAND [ARG…]

Run COMMAND unless a newer leader has come through FILE, so that a leader that wakes up late cannot
write. FILE lies in a directory that all nodes share (NFS, CIFS, a mounted disk), and holds the
newest token. This node's is N, else $FTL_TOKEN (hooks and what they start have it, for their own
instance), else what the agent of INSTANCE says now. It is on the disk before COMMAND starts, and
FILE stays locked until COMMAND has ended: no two of them overlap.

  --token-file FILE  made if missing; its directory is not
  --token N          this node's token, a whole number from 1
  --wait TIME        wait so long while another COMMAND runs: 200ms, 30s, 5m (default 30s)
  --runtime-dir DIR  where the agent keeps its sockets (default /run/ftl/INSTANCE)

COMMAND gets each SIGTERM, SIGINT and SIGHUP that fence gets, and has the token in $FTL_TOKEN. What
it leaves in the background is not waited for. If fence is killed by force, FILE stays locked until
COMMAND and all that it started have ended. FILE.holder says who has it. Nobody may remove or put
another FILE in its place meanwhile. Use $FTL_TOKEN or the agent's word for one FILE, not both: the
agent's may grow while it leads, and then a job that was started with an older one is refused. The
lock of a host that dies while COMMAND runs ends on NFS 4 after some 90 s, on NFS 3 when the host is
back: let --wait (and a hook's timeout) be longer, or COMMAND short.

Not protected: a COMMAND that was checked and then frozen together with its host, while a network
file system takes the lock away from it (NFS does after some 90 s): it writes on when it wakes.
Where that must not be, what is written to has to compare tokens itself. Nothing is protected where
hosts do not see each other's locks: mount without nolock, local_lock and nobrl. Choose FILE in a
directory inside the share, not in the mount point: then a share that is not mounted is a fault, and
not a new and empty file.

Exit: 0 and others are COMMAND's (128+N if signal N killed it). Nothing was run: 1 refused, a newer
leader was there or this host does not lead; 2 wrong usage, or FILE is at fault; 3 no agent answers;
4 another COMMAND still runs; 126, 127 COMMAND cannot be executed, is not found.

Example, the last line of an on_leader hook, and a timer's command:
  exec ftl-agent fence --token-file /srv/shared/fence/db.token -- /usr/local/bin/write-to-shared
  ftl-agent fence --token-file /srv/shared/fence/db.token svc -- rsync -a /data/ /srv/shared/data/
"""

LARGEST = 2**64 - 1
"""Tokens are terms, of 64 bits on the wire."""
DIGITS = len(str(LARGEST))
DEFAULT_WAIT = 30.0
POLL_INTERVAL = 0.05
"""Seconds between two tries for the lock: a network file system bears twenty questions a second."""
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
CANNOT_EXECUTE, NOT_FOUND, SIGNALLED = 126, 127, 128
"""As sh says it."""

_SI_KERNEL = 0x80
_FLOCK = "hhqqi0q"  # struct flock: type, whence, start, length, pid; all zero is the whole file
_SHOWN = 40
_HELD = (errno.EAGAIN, errno.EACCES)
_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


class _Refused(FtlError):
    """The token is too old, or there is none."""


class _Busy(FtlError):
    """Somebody else's command has not ended in time."""


def main(argv: list[str]) -> int:
    """Run the command if it may; return its exit code, or one of ours."""
    end_of_ours = argv.index("--") if "--" in argv else len(argv)
    ours, command = argv[:end_of_ours], argv[end_of_ours + 1 :]
    values = ("--token-file", "--token", "--wait", "--runtime-dir")
    said = options.parse(ours, (), values, words=1 if command else len(argv))
    if not command:
        raise options.WrongUsage("no COMMAND; write -- and behind it what to run")
    if not command[0]:
        raise options.WrongUsage(
            "COMMAND is an empty word; is the variable set that it comes from?"
        )
    if "token-file" not in said.values:
        raise options.WrongUsage("name the file that all nodes share: --token-file FILE")
    wait = options.seconds(said.values["wait"], "--wait") if "wait" in said.values else DEFAULT_WAIT
    try:
        token = _token(said)
        file = _TokenFile(said.values["token-file"], token)
        file.take(wait)
        try:
            file.record()
            return _run(command, token)
        finally:
            file.give_back()
    except _Refused as refused:
        _say(f"refused: {refused}; nothing was run")
        return cli.NO
    except _Busy as busy:
        _say(f"{busy}; nothing was run")
        return cli.TIMED_OUT


def _say(text: str) -> None:
    print(f"ftl-agent fence: {text}", file=sys.stderr)


# -- this node's token


def _token(said: options.Options) -> int:
    if "token" in said.values:
        return _number(said.values["token"], "--token")
    instance = said.word()
    given, owner = os.environ.get("FTL_TOKEN"), os.environ.get("FTL_INSTANCE")
    # A hook of one instance may write for another: that one's token is not in its environment.
    if given is not None and (instance is None or owner in (None, "", instance)):
        if not given:
            raise _Refused("$FTL_TOKEN is empty, as in hooks of a node that does not lead")
        return _number(given, "$FTL_TOKEN")
    return _ask(locating.status_socket(instance, said.values.get("runtime-dir")))


def _number(text: str, origin: str) -> int:
    number = _decimal(text)
    if not number:
        wrong = f"{text[:_SHOWN]!a} is not a token, which is a whole number from 1 to {LARGEST}"
        raise options.WrongUsage(f"{origin}: {wrong}")
    return number


def _decimal(text: str) -> int | None:
    """The number, None if that is none or too large. `int` alone takes blanks, signs and more."""
    if not (text.isascii() and text.isdigit() and len(text) <= DIGITS):
        return None
    number = int(text)
    return number if number <= LARGEST else None


def _ask(path: str) -> int:
    status = client.ask(path, {"command": "status"}, cli.ANSWER_WITHIN)
    instance, role, token = (clean(status.get(key)) for key in ("instance", "role", "token"))
    if role not in ("leader", "follower", "candidate"):
        raise NoAnswer(f"{path}: {role[:_SHOWN]} is not a role; see ftl-agent status")
    if role != "leader":
        raise _Refused(f"this host does not lead {instance}, it is {role}")
    number = _decimal(token)
    if not number:
        raise _Refused(f"this host leads {instance}, but has no token yet ({token}); try again")
    return number


# -- the file that all share


class _TokenFile:
    """FILE, locked by `take` until `give_back`; ``token`` is ours."""

    def __init__(self, path: str, token: int) -> None:
        self._path = path
        self._token = token
        self._fd = -1
        self._before = b""

    def take(self, wait: float) -> None:
        """Lock it and compare. Raises `StateError`, `_Refused`, or `_Busy` after ``wait`` s."""
        end = _now() + wait
        seen: int | None = None
        self._open()
        while not self._lock():
            # Whoever has been overtaken need not wait for the newer leader's command, which may
            # run as long as it leads. Read without the lock, a number counts if it stays: what is
            # just being written might be read half.
            before, seen = seen, self._peek()
            if seen is not None and seen == before:
                self._compare(seen)
            left = end - _now()
            if left <= 0:
                raise _Busy(self._busy(wait))
            time.sleep(min(POLL_INTERVAL, left))
        self._compare(self._newest())

    def record(self) -> None:
        """Put our token on the disk. Raises `StateError`; then the file holds what it held."""
        # Always of one length, in place: it needs no room that is not there already, and lies in
        # one sector, so that neither a full disk nor a power cut leaves half a number.
        line = f"{self._token:<{DIGITS}}\n".encode()
        try:
            # Also if it says so already: whoever wrote that may have died before it was on disk.
            if os.pwrite(self._fd, line, 0) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(self._fd)
        except OSError as error:
            with suppress(OSError):
                os.pwrite(self._fd, self._before, 0)
                os.ftruncate(self._fd, len(self._before))
            self._fail(error)
        if not self._before:
            self._sync_directory()
        self._leave_note()
        # COMMAND inherits the lock: if we are killed by force, it must not run on without it.
        os.set_inheritable(self._fd, True)

    def give_back(self) -> None:
        """Unlock it, also for those that COMMAND left behind with our descriptor."""
        with suppress(OSError):
            os.unlink(self._note)
        with suppress(OSError):
            # Closing would not do: the lock would last as long as any of them.
            fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_UNLCK))
        os.close(self._fd)

    # -- below

    def _open(self) -> None:
        # A link could lead a privileged fence to a file that is none of its business, and a
        # reader elsewhere to another file than ours. Never blocks: it could be a pipe.
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY
        while self._fd < 0:
            try:
                self._fd = os.open(self._path, flags)
            except FileNotFoundError:
                self._make(flags)
            except OSError as error:
                self._fail(error)
        if not stat.S_ISREG(os.fstat(self._fd).st_mode):
            raise StateError(f"{self._path}: is not a regular file; name another")

    def _make(self, flags: int) -> None:
        # Apart from opening what is there: in /tmp the kernel lets root do only one of both.
        try:
            self._fd = os.open(self._path, flags | os.O_CREAT | os.O_EXCL, 0o644)
        except FileExistsError:
            pass  # another host was faster
        except OSError as error:
            self._fail(error)

    def _lock(self) -> bool:
        """Lock the file that has the name now; False while somebody else holds it.

        Not flock: it is another kind of lock, which a node that exports the directory does not
        share with its NFS clients. Not the classic kind of fcntl: that one ends with the process
        that took it, even if its child runs on. This one belongs to the open file, as flock's does.
        """
        while True:
            try:
                fcntl.fcntl(self._fd, fcntl.F_OFD_SETLK, _flock(fcntl.F_WRLCK))
            except OSError as error:
                if error.errno in _HELD:
                    return False
                self._fail(error, locking=True)
            if self._has_the_name():
                return True
            os.close(self._fd)
            self._fd = -1
            self._open()

    def _has_the_name(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.lstat(self._path))
        except FileNotFoundError:
            return False
        except OSError as error:
            self._fail(error)

    def _newest(self) -> int:
        """The newest token that it has seen, 0 if none."""
        try:
            self._before = os.pread(self._fd, DIGITS + 2, 0)
        except OSError as error:
            self._fail(error)
        newest = _parse(self._before)
        if newest is None:
            shown = self._before.decode("latin-1")
            raise StateError(
                f"{self._path}:1: {shown!a} is not one decimal number up to {LARGEST} and a "
                "newline; write the newest token into it (ftl-agent status shows the leader's), "
                "or remove it while nothing runs through it; nothing was run"
            )
        return newest

    def _peek(self) -> int | None:
        """The same without the lock, None if it cannot be had."""
        try:
            return _parse(os.pread(self._fd, DIGITS + 2, 0))
        except OSError:
            return None  # CIFS locks also against reading

    def _compare(self, newest: int) -> None:
        if self._token < newest:
            raise _Refused(
                f"this node's token {self._token} is older than {newest}, the newest in "
                f"{self._path}: another node has led since"
            )

    def _sync_directory(self) -> None:
        # The usual file systems keep a new name together with its file; this is for the others,
        # and some of them do not know how.
        with suppress(OSError):
            fd = os.open(os.path.dirname(self._path) or ".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)

    @property
    def _note(self) -> str:
        return f"{self._path}.holder"

    def _leave_note(self) -> None:
        """Say who holds it, for those that wait in vain. Nothing depends on it."""
        text = f"{os.getpid()}@{os.uname().nodename} with token {self._token}\n"
        with suppress(OSError):
            os.unlink(self._note)
        with suppress(OSError):
            fd = os.open(self._note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)

    def _busy(self, wait: float) -> str:
        said = ""
        with suppress(OSError):
            fd = os.open(self._note, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                said = os.read(fd, 200).decode("utf-8", "replace").strip()
            finally:
                os.close(fd)
        who = f"{clean(said)}, says {self._note}" if said else "who, is not known"
        return (
            f"{self._path}: locked by another fence for more than {wait:g} s ({who}); wait for "
            "its command with --wait, or end it"
        )

    def _fail(self, error: OSError, locking: bool = False) -> NoReturn:
        number = error.errno or 0
        what = f"{os.strerror(number)}; {_cure(number)}"
        if locking and number in _NO_LOCKS:
            what = f"it cannot be locked ({os.strerror(number)}); mount its file system with locks"
        raise StateError(f"{self._path}: {what}; nothing was run") from None


def _cure(number: int) -> str:
    match number:
        case errno.ENOENT | errno.ENOTDIR:
            return "its directory is not there: make it, or mount what all nodes share"
        case errno.EISDIR:
            return "name a file in it"
        case errno.ELOOP:
            return "a symbolic link is not followed: name the file itself"
        case errno.EACCES | errno.EPERM:
            return f"uid {os.geteuid()} must be allowed to read and write it, or to make it there"
        case errno.EROFS:
            return "mount its file system for writing"
        case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
            return "make room for it"
        case _:
            return "see to it, or name another file"


def _parse(raw: bytes) -> int | None:
    """The number in the file, 0 in an empty one, None if there is anything else."""
    if not raw:
        return 0
    text = raw.decode("latin-1")
    return _decimal(text[:-1].rstrip(" ")) if text[-1] == "\n" else None


def _flock(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# -- the command


def _run(command: list[str], token: int) -> int:
    """Run it to its end and return its exit code, as sh would."""
    # No signal is lost, and none hits a stranger: they are taken one by one, and the number of a
    # child that has ended stays ours until we ask for its status.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, (*PASSED_ON, signal.SIGCHLD))
    try:
        pid = os.posix_spawnp(
            command[0],
            command,
            {**os.environ, "FTL_TOKEN": str(token)},
            setsigmask=before,
            # What Python ignores for itself.
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
        )
    except OSError as error:
        return _not_started(command[0], error)
    else:
        return _wait(pid)
    finally:
        while signal.sigtimedwait(PASSED_ON, 0):
            pass  # too late: nobody is left to be told
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _not_started(name: str, error: OSError) -> int:
    cure = "name an executable file, or one in $PATH"
    if error.errno == errno.ENOEXEC:
        cure = "a script begins with a line like #!/bin/sh"
    _say(f"{clean(name)!r}: {error.strerror}; {cure}")
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return NOT_FOUND if missing else CANNOT_EXECUTE


def _wait(pid: int) -> int:
    while True:
        got = signal.sigwaitinfo((*PASSED_ON, signal.SIGCHLD))
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else SIGNALLED - code
        # Ctrl-C has reached the whole foreground already.
        by_terminal = got.si_signo == signal.SIGINT and got.si_code == _SI_KERNEL
        if got.si_signo != signal.SIGCHLD and not by_terminal:
            os.kill(pid, got.si_signo)
