"""The commands of each event, as the configuration names them.

The configuration is read by a short-lived child, so that the guardian never holds a YAML parser:
``python -m followtheleader.config.hooks FILE --instance NAME`` prints one JSON object, or ends with
78 and says why. Scripts in the default directory are looked up at each event: one that is added
counts at once.
"""

from __future__ import annotations

import json
import os
import sys

from followtheleader.guardian import spawn
from followtheleader.guardian.clock import SECOND
from followtheleader.guardian.messages import EVENTS
from followtheleader.hook_files import default_hooks

DEFAULT_TIMEOUT = 30 * SECOND
POLICIES = ("step-down", "retry", "ignore")
READ_TIMEOUT = 20 * SECOND

_SIZE_LIMIT = 1024 * 1024

Commands = tuple[tuple[str, ...], ...]


class BadHooks(ValueError):
    """What the configuration's reader printed cannot be used; the text says why."""


class Hooks:
    """The hooks of one instance. ``timeout`` in ns; ``on_failure`` is one of `POLICIES`;
    ``service``: the election's name, as they are told it; ``text``: what they were read from."""

    def __init__(
        self,
        commands: dict[str, Commands | None],
        timeout: int,
        on_failure: str,
        default_dir: str,
        service: str = "",
        text: bytes = b"",
    ) -> None:
        self.text = text
        self.timeout = timeout
        self.on_failure = on_failure
        self.service = service
        self._commands = commands
        self._default_dir = default_dir

    def commands(self, event: str) -> Commands:
        """The argvs to run for ``event``, in order."""
        configured = self._commands.get(event)
        if configured is not None:
            return configured
        if not self._default_dir:
            return ()
        return tuple((path,) for path in default_hooks(self._default_dir, event))


def parse(text: bytes) -> Hooks:
    """The hooks from what the reader printed. Raise `BadHooks`."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadHooks(f"not JSON: {error}") from None
    if not isinstance(value, dict) or not isinstance(value.get("commands"), dict):
        raise BadHooks("no object with commands")
    timeout, policy = value.get("timeout", DEFAULT_TIMEOUT), value.get("on_failure", POLICIES[0])
    directory, service = value.get("default_dir"), value.get("service")
    if type(timeout) is not int or timeout <= 0:
        raise BadHooks(f"timeout {timeout!r}")
    if policy not in POLICIES:
        raise BadHooks(f"on_failure {policy!r}")
    if not isinstance(directory, str):
        raise BadHooks(f"default_dir {directory!r}")
    if not isinstance(service, str) or "\0" in service:
        raise BadHooks(f"service {service!r}")
    commands = {event: _argvs(value["commands"].get(event)) for event in EVENTS}
    return Hooks(commands, timeout, policy, directory, service, text)


def _argvs(value: object) -> Commands | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise BadHooks(f"commands {value!r}")
    for argv in value:
        if not isinstance(argv, list) or not argv or not all(isinstance(a, str) for a in argv):
            raise BadHooks(f"command {argv!r}")
    return tuple(tuple(argv) for argv in value)


class Reader:
    """The child that reads the configuration; ``fds`` are to be polled, then ``read``.

    Raise `spawn.SpawnFailed` if there cannot be one.
    """

    def __init__(self, config: str, instance: str, now: int) -> None:
        module = "followtheleader.config.hooks"
        argv = (sys.executable, "-I", "-m", module, config, "--instance", instance)
        words = tuple(os.fsencode(word) for word in argv)
        self.pid, self._streams = spawn.spawn(words, spawn.clean_environment(), b"", streams=2)
        self.give_up_at = now + READ_TIMEOUT
        self.status: int | None = None
        self._parts = dict.fromkeys(self._streams, b"")
        self.fds = list(self._streams)
        for fd in self.fds:
            os.set_blocking(fd, False)

    def read(self, fd: int) -> None:
        """Take what has come."""
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return
        self._parts[fd] = (self._parts[fd] + data)[:_SIZE_LIMIT]
        if not data:
            self.fds.remove(fd)
            os.close(fd)

    def result(self, now: int) -> Hooks | None:
        """The hooks once it has ended, None before. Raise `BadHooks` with the reader's words."""
        if now >= self.give_up_at and (self.status is None or self.fds):
            self.end()
            raise BadHooks(f"the configuration was not read within {READ_TIMEOUT // SECOND} s")
        if self.status is None or self.fds:
            return None
        text, words = (self._parts[fd] for fd in self._streams)
        if self.status != 0:
            said = words.decode(errors="replace").strip()
            raise BadHooks(said or f"its reader ended with status {self.status}")
        return parse(text)

    def end(self) -> None:
        """Be done with it."""
        for fd in self.fds:
            os.close(fd)
        self.fds = []
        if self.status is None:
            os.kill(self.pid, 9)
