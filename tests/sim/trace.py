"""What happened, line by line: a short ring always, all of it on demand, and a hash of it."""

from __future__ import annotations

import hashlib
from collections import deque
from typing import IO

RING = 200


class Trace:
    """Keeps the newest `RING` entries; formats nothing before somebody asks.

    ``file``: write every line there. ``hashed``: fold every line into `digest`.
    """

    def __init__(self, file: IO[str] | None = None, *, hashed: bool = False) -> None:
        self._ring: deque[tuple[int, str, str, object]] = deque(maxlen=RING)
        self._file = file
        self._hash = hashlib.blake2b(digest_size=16) if hashed else None
        self._eager = file is not None or hashed

    def add(self, now: int, who: str, what: str, detail: object = "") -> None:
        """Note that ``who`` did ``what`` at true time ``now``."""
        self._ring.append((now, who, what, detail))
        if self._eager:
            line = _format(now, who, what, detail)
            if self._file is not None:
                self._file.write(line + "\n")
            if self._hash is not None:
                self._hash.update(line.encode())

    def tail(self) -> str:
        """Return the newest lines."""
        return "\n".join(_format(*entry) for entry in self._ring)

    def digest(self) -> str:
        """Return the hash of every line so far (made with ``hashed=True``)."""
        return self._hash.hexdigest() if self._hash is not None else ""


def _format(now: int, who: str, what: str, detail: object) -> str:
    return f"{now / 1e9:12.6f} {who:4} {what:9} {detail}"
