"""Two hosts, `a` and `b`, at the ends of a virtual cable: 10.77.0.1 and 10.77.0.2 on their eth0.

Their processes speak in lines of JSON, the first being ``{"started": true}``.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PREFIX = f"ftlm{os.getpid()}"
# zeroconf leaves a socket to the garbage collector when it cannot bind it.
WARNINGS = ("-W", "error", "-W", "ignore::ResourceWarning")


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, timeout=10)


class Process:
    """A process in a namespace whose JSON lines can be waited for."""

    def __init__(self, host: str, *program: str) -> None:
        self._process = subprocess.Popen(
            ["ip", "netns", "exec", f"{PREFIX}{host}", sys.executable, *WARNINGS, *program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.seen: list[dict[str, Any]] = []
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))

    def wait_for(
        self, wanted: Callable[[dict[str, Any]], bool], seconds: float = 8
    ) -> dict[str, Any]:
        """The first line, printed before or from now on, that is ``wanted``."""
        deadline = time.monotonic() + seconds
        for line in self.seen:
            if wanted(line):
                return line
        while True:
            try:
                line = self._lines.get(timeout=max(0, deadline - time.monotonic()))
            except queue.Empty:
                pytest.fail(f"not seen within {seconds} s, but: {self.seen}")
            self.seen.append(line)
            if wanted(line):
                return line

    def wait_for_next(self, seconds: float = 8) -> None:
        """Wait for one more line, whatever it is."""
        try:
            self.seen.append(self._lines.get(timeout=seconds))
        except queue.Empty:
            pytest.fail(f"nothing more within {seconds} s; before: {self.seen}")

    def wait_for_silence(self, quiet: float, seconds: float = 20) -> None:
        """Wait until no line has come for ``quiet`` seconds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                self.seen.append(self._lines.get(timeout=quiet))
            except queue.Empty:
                return
        pytest.fail(f"never silent for {quiet} s within {seconds} s")

    def say(self, command: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()

    def end(self) -> str:
        """Kill it if need be; what it wrote to stderr."""
        if self._process.stdin is None or self._process.stdin.closed:
            return ""
        self._process.kill()
        self._process.wait(timeout=10)
        self._reader.join(timeout=10)
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            said = stderr.read()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        return said


@contextmanager
def cable() -> Iterator[Callable[..., Process]]:
    """Make the hosts; yields ``start(host, *program)``. Afterwards all is gone, come what may."""
    names = [f"{PREFIX}a", f"{PREFIX}b"]
    started: list[Process] = []

    def start(host: str, *program: str) -> Process:
        process = Process(host, *program)
        started.append(process)
        process.wait_for(lambda line: "started" in line)
        return process

    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", names[0], "link", "add", "eth0", "type", "veth", "peer", "eth0", "netns", names[1])
        for number, name in enumerate(names, 1):
            ip("-n", name, "addr", "add", f"10.77.0.{number}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
        yield start
    finally:
        said = [process.end() for process in started]
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, timeout=10)
    # Whatever happened, nobody ever saw a traceback.
    assert [text for text in said if text] == []
