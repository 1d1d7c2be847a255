"""Asking a running agent over its local socket; kept so light that a shell loop can afford it."""

from __future__ import annotations

import _socket as socket  # without the enums and selectors of socket.py: half the cost
import os
import time

from followtheleader.errors import NoAnswer

TYPE_CHECKING = False
if TYPE_CHECKING:  # Importing typing itself would cost as much as all the rest.
    from typing import Any

_LONGEST_REPLY = 4 << 20
_WHOLE = 5
"""Times the bound of one wait: who sends byte after byte must not hold us for ever."""


def ask(path: str, request: dict[str, Any], timeout: float = 5.0) -> dict[str, Any]:
    """Send one request, return the reply; both are JSON objects.

    ``timeout`` in seconds bounds each wait, and five times that all of them. Raises `NoAnswer`,
    whose text says what to do.
    """
    import json

    raw = _exchange(path, json.dumps(request).encode() + b"\n", timeout)
    try:
        reply = json.loads(raw)
    except (ValueError, RecursionError):
        reply = None
    if not isinstance(reply, dict):
        raise NoAnswer(f"{path}: the answer is not ours; does an ftl-agent of this version run?")
    return reply


def ask_role(path: str, timeout: float = 5.0) -> str:
    """The role in one word (``leader``, ``follower`` or ``candidate``), without any parsing."""
    return _exchange(path, b"role\n", timeout).decode("ascii", "replace").strip()


def _exchange(path: str, line: bytes, timeout: float) -> bytes:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(timeout)
        connection.connect(path)
        connection.sendall(line)
        raw = _read_line(connection, time.monotonic() + _WHOLE * timeout)
    except (FileNotFoundError, ConnectionError):
        # Refused: a socket file that its agent left behind. Reset: it stopped while we asked.
        raise NoAnswer(f"{path}: no agent answers; is it running? {_how_to_see(path)}") from None
    except PermissionError:
        raise NoAnswer(
            f"{path}: uid {os.geteuid()} may not; use sudo or join the group ftl"
        ) from None
    except TimeoutError:
        raise NoAnswer(
            f"{path}: no answer within {timeout:g} s; the agent hangs or is overloaded"
        ) from None
    except OSError as error:
        raise NoAnswer(f"{path}: {error.strerror or error}; check --runtime-dir") from None
    finally:
        connection.close()
    if not raw.endswith(b"\n"):
        raise NoAnswer(f"{path}: the answer ended early; ask again")
    return raw


def _read_line(connection: socket.socket, end: float) -> bytes:
    raw = bytearray()
    while not raw.endswith(b"\n") and len(raw) < _LONGEST_REPLY:
        if time.monotonic() > end:
            raise TimeoutError
        part = connection.recv(65536)
        if not part:
            break
        raw += part
    return bytes(raw)


def _how_to_see(path: str) -> str:
    directory = os.path.dirname(path)
    if directory.startswith("/run/ftl/"):
        return f"systemctl status ftl-agent@{os.path.basename(directory)}"
    return "If its directory is another one, give --runtime-dir"
