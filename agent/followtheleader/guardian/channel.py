"""The guardian's end of the connection: lines in, lines out, never blocked, always bounded.

An agent that does not read costs itself its hooks' output first (`has_room`), and only beyond a
megabyte its other lines. An agent that sends garbage costs a line of log.
"""

from __future__ import annotations

import os

from followtheleader.guardian.messages import LINE_LIMIT

OUTPUT_ROOM = 64 * 1024
CONTROL_ROOM = 1024 * 1024

_CHUNK = 65536
# A socket holds 208 KiB (net.core.wmem_default): all that can wait, and no more than can be read
# while nothing else is done.
_READ_AT_ONCE = 8


class Channel:
    """One connection by its descriptor.

    ``eof``: the other end is closed. ``overlong``: lines that were dropped for their length.
    ``lost``: lines of ours that found no room.
    """

    def __init__(self, fd: int) -> None:
        os.set_inheritable(fd, False)
        os.set_blocking(fd, False)
        self.fd = fd
        self.eof = False
        self.overlong = 0
        self.lost = 0
        self._in = b""
        self._skipping = False
        self._out = bytearray()

    @property
    def wants_write(self) -> bool:
        """Is there something that the other end has not taken?"""
        return bool(self._out) and not self.eof

    def has_room(self) -> bool:
        """May a line that is not essential be sent?"""
        return len(self._out) < OUTPUT_ROOM

    def read(self) -> list[bytes]:
        """The complete lines that have come; sets ``eof``. All there is, within reason."""
        lines: list[bytes] = []
        for _ in range(_READ_AT_ONCE):
            if self.eof:
                break
            try:
                data = os.read(self.fd, _CHUNK)
            except BlockingIOError:
                break
            except OSError:
                data = b""
            self.eof = not data
            lines += self._split(data)
        return lines

    def send(self, line: bytes) -> None:
        """Send a line, newline included, as far as it goes now."""
        if self.eof:
            return
        if len(self._out) + len(line) > CONTROL_ROOM:
            self.lost += 1
            return
        self._out += line
        self.flush()

    def flush(self) -> None:
        """Send what waits."""
        while self._out and not self.eof:
            try:
                taken = os.write(self.fd, self._out)
            except BlockingIOError:
                return
            except OSError:
                # Nobody will read it; what was sent to us is still read, up to the end.
                self._out.clear()
                return
            del self._out[:taken]

    def _split(self, data: bytes) -> list[bytes]:
        *lines, self._in = (self._in + data).split(b"\n")
        if self._skipping and lines:
            del lines[0]
            self._skipping = False
        kept = [line for line in lines if len(line) < LINE_LIMIT]
        self.overlong += len(lines) - len(kept)
        if len(self._in) >= LINE_LIMIT:
            self._in = b""
            self.overlong += not self._skipping
            self._skipping = True
        return [line for line in kept if line]
