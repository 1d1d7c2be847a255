"""Signals as something to poll for."""

from __future__ import annotations

import os
import signal


def catch() -> int:
    """A descriptor that becomes readable with the number of each signal that arrives."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    # A ^C at the terminal is for the agent, which needs its guardian to stop properly.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return reader


def take(reader: int) -> set[int]:
    """The signals that have arrived since the last time."""
    try:
        return set(os.read(reader, 512))
    except BlockingIOError:
        return set()
