"""The log: events with fields, to the journal when stderr is one, else as readable lines.

Never raises and never waits: a log that nobody reads must not stop heartbeats, so what cannot be
written at once is counted, and the count is written with the next line. Control characters in
texts that came from elsewhere are shown, not obeyed.
"""

from __future__ import annotations

import hashlib
import json
import os
import select
import socket
import sys
import time

from followtheleader.host.clock import boottime

JOURNAL_SOCKET = "/run/systemd/journal/socket"
ERROR, WARNING, INFO, DEBUG = 3, 4, 6, 7
IDENTIFIERS = {"hook-output": "ftl-hook"}
"""Under which name journalctl shows a kind of event (``-t``), if not as the agent's own."""
_WORDS = {ERROR: "error", WARNING: "warning", INFO: "info", DEBUG: "debug"}
# A datagram larger than this may need the memfd detour of the native protocol; a line will do.
_LARGEST_DATAGRAM = 64 * 1024
# What poll(2) promises to fit into a writable pipe.
_LONGEST_LINE = 4096
_MOST_KINDS = 1024


class Journal:
    """The log of one instance.

    A kind is a short word (``elected``, ``hook-failed``) that names what happened; each has its own
    `message_id`. With ``limit`` (nanoseconds) one event of that kind is written in that time, and
    the next one carries the number of those left out as ``suppressed``. Fields that are None are
    left out; the journal shows a field ``hook_rc`` as ``FTL_HOOK_RC``.
    """

    def __init__(
        self, instance: str, fd: int, journal: socket.socket | None, prefixed: bool, debug: bool
    ) -> None:
        self._instance = instance
        self._fd = fd
        self._journal = journal
        self._prefixed = prefixed
        self._debug = debug
        self._lost = 0
        self._limited: dict[str, tuple[int, int]] = {}

    @classmethod
    def open(cls, instance: str, debug: bool = False, fd: int | None = None) -> Journal:
        """Log for ``instance`` to ``fd`` (stderr), natively if that is the journal.

        ``debug`` also writes `debug` events.
        """
        fd = _stderr() if fd is None else fd
        journald = _is_journal(fd)
        return cls(instance, fd, _connect() if journald else None, journald, debug)

    def error(self, kind: str, message: str, *, limit: int = 0, **fields: object) -> None:
        """Something that an operator must cure."""
        self._event(ERROR, kind, message, limit, fields)

    def warning(self, kind: str, message: str, *, limit: int = 0, **fields: object) -> None:
        """Something that an operator should know."""
        self._event(WARNING, kind, message, limit, fields)

    def info(self, kind: str, message: str, *, limit: int = 0, **fields: object) -> None:
        """A change that belongs into the history."""
        self._event(INFO, kind, message, limit, fields)

    def debug(self, kind: str, message: str, *, limit: int = 0, **fields: object) -> None:
        """For developers; only written when asked for."""
        if self._debug:
            self._event(DEBUG, kind, message, limit, fields)

    def close(self) -> None:
        """Give back the socket; lines still go to stderr."""
        if self._journal is not None:
            self._journal.close()
            self._journal = None

    def _event(
        self, priority: int, kind: str, message: str, limit: int, fields: dict[str, object]
    ) -> None:
        if limit and not self._admit(kind, limit, fields):
            return
        if self._lost:
            fields["lost"] = self._lost
        present = {name: _text(value) for name, value in fields.items() if value is not None}
        if self._send(priority, kind, message, present) or self._write(priority, message, present):
            self._lost = 0
        else:
            self._lost += 1

    def _admit(self, kind: str, limit: int, fields: dict[str, object]) -> bool:
        now = boottime()
        until, suppressed = self._limited.get(kind, (0, 0))
        if now < until:
            self._limited[kind] = (until, suppressed + 1)
            return False
        if suppressed:
            fields["suppressed"] = suppressed
        if len(self._limited) >= _MOST_KINDS:
            self._limited.clear()
        self._limited[kind] = (now + limit, 0)
        return True

    def _send(self, priority: int, kind: str, message: str, fields: dict[str, str]) -> bool:
        if self._journal is None:
            return False
        record = {
            "MESSAGE": message,
            "PRIORITY": str(priority),
            "SYSLOG_IDENTIFIER": IDENTIFIERS.get(kind, "ftl-agent"),
            "MESSAGE_ID": message_id(kind),
            "FTL_INSTANCE": self._instance,
            "FTL_EVENT": kind,
        }
        record.update((_field_name(name), value) for name, value in fields.items())
        datagram = b"".join(_native(name, value) for name, value in record.items())
        if len(datagram) > _LARGEST_DATAGRAM:
            return False
        try:
            self._journal.send(datagram)
        except OSError:
            # Full, or journald restarts: this one goes to stderr, the next tries again.
            self._reconnect()
            return False
        return True

    def _reconnect(self) -> None:
        if self._journal is not None:
            try:
                self._journal.connect(JOURNAL_SOCKET)
            except OSError:
                pass

    def _write(self, priority: int, message: str, fields: dict[str, str]) -> bool:
        text = " ".join([_printable(message), *(f"{k}={_quoted(v)}" for k, v in fields.items())])
        if self._prefixed:
            start = f"<{priority}>"
        else:
            now = time.time_ns()
            clock = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(now // 10**9))
            start = f"{clock}.{now // 10**6 % 1000:03d} {_WORDS[priority]} {self._instance}: "
        lines = "".join(f"{start}{line}\n" for line in text.split("\n"))
        raw = lines.encode("utf-8", "backslashreplace")
        if len(raw) > _LONGEST_LINE:
            raw = raw[: _LONGEST_LINE - 5] + b" ...\n"
        return _write_at_once(self._fd, raw)


def message_id(kind: str) -> str:
    """The MESSAGE_ID of a kind of event, for ``journalctl MESSAGE_ID=…``: the same everywhere."""
    return hashlib.blake2s(kind.encode(), digest_size=16, person=b"ftl-kind").hexdigest()


def _stderr() -> int:
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return 2


def _is_journal(fd: int) -> bool:
    # systemd.exec(5): stderr may have been redirected since $JOURNAL_STREAM was set.
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        found = os.fstat(fd)
    except OSError:
        return False
    return (device, inode) == (str(found.st_dev), str(found.st_ino))


def _connect() -> socket.socket | None:
    journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    journal.setblocking(False)
    try:
        journal.connect(JOURNAL_SOCKET)
    except OSError:
        journal.close()
        return None
    return journal


def _native(name: str, value: str) -> bytes:
    raw = value.encode("utf-8", "backslashreplace")
    if b"\n" in raw:
        return name.encode() + b"\n" + len(raw).to_bytes(8, "little") + raw + b"\n"
    return name.encode() + b"=" + raw + b"\n"


def _field_name(name: str) -> str:
    upper = "".join(c if c.isascii() and c.isalnum() else "_" for c in name.upper())
    return f"FTL_{upper}"[:64]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | dict | list):
        return json.dumps(value, default=str)
    return str(value)


def _printable(text: str) -> str:
    """Newlines stay, every other control character is spelled out."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def _quoted(value: str) -> str:
    if value and value.isprintable() and not any(c in ' "=' for c in value):
        return value
    return json.dumps(value, ensure_ascii=not value.isprintable())


def _write_at_once(fd: int, raw: bytes) -> bool:
    try:
        # Not O_NONBLOCK: stderr is shared with whoever started us.
        poll = select.poll()
        poll.register(fd, select.POLLOUT)
        ready = poll.poll(0)
        if not ready or not ready[0][1] & select.POLLOUT:
            return False
        os.write(fd, raw)
    except OSError:
        return False
    return True
