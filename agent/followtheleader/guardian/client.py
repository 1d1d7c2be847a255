"""The agent as the guardian sees it: a connection, a process, and whether it said goodbye."""

from __future__ import annotations

import os
import select
from collections.abc import Callable

from followtheleader.guardian import messages, proc
from followtheleader.guardian.channel import Channel


class Client:
    """``died``: its process is gone. ``bye``: it has resigned properly. ``left``: that, and it has
    closed the connection. ``identity``: (pid, start). ``unwatched``: the pid of an agent that has
    said hello but could not be watched yet. ``peer``: its pid by the kernel's word, 0 without."""

    def __init__(self, fd: int, peer: int = 0) -> None:
        self.channel = Channel(fd)
        self.peer = peer
        self.identity: tuple[int, int] | None = None
        self.unwatched = 0
        self.pidfd = -1
        self.died = False
        self.bye = False
        self.eof_at: int | None = None

    @property
    def left(self) -> bool:
        return self.bye and self.channel.eof

    def watch(self, pid: int) -> None:
        """Be told when this process ends. Raise `messages.BadMessage` if one is watched already,
        `proc.Blind` if it cannot be watched now: then `watch_again`."""
        if self.identity is not None or self.unwatched:
            raise messages.BadMessage("hello: said twice")
        if self.peer not in (0, pid):
            raise messages.BadMessage(f"hello: of process {pid}, but process {self.peer} says it")
        self.unwatched = pid
        self.watch_again()

    def watch_again(self) -> None:
        """Watch who said hello, if that is yet to be done. Raise `proc.Blind`."""
        if not self.unwatched:
            return
        start = proc.start_of(self.unwatched)
        try:
            self.pidfd = os.pidfd_open(self.unwatched)
        except ProcessLookupError:
            self.died = True
        except OSError as error:
            raise proc.Blind(f"the agent cannot be watched: {error.strerror}") from None
        self.identity, self.unwatched = (self.unwatched, start), 0

    def read(self, now: int, take: Callable[[bytes], None]) -> None:
        """Hand every line that has come to ``take``; then see whether the agent still lives.

        In this order: its last lines were true when it died. They fit into one read, and that is
        the end: who writes on is another, that has the connection from it.
        """
        gone = self.pidfd >= 0 and bool(_readable(self.pidfd))
        for line in self.channel.read():
            take(line)
        self.channel.eof = self.channel.eof or gone
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
