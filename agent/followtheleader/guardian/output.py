"""A hook's output as lines: bounded, never a burden.

A line is at most 4 KiB (longer ones are cut into several). A flood is thinned out to
`LINES_PER_SECOND` after a burst, the rest is counted, and the pipe is read more slowly: the hook is
held up, not the guardian. The pipe stays open as long as somebody writes to it, so that what a hook
leaves running can go on to speak.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from followtheleader.guardian.clock import MS, SECOND

LINE_LIMIT = 4096
BURST = 400
LINES_PER_SECOND = 200

STREAMS_KEPT = 64

_CHUNK = 65536
_FLOOD_PAUSE = 5 * MS


class Outputs:
    """The streams that are still open: the running hook's, and those that survivors hold.

    ``pass_on`` takes the lines; ``has_room`` says whether it would take one now.
    """

    def __init__(
        self, pass_on: Callable[[Output, str], None], has_room: Callable[[], bool]
    ) -> None:
        self._pass_on = pass_on
        self._has_room = has_room
        self._streams: dict[int, Output] = {}

    def add(self, output: Output) -> None:
        """Follow one more; beyond `STREAMS_KEPT` the oldest is no longer heard."""
        self._streams[output.fd] = output
        if len(self._streams) > STREAMS_KEPT:
            oldest = self._streams.pop(next(iter(self._streams)))
            oldest.close()

    def readable(self, now: int) -> list[int]:
        """The descriptors to poll."""
        return [fd for fd, output in self._streams.items() if output.resume_at <= now]

    def next_at(self, now: int) -> int | None:
        """When a held-up stream is to be polled again."""
        held_up = (o.resume_at for o in self._streams.values() if o.resume_at > now)
        return min(held_up, default=None)

    def read(self, fd: int, now: int) -> None:
        """Pass on what one read brings."""
        output = self._streams.get(fd)
        if output is not None:
            self._pass_all(output, output.read(now, self._has_room()))

    def drain(self, output: Output, now: int) -> None:
        """Pass on what its hook, which has ended, left behind."""
        self._pass_all(output, output.drain(now, self._has_room()))

    def _pass_all(self, output: Output, lines: list[str]) -> None:
        for line in lines:
            self._pass_on(output, line)
        if output.closed:
            self._streams.pop(output.fd, None)


class Output:
    """The reading end of one hook's stdout and stderr."""

    def __init__(self, fd: int, change: int, event: str, hook: str, now: int) -> None:
        os.set_blocking(fd, False)
        self.fd = fd
        self.change = change
        self.event = event
        self.hook = hook
        self.closed = False
        self.resume_at = 0
        self._rest = b""
        self._dropped = 0
        self._tell_at = 0
        self._tokens = float(BURST)
        self._refilled_at = now

    def read(self, now: int, room: bool) -> list[str]:
        """The lines to pass on from one read; none if there is no ``room`` for them."""
        self.resume_at = 0
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return []
        except OSError:
            data = b""
        if not data:
            self.close()
            return self.flush()
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        while len(self._rest) > LINE_LIMIT:
            lines.append(self._rest[:LINE_LIMIT])
            self._rest = self._rest[LINE_LIMIT:]
        return self._admit(lines, now, room)

    def drain(self, now: int, room: bool) -> list[str]:
        """What a hook that has ended left in the pipe (bounded: a survivor may still write)."""
        lines: list[str] = []
        for _ in range(4):
            if self.closed:
                break
            lines += self.read(now, room)
        return lines + self.flush()

    def flush(self) -> list[str]:
        """The last line, if it lacks its newline, and how many were dropped."""
        lines = [_text(self._rest)] if self._rest else []
        self._rest = b""
        if self._dropped:
            lines.append(f"… {self._dropped} lines dropped")
            self._dropped = 0
        return lines

    def close(self) -> None:
        """Read no more."""
        if not self.closed:
            self.closed = True
            os.close(self.fd)

    def _admit(self, lines: list[bytes], now: int, room: bool) -> list[str]:
        self._tokens += (now - self._refilled_at) * LINES_PER_SECOND / SECOND
        self._tokens = min(self._tokens, float(BURST))
        self._refilled_at = now
        passed: list[str] = []
        for number, line in enumerate(lines):
            if not room or self._tokens < 1:
                self._dropped += len(lines) - number
                self.resume_at = now + _FLOOD_PAUSE
                break
            if self._dropped and now >= self._tell_at:
                passed.append(f"… {self._dropped} lines dropped")
                self._dropped = 0
                self._tell_at = now + SECOND  # or the notices would be the flood
            passed += [
                _text(line[at : at + LINE_LIMIT]) for at in range(0, len(line) or 1, LINE_LIMIT)
            ]
            self._tokens -= 1
        return passed


def _text(line: bytes) -> str:
    return line.rstrip(b"\r").decode("utf-8", "replace")
