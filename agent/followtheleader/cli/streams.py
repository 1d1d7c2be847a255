"""What a command prints when nobody takes it: the disk is full, the reader gone, the stream closed.

Promise: a stream that cannot be written to ends in no traceback and changes no answer. What was
lost is remembered, everything after it goes nowhere, and the command goes on; one that only makes
sense before an audience is stopped by `OutputLost`. A program that runs a command in its own
process finds its streams and descriptors afterwards as they were.
"""

from __future__ import annotations

import errno
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TextIO


class OutputLost(Exception):
    """Nobody hears what is printed; ``__cause__`` is the `OSError` or `ValueError`."""


class Guard:
    """While it lasts, a `Stream` stands in the place of stdout and of stderr, which may be closed.

    One that stands there already stays, and is left to whoever put it there.
    """

    def __enter__(self) -> Stream:
        """Return what stands in the place of stdout."""
        _open_the_closed()
        self._before = sys.stdout, sys.stderr
        out, err = self._during = _guarded(sys.stdout, 1), _guarded(sys.stderr, 2)
        sys.stdout, sys.stderr = out, err
        return out

    def __exit__(self, *_: object) -> None:
        for during, before in zip(self._during, self._before, strict=True):
            if during is not before:
                during.release()
        sys.stdout, sys.stderr = self._before


class Stream:
    """A text stream that survives its reader. ``lost``: why it could not be written, or None.

    With ``needed``, a write that fails raises `OutputLost`.
    """

    def __init__(self, stream: TextIO) -> None:
        self.lost: OSError | ValueError | None = None
        self.needed = False
        self._stream = stream
        self._errors = getattr(stream, "errors", None)
        # A name that the locale cannot show is escaped: better odd than nothing.
        self._on_errors("backslashreplace")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def isatty(self) -> bool:
        """Whether it is a terminal; one that is closed is none."""
        return not self._is_closed() and self._stream.isatty()

    def fileno(self) -> int:
        """Its descriptor. Raises `OSError` if there is none, or none any more."""
        if self._is_closed():
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return self._stream.fileno()

    def write(self, text: str) -> int:
        """Write ``text``, or remember that it was lost."""
        if self.lost is None:
            try:
                self._stream.write(text)
            except (OSError, ValueError) as error:  # ValueError: it is closed
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Write out what was printed, or remember that it was lost."""
        if self.lost is None and not self._is_closed():
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def release(self) -> None:
        """Write out what was printed, and leave the stream as it was found."""
        self.needed = False
        self.flush()
        self._on_errors(self._errors)

    def _on_errors(self, how: str | None) -> None:
        reconfigure = getattr(self._stream, "reconfigure", None)
        if reconfigure is not None and not self._is_closed():
            try:
                reconfigure(errors=how)  # which flushes first
            except OSError as error:
                self._lose(error)

    def _is_closed(self) -> bool:
        return getattr(self._stream, "closed", False)

    def _lose(self, error: OSError | ValueError) -> None:
        self.lost = error
        _empty(self._stream)
        if self.needed:
            raise OutputLost from error


def _guarded(stream: TextIO | None, fd: int) -> Stream:
    if isinstance(stream, Stream):
        return stream
    return Stream(stream or open(fd, "w", closefd=False))


def _empty(stream: TextIO) -> None:
    """Let what is buffered go nowhere: the interpreter flushes when it ends, and would complain.

    Only for a moment does the descriptor lead elsewhere: it may be a file of whoever called us.
    """
    try:
        fd = stream.fileno()
        inheritable = os.get_inheritable(fd)
        with open(os.devnull, "wb", buffering=0) as nowhere:
            kept = os.dup(fd)
            try:
                os.dup2(nowhere.fileno(), fd, inheritable)
                stream.flush()
            finally:
                os.dup2(kept, fd, inheritable)
                os.close(kept)
    except (AttributeError, OSError, ValueError):
        pass  # it has no descriptor, or is closed, or there is none left to do it with


def _open_the_closed() -> None:
    """Let descriptors 0 to 2 lead nowhere if the caller closed them.

    Else the next file or socket that is opened becomes "stderr", and gets our messages.
    """
    while (fd := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(fd, True)
    os.close(fd)
