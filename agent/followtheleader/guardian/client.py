"""The agent as the guardian sees it: a connection, a process, and whether it said goodbye."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from followtheleader.guardian import messages, proc
from followtheleader.guardian.channel import Channel


class Client:
    """``died``: its process is gone. ``bye``: it has resigned properly. ``left``: that, and it has
    closed the connection. ``identity``: (pid, start)."""

    def __init__(self, fd: int) -> None:
        self.channel = Channel(fd)
        self.identity: tuple[int, int] | None = None
        self.pidfd = -1
        self.died = False
        self.bye = False
        self.eof_at: int | None = None

    @property
    def left(self) -> bool:
        return self.bye and self.channel.eof

    def watch(self, pid: int) -> None:
        """Be told when this process ends. Raise `messages.BadMessage` if one is watched already."""
        if self.identity is not None:
            raise messages.BadMessage("hello: said twice")
        try:
            self.pidfd = os.pidfd_open(pid)
        except OSError:
            self.died = True
        self.identity = pid, proc.start_of(pid)

    def read(self, now: int, take: Callable[[bytes], None]) -> None:
        """Hand every line that has come to ``take``; then see whether the agent still lives.

        In this order: its last lines were true when it died.
        """
        gone = self.pidfd >= 0 and bool(_readable(self.pidfd))
        lines = self.channel.read()
        while gone and not self.channel.eof and (more := self.channel.read()):
            lines += more
        for line in lines:
            take(line)
        if self.channel.eof and self.eof_at is None:
            self.eof_at = now
        if gone and self.pidfd >= 0:
            self.died = True
            os.close(self.pidfd)
            self.pidfd = -1


def _readable(fd: int) -> list[tuple[int, int]]:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return poll.poll(0)
