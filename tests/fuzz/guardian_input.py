"""What the guardian reads: lines of an agent that may have been taken over, the will that it is to
keep, and what the reader of hooks has printed."""

from __future__ import annotations

import base64
import os
import socket

from followtheleader.guardian import hooks, lastwill, messages
from followtheleader.guardian.channel import Channel
from wire.golden import recorded

CHANNEL, HOOKS = 0, 1
"""The first byte of an input says which of the two it is; the second how it is cut in pieces."""
MOST_PIECES = 20
LARGEST = 3 * messages.LINE_LIMIT


def seeds() -> list[bytes]:
    """Each message of an agent, a will, and hooks as they are told."""
    will = [
        {"to": [to, 9001], "data": base64.b64encode(line).decode()}
        for to in ("10.0.0.2", "fe80::1%eth0", "2001:db8::2")
        for name, line in recorded().items()
        if "release" in name
    ]
    facts = {"role": "leader", "term": 7, "leader": "h1", "reason": "elected", "quorum": {"n": 2}}
    lines = [
        messages.encode("hello", pid=os.getpid()),
        messages.encode("lease", deadline=2**60, stop_timeout=2_000_000_000, quorum=True),
        *(messages.encode("event", event=e, change=3, facts=facts) for e in messages.EVENTS),
        messages.encode("will", datagrams=will),
        messages.encode("reload"),
        messages.encode("ping"),
        messages.encode("bye"),
        b'{"m": "lease", "deadline": 1e400, "stop_timeout": NaN}\n',
        b"\n\n{}\n[]\nnull\n\xff\xfe\n",
    ]
    told = [
        b'{"commands": {"leader": [["/bin/true", "a"]], "follower": null}, "timeout": 30000000000,'
        b' "on_failure": "step-down", "default_dir": "/etc/ftl/svc", "service": "svc"}',
        b'{"commands": {}, "default_dir": ""}',
    ]
    cut = [bytes([CHANNEL, size]) for size in (0, 3, 255)]
    found = [head + line for line in lines for head in cut]
    found.append(bytes([CHANNEL, 255]) + b"".join(lines))
    return found + [bytes([HOOKS, 0]) + text for text in told]


def one(data: bytes) -> None:
    """Read it as the guardian does; what it cannot use is one of its own exceptions."""
    if len(data) < 2:
        return
    if data[0] & 1:
        try:
            read = hooks.parse(data[2:])
        except hooks.BadHooks:
            return
        for event in messages.EVENTS:
            for argv in read.commands(event):
                assert argv
                assert all(isinstance(word, str) for word in argv), argv
        return
    text = data[2 : 2 + LARGEST]
    for line in _lines(text, max(1 + 64 * data[1], len(text) // MOST_PIECES)):
        assert len(line) <= messages.LINE_LIMIT, "a line that is longer than any may be"
        try:
            message = messages.parse(line)
        except messages.BadMessage as bad:
            _is_short(bad)
            continue
        if isinstance(message, messages.WillDeposited):
            try:
                kept = lastwill.check(message.datagrams)
            except lastwill.BadWill as bad:
                _is_short(bad)
                continue
            assert len(kept) <= lastwill.ADDRESS_LIMIT
            assert all(len(datagram) <= lastwill.DATAGRAM_LIMIT for _, _, datagram in kept)


def _is_short(bad: Exception) -> None:
    """What is logged of a line is bounded."""
    assert len(str(bad)) < 1000, f"{len(str(bad))} characters are logged"


def _lines(data: bytes, piece: int) -> list[bytes]:
    """The lines that a channel makes of ``data``, sent ``piece`` bytes at a time, then its end."""
    ours, theirs = socket.socketpair()
    channel, lines = Channel(ours.fileno()), []
    with ours, theirs:
        for start in range(0, len(data), piece):
            theirs.sendall(data[start : start + piece])
            lines += channel.read()
        theirs.close()
        lines += channel.read()
        assert channel.eof
    return lines
