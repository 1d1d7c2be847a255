"""Key rings for tests: whose bytes are anything, and named by their letters."""

from __future__ import annotations

from followtheleader.wire import Key, KeyRing


def key(name: str, number: int = 0, secret: str = "") -> Key:
    """A key; ``number`` 0: the place of the name's first letter."""
    return Key(number or ord(name[0]) - 96, name, (secret or name).encode().ljust(32, b"."))


def ring(*names: str, mode: str = "require") -> KeyRing:
    """The keys of these names, in this order."""
    keys = tuple(key(name) for name in names)
    return KeyRing(keys, signs=mode != "accept", unsigned=mode != "require")
