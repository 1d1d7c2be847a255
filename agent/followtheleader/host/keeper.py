"""A keeper: a small process that gives something back once this one has ended.

Promise: after `start` has returned, ``give_back`` is called within milliseconds of this process's
end and not before, whatever this process executes, closes or is killed by, unless the keeper itself
is killed by force. The keeper heeds no other signal, is in no session or group that was there
before, and is nobody's child: neither is it waited for by what this process becomes, nor killed
along with its group.
"""

from __future__ import annotations

import errno
import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn


def start(give_back: Callable[[], None]) -> None:
    """Fork the keeper of this process, which must have one thread only.

    ``give_back`` is called in the keeper, which holds every descriptor that is open now. Raises
    OSError if there can be none. SIGCHLD is no longer ignored afterwards.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # or the exit code below would be lost
    this = os.pidfd_open(os.getpid())
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        between = os.fork()
        if between == 0:
            _between(this, give_back)
        _, status = os.waitpid(between, 0)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        os.close(this)
    if status:
        code = os.waitstatus_to_exitcode(status)
        number = code if code > 0 else errno.ECHILD
        raise OSError(number, os.strerror(number))


def _between(kept: int, give_back: Callable[[], None]) -> NoReturn:
    """The keeper's parent, which ends at once; its exit code is the errno if that fails."""
    code = errno.ECHILD
    try:
        os.setsid()
        if os.fork() == 0:
            _keep(kept, give_back)
        code = 0
    except OSError as error:
        code = error.errno or code
    finally:
        os._exit(code)


def _keep(kept: int, give_back: Callable[[], None]) -> None:
    # Whoever reads what the command prints waits for its end, not for ours.
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):
        os.dup2(nowhere, fd)
    ended = select.poll()
    ended.register(kept, select.POLLIN)
    ended.poll()
    give_back()
