"""What a command prints when nobody takes it: the disk is full, the reader gone, the stream closed.

Promise: a stream that cannot be written to ends in no traceback and changes no answer. What was
lost is remembered, everything after it goes nowhere, and the command goes on; one that only makes
sense before an audience is stopped by `OutputLost`.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


class OutputLost(Exception):
    """Nobody hears what is printed; ``__cause__`` is the `OSError`."""


class Stream:
    """A text stream that survives its reader. ``lost``: why it could not be written, or None.

    With ``needed``, a write that fails raises `OutputLost`.
    """

    def __init__(self, stream: TextIO, fd: int) -> None:
        self.lost: OSError | None = None
        self.needed = False
        self._stream = stream
        self._fd = fd
        # A name that the locale cannot show is escaped: better odd than nothing.
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write ``text``, or remember that it was lost."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self._lose(error)
            return len(text)

    def flush(self) -> None:
        """Write out what was printed, or remember that it was lost."""
        try:
            self._stream.flush()
        except OSError as error:
            self._lose(error)

    def _lose(self, error: OSError) -> None:
        if self.lost is None:
            self.lost = error
            # The interpreter flushes once more when it ends, and would complain.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._fd)
            os.close(nowhere)
        if self.needed:
            raise OutputLost from error


def guard() -> tuple[Stream, Stream]:
    """Put a `Stream` in the place of stdout and of stderr, which may be closed; return both."""
    _open_the_closed()
    out = Stream(sys.stdout or open(1, "w", closefd=False), 1)  # noqa: SIM115
    err = Stream(sys.stderr or open(2, "w", closefd=False), 2)  # noqa: SIM115
    sys.stdout, sys.stderr = out, err
    return out, err


def _open_the_closed() -> None:
    """Let descriptors 0 to 2 lead nowhere if the caller closed them.

    Else the next file or socket that is opened becomes "stderr", and gets our messages.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
