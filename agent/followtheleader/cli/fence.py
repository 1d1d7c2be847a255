"""``ftl-agent fence``: becomes a command unless a newer leader has been there.

Promise: COMMAND starts only after this node's token was compared with the newest that FILE has
seen, and is on the disk there, and while FILE is locked. FILE stays locked until COMMAND has ended,
whatever COMMAND closes and whatever it or what stands around it is killed by, so that no two
commands that came through one FILE ever overlap: as long as what keeps FILE keeps its locks, and
unless the keeper beside COMMAND is killed by force *and* COMMAND has closed the descriptors that it
was started with.

Whatever stands in the way is told with place, value and cure; then nothing is run, and FILE still
holds a whole token: the newer one where COMMAND cannot be executed, which is tried last.

COMMAND takes the place of this process, and the keeper (`host.keeper`) the lock: nobody stands
between COMMAND and its signals, and there is no fence that could be killed and COMMAND run on.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import time

from followtheleader import cli
from followtheleader.cli import locating, options
from followtheleader.cli.terminal import clean
from followtheleader.errors import FtlError, NoAnswer
from followtheleader.host import client, keeper
from followtheleader.host.token_file import LARGEST, TokenFile, decimal

USAGE = """\
usage: ftl-agent fence --token-file FILE [--token N] [--wait TIME] [--runtime-dir DIR]
                       [INSTANCE] -- COMMAND [ARG…]

Run COMMAND unless a newer leader has come through FILE, so that a leader that wakes up late cannot
write. FILE lies in a directory that all nodes share (NFS, CIFS, a mounted disk), and holds the
newest token. This node's is N, else $FTL_TOKEN (hooks and what they start have it, for their own
instance), else what the agent of INSTANCE says now, and says again once FILE is locked. It is on
the disk before COMMAND starts, and FILE stays locked until COMMAND has ended: no two of them
overlap.

  --token-file FILE  made if missing, with mode 0600; its directory is not
  --token N          this node's token, a whole number from 1
  --wait TIME        wait so long while another COMMAND runs: 200ms, 30s, 5m (default 30s)
  --runtime-dir DIR  where the agent keeps its sockets (default /run/ftl/INSTANCE)

COMMAND takes the place of fence, as with exec: it has the same pid, gets every signal once, and has
the token in $FTL_TOKEN and the instance, where that is known, in $FTL_INSTANCE. What it leaves in
the background is not waited for. Beside it a keeper holds FILE, and gives it back some milliseconds
after COMMAND's end, however that came. Should somebody kill the keeper by force, then COMMAND and
what it started hold FILE themselves, unless they close what descriptors they were started with, as
sudo and daemons do. FILE.holder says who has it. Nobody may remove or put another FILE in its place
meanwhile. Use $FTL_TOKEN or the agent's word for one FILE, not both: the agent's may grow while it
leads, and then a job that was started with an older one is refused. The lock of a host that dies
while COMMAND runs ends on NFS 4 after some 90 s, on NFS 3 when the host is back: let --wait (and a
hook's timeout) be longer, or COMMAND short.

Whoever may read FILE can lock it, and then no COMMAND runs; whoever may write to its directory can
put another in its place, and then two do. So it belongs to the user that runs fence, on every host,
with mode 0600 (one of an earlier version has 0644: chmod 600), in a directory of the same user's.

Not protected: a COMMAND that was checked and then frozen together with its host, while a network
file system takes the lock away from it (NFS does after some 90 s): it writes on when it wakes.
Where that must not be, what is written to has to compare tokens itself. Nothing is protected where
hosts do not see each other's locks: mount without nolock, local_lock and nobrl. Choose FILE in a
directory inside the share, not in the mount point: then a share that is not mounted is a fault, and
not a new and empty file. Tokens order the leaders of a quorum group. In an open group that is split
each part has a leader, and their tokens may be equal: then they take turns, and one whose token is
smaller is shut out even if its part is the larger. Where only one may write, configure voters.

Exit: 0 and others are COMMAND's. Nothing was run: 1 refused, a newer leader was there or this host
does not lead; 2 wrong usage, or FILE is at fault; 3 no agent answers; 4 another COMMAND still runs;
126, 127 COMMAND cannot be executed, is not found: known only when the token is on the disk, so FILE
keeps it, and older ones are refused.

Example, the last line of an on_leader hook, and a timer's command:
  exec ftl-agent fence --token-file /srv/shared/fence/db.token -- /usr/local/bin/write-to-shared
  ftl-agent fence --token-file /srv/shared/fence/db.token svc -- rsync -a /data/ /srv/shared/data/
"""

DEFAULT_WAIT = 30.0
LINGERS = 0.1
"""Seconds that are waited in any case: the keeper of a command that has ended may need a moment."""
FIRST_POLL, POLL_INTERVAL = 0.002, 0.05
"""Seconds between two tries for the lock: a network file system bears twenty questions a second."""
CANNOT_EXECUTE, NOT_FOUND = 126, 127
"""As sh says it."""

_SHOWN = 40


class _Refused(FtlError):
    """The token is too old, or there is none."""


class _Busy(FtlError):
    """Somebody else's command has not ended in time."""


def main(argv: list[str]) -> int:
    """Become the command if it may run; else return why not, as one of our exit codes."""
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
        token = _Token(said)
        file = TokenFile(said.values["token-file"])
        try:
            _take(file, token, max(wait, LINGERS))
        except BaseException:
            file.close()
            raise
    except _Refused as refused:
        _say(f"refused: {refused}; nothing was run")
        return cli.NO
    except _Busy as busy:
        _say(f"{clean(busy)}; nothing was run")
        return cli.TIMED_OUT
    return _become(command, {**os.environ, **token.environment()}, file)


def _say(text: str) -> None:
    print(f"ftl-agent fence: {text}", file=sys.stderr)


# -- this node's token


class _Token:
    """This node's token: what --token says, else $FTL_TOKEN, else the agent.

    ``number`` is the token, ``instance`` whose it is, None if nobody has said it.
    """

    def __init__(self, said: options.Options) -> None:
        self.instance = said.word()
        self._socket = ""
        given, owner = os.environ.get("FTL_TOKEN"), os.environ.get("FTL_INSTANCE")
        if "token" in said.values:
            self.number = _number(said.values["token"], "--token")
        # A hook of one instance may write for another: that one's token is not in its environment.
        elif given is not None and (self.instance is None or owner in (None, "", self.instance)):
            if not given:
                raise _Refused("$FTL_TOKEN is empty, as in hooks of a node that does not lead")
            self.number = _number(given, "$FTL_TOKEN")
        else:
            self._socket = locating.status_socket(self.instance, said.values.get("runtime-dir"))
            self.ask_again()

    def ask_again(self) -> None:
        """Ask the agent, if the token is its word. Raise `NoAnswer`, or `_Refused`."""
        if self._socket:
            self.number, self.instance = _ask(self._socket)

    def environment(self) -> dict[str, str]:
        """What COMMAND is told: a token, and the instance that it belongs to."""
        told = {"FTL_TOKEN": str(self.number)}
        return told if self.instance is None else {**told, "FTL_INSTANCE": self.instance}


def _number(text: str, origin: str) -> int:
    number = decimal(text)
    if not number:
        wrong = f"{text[:_SHOWN]!a} is not a token, which is a whole number from 1 to {LARGEST}"
        raise options.WrongUsage(f"{origin}: {wrong}")
    return number


def _ask(path: str) -> tuple[int, str]:
    status = client.ask(path, {"command": "status"}, cli.ANSWER_WITHIN)
    instance, role, token = (clean(status.get(key)) for key in ("instance", "role", "token"))
    if role not in ("leader", "follower", "candidate"):
        raise NoAnswer(f"{path}: {role[:_SHOWN]} is not a role; see ftl-agent status")
    if role != "leader":
        raise _Refused(f"this host does not lead {instance}, it is {role}")
    number = decimal(token)
    if not number:
        raise _Refused(f"this host leads {instance}, but has no token yet ({token}); try again")
    return number, instance


# -- the file


def _take(file: TokenFile, token: _Token, wait: float) -> None:
    """Lock the file and put the token there; `_Busy` after ``wait`` s, `_Refused`, `StateError`."""
    end = _now() + wait
    pause = FIRST_POLL
    seen: int | None = None
    while not file.lock():
        # Whoever has been overtaken need not wait for the newer leader's command, which may run as
        # long as it leads. Read without the lock, a number counts if it stays.
        before, seen = seen, file.peek()
        if seen is not None and seen == before:
            _compare(token.number, seen, file.path)
        left = end - _now()
        if left <= 0:
            raise _Busy(file.obstacle(wait))
        time.sleep(min(pause, left))
        pause = min(2 * pause, POLL_INTERVAL)
    # While we waited, this host may have learned that it leads no more; who leads now has perhaps
    # not been here yet.
    token.ask_again()
    _compare(token.number, file.newest(), file.path)
    file.record(token.number)


def _compare(token: int, newest: int, path: str) -> None:
    if token < newest:
        raise _Refused(
            f"this node's token {token} is older than {newest}, the newest in {path}: "
            "another node has led since"
        )


def _now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


# -- the command


def _become(command: list[str], environment: dict[str, str], file: TokenFile) -> int:
    """Become it, the keeper beside us; return an exit code if that cannot be."""
    try:
        keeper.start(file.give_back)
    except OSError as error:
        file.give_back()
        _say(f"no keeper of the lock can be started: {error.strerror}; nothing was run")
        return CANNOT_EXECUTE
    # What Python does with them for itself is not for COMMAND: yes | head would never end.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        os.execvpe(command[0], command, environment)
    except OSError as error:
        return _not_started(command[0], error)


def _not_started(name: str, error: OSError) -> int:
    cure = "name an executable file, or one in $PATH"
    if error.errno == errno.ENOEXEC:
        cure = "a script begins with a line like #!/bin/sh"
    _say(f"{clean(name)!r}: {error.strerror}; {cure}")
    missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return NOT_FOUND if missing else CANNOT_EXECUTE
