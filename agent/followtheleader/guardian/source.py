"""Where the hooks come from: the configuration, read again when told to.

The last good hooks are kept in RT/guardian/hooks.json (0600). If the configuration is broken when a
guardian is started anew, its agent goes on with the hooks that it had; an agent that starts with a
broken configuration has none.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from followtheleader.guardian import files, hooks, proc, spawn
from followtheleader.guardian.home import Home
from followtheleader.guardian.job import Register
from followtheleader.guardian.post import Post

FILE = "hooks.json"


class Untrusted(Exception):
    """The configuration is not root's alone; the text names the place and the cure."""


class Source:
    """``hooks``: those that count now. ``refusal``: why there are none. ``fds`` are to be polled,
    then `read`."""

    def __init__(
        self,
        post: Post,
        home: Home,
        register: Register,
        log: Callable[[str], None],
        now: int,
    ) -> None:
        """Begin to read. Raise `spawn.SpawnFailed` if the reader cannot be started."""
        self.hooks: hooks.Hooks | None = None
        self.refusal = ""
        self._post = post
        self._home = home
        self._register = register
        self._log = log
        self._reread = self._is_rereading = False
        self._news: str | None = None
        self._unkept: bytes | None = None
        self._reader: hooks.Reader | None = None
        try:
            self._start_reader(now)
        except Untrusted as fault:
            self.refusal = str(fault)  # what an earlier guardian left is ended all the same

    @property
    def fds(self) -> list[int]:
        """What the reader writes to."""
        return self._reader.fds if self._reader is not None else []

    def next_at(self) -> int | None:
        """When the reader has had enough time."""
        return self._reader.give_up_at if self._reader is not None else None

    def reload(self) -> None:
        """Read again, as soon as the present reader has ended."""
        self._reread = True

    def take_news(self) -> str | None:
        """Once after each `reload`, when it is over: why the hooks stay as they were, or
        nothing."""
        news, self._news = self._news, None
        return news

    def write_again(self) -> None:
        """What was kept for the next guardian is lost."""
        self._unkept = self.hooks.text if self.hooks is not None else None

    def read(self, fd: int) -> None:
        """Take what has come."""
        if self._reader is not None:
            self._reader.read(fd)

    def on_exit(self, pid: int, status: int) -> None:
        """A child has ended (exit code)."""
        if self._reader is not None and pid == self._reader.pid:
            self._reader.status = status
            self._register.forget(pid)

    def step(self, now: int) -> None:
        """Do what is due; sets ``hooks`` or ``refusal``."""
        if self._reader is None:
            if self._reread:
                self._reread, self._is_rereading = False, True
                try:
                    self._start_reader(now)
                except (Untrusted, spawn.SpawnFailed) as fault:
                    self._end_reading(str(fault))
            return
        try:
            found = self._reader.result(now)
        except hooks.BadHooks as fault:
            if self.hooks is None:
                self.refusal = str(fault)
            self._end_reading(str(fault))
            return
        if found is not None:
            self.hooks, self._unkept = found, found.text
            self._end_reading("")

    def _end_reading(self, fault: str) -> None:
        self._reader = None
        if self._is_rereading:
            self._is_rereading, self._news = False, fault
        if fault and self.hooks is not None:
            self._log(f"hooks not reloaded, the earlier ones stay: {fault}")

    def keep(self, agent: tuple[int, int]) -> None:
        """Write the hooks down for the next guardian of this agent (pid, start)."""
        if self._unkept is None:
            return
        text, self._unkept = self._unkept, None
        saved = {"agent": agent, "hooks": json.loads(text)}
        try:
            files.write_atomic(self._home.fd, FILE, json.dumps(saved).encode())
        except OSError as error:
            self._log(f"{FILE}: hooks not kept for the next guardian: {error.strerror}")

    def fall_back(self, agent: tuple[int, int]) -> bool:
        """Use what an earlier guardian of this same living agent kept; False if there is none.

        Raise `proc.Blind` if it cannot be read for want of a descriptor.
        """
        try:
            data = files.read_small(self._home.fd, FILE)
            saved = json.loads(data or b"{}")
            if tuple(saved["agent"]) != agent:
                return False
            self.hooks = hooks.parse(json.dumps(saved["hooks"]).encode())
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            if isinstance(error, OSError):
                proc.tell_blind(error, FILE)
            return False
        self._log(f"the hooks of before stay, until the configuration is mended: {self.refusal}")
        self.refusal = ""
        return True

    def _start_reader(self, now: int) -> None:
        if refusal := self._post.refuses(self._post.config):
            raise Untrusted(f"{self._post.config} is not read: {refusal}")
        self._reader = hooks.Reader(self._post.config, self._post.instance, now)
        # A child of ours like a hook, but never of the job: it must outlive a loss of the role.
        self._register.add(self._reader.pid, "configuration")
