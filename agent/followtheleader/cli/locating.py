"""Which agent is meant: the runtime directory in which it answers.

Promise: nothing is created, and an instance that was not named is never guessed. If several agents
listen, one that hangs included, the operator must choose: otherwise the answer about one service
would silently become the answer about another when its agent is in trouble.
"""

from __future__ import annotations

import os

from followtheleader.cli.options import WrongUsage
from followtheleader.errors import NoAnswer
from followtheleader.host import places

_LETTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
LONGEST_NAME = 63


def wrong_name(instance: str) -> str | None:
    """Why ``instance`` cannot be the name of one; None if it can."""
    good = 0 < len(instance) <= LONGEST_NAME and _LETTERS.issuperset(instance)
    if good and instance[0] not in ".-":
        return None
    return (
        f"{instance!a} is not the name of an instance, which is 1 to {LONGEST_NAME} of A-Z a-z 0-9 "
        ". _ - and starts with none of . -"
    )


def status_socket(instance: str | None, runtime_dir: str | None) -> str:
    """The path of the socket that answers for ``instance`` (None: for the only one).

    It need not exist if the instance or its directory is named. Raises `WrongUsage` if the name is
    none or several run, `NoAnswer` if none runs.
    """
    if instance is not None:
        wrong = wrong_name(instance)
        if wrong is not None:
            raise WrongUsage(f"{wrong}{_as_file(instance)}")
        found = places.locate(instance, runtime_dir)
    else:
        found = os.path.abspath(runtime_dir) if runtime_dir else _only_running()
    return os.path.join(found, places.STATUS_SOCKET)


def roots() -> list[str]:
    """The directories that hold a runtime directory for each instance."""
    found = [places.system_runtime("x"), *places.own_runtimes("x")]
    return [os.path.dirname(place) for place in found]


def _only_running() -> str:
    looked = roots()
    found = [place for root in looked for place in _places(root)]
    if len(found) > 1:
        # Only several are worth a question: a single one is asked by the command itself.
        found = [place for place in found if _listens(place)]
    if not found:
        raise NoAnswer(
            f"no agent runs here, looked in {', '.join(looked)}; start one, or name its directory "
            "with --runtime-dir"
        )
    if len(found) > 1:
        names = [os.path.basename(place) for place in found]
        if len(set(names)) < len(names):
            raise WrongUsage(f"several agents run, choose by --runtime-dir: {', '.join(found)}")
        raise WrongUsage(f"several instances run, name one: {', '.join(names)}")
    return found[0]


def _places(root: str) -> list[str]:
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return []
    found = [os.path.join(root, name) for name in names]
    return [place for place in found if os.path.exists(f"{place}/{places.STATUS_SOCKET}")]


def _listens(place: str) -> bool:
    """Whether a process holds the socket in ``place``; a stale file refuses."""
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.setblocking(False)
        try:
            connection.connect(f"{place}/{places.STATUS_SOCKET}")
        except BlockingIOError:
            return True  # It listens, and its queue is full: it hangs.
        except OSError:
            return False
    return True


def _as_file(instance: str) -> str:
    return "; a file is named with -c" if "/" in instance else ""
