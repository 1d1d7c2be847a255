"""A directory that all nodes share, as the tests of ``fence`` see it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cli.command import COMMAND, SECONDS, Result, clean_environment, ftl_agent

LARGEST = 2**64 - 1
RAN = ("sh", "-c", "echo ran")
HEEDING = ("env", "--default-signal")
"""What runs in the background, like these tests perhaps, is started deaf to Ctrl-C."""


class Share:
    """A directory as all nodes see it, and ``fence`` as each of them calls it."""

    def __init__(self, directory: str) -> None:
        self.directory = Path(directory)
        self.file = self.directory / "token"
        self.note = self.directory / "token.holder"

    def __call__(self, *command: str, token: object, wait: str = "20s") -> Result:
        return ftl_agent(*self.words(token, wait), *command)

    def start(self, *command: str, token: object, wait: str = "20s") -> subprocess.Popen[str]:
        """The same, still running."""
        return self.open(*self.words(token, wait), *command)

    def open(self, *words: str) -> subprocess.Popen[str]:
        """``ftl-agent words``, still running, in a session of its own."""
        return subprocess.Popen(
            [*HEEDING, *COMMAND, *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=clean_environment(),
            start_new_session=True,
        )

    def words(self, token: object, wait: str = "20s") -> list[str]:
        where = ["--token-file", str(self.file)]
        return ["fence", *where, "--token", str(token), "--wait", wait, "--"]

    @contextmanager
    def busy(self, token: object, first: str = ":") -> Iterator[Running]:
        """While a command runs that ends when it is told to, and has done ``first``."""
        pipe = self.directory / f"pipe-{token}"
        os.mkfifo(pipe)
        script = f'{first}; exec <>"$1"; echo $$; read -r end; echo over'
        fence = self.start("sh", "-c", script, "sh", str(pipe), token=token)
        assert fence.stdout is not None
        running = Running(fence, int(fence.stdout.readline()), pipe)
        try:
            yield running
        finally:
            fence.kill()
            with suppress(ProcessLookupError):
                os.kill(running.command, signal.SIGKILL)
            fence.communicate(timeout=SECONDS)

    @property
    def newest(self) -> int:
        return int(self.file.read_text())

    def opened_by(self) -> set[int]:
        """The pids of those that have the file open."""
        return {pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if self._has(pid)}

    def wait_open(self, pid: int) -> None:
        """Wait until the process has the file open."""
        wait_until(lambda: self._has(pid))

    def wait_given_back(self) -> None:
        """Wait until no keeper is left, and the note of the holder is gone."""
        wait_until(lambda: not self.opened_by())
        assert not self.note.exists()

    def _has(self, pid: int) -> bool:
        place = Path(f"/proc/{pid}/fd")
        with suppress(OSError):
            for fd in os.listdir(place):
                with suppress(OSError):
                    if os.readlink(place / fd) == str(self.file):
                        return True
        return False


class Running:
    """A fence, and the pid of its command."""

    def __init__(self, fence: subprocess.Popen[str], command: int, pipe: Path) -> None:
        self.fence = fence
        self.command = command
        self._pipe = pipe

    def end(self) -> None:
        """Let the command end by itself."""
        self._pipe.write_text("end\n")

    @property
    def is_alive(self) -> bool:
        """Is the command still there?"""
        try:
            state = Path(f"/proc/{self.command}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state != "Z"

    def result(self) -> Result:
        """How the fence ended; what the command printed after its pid."""
        out, err = self.fence.communicate(timeout=SECONDS)
        return Result(self.fence.returncode, out, err)


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until ``holds``; AssertionError after a while."""
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)
