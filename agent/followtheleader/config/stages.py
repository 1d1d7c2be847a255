"""How far a group has come from unsigned to signed: what a configuration signs, and what counts.

Only words. A group goes through `KEY_MODES` in their order, each step on every node before the
next, because only neighbours hear each other; back to unsigned it goes the same way.
"""

from __future__ import annotations

from followtheleader.config.settings import KEY_MODES, Settings

NO_KEY = (
    "no key: nothing is signed, and whoever can send datagrams to this node can move roles; see "
    "key_file"
)


def stage(settings: Settings) -> str:
    """Return in a sentence which stage this is, and what it protects."""
    if settings.key_file is None:
        return NO_KEY
    number = KEY_MODES.index(settings.key_mode) + 1
    head = f"{_keys(settings)}; key_mode: {settings.key_mode} (step {number} of {len(KEY_MODES)}): "
    return head + _MEANS[settings.key_mode]


_MEANS = {
    "accept": "sends unsigned, accepts signed and unsigned. Nothing is protected yet; when every "
    "node says this, write key_mode: sign",
    "sign": "signs, accepts signed and unsigned. Nothing is protected yet; when every node says "
    "this, leave key_mode out (require)",
    "require": "signs, and nothing unsigned counts: only who has a key can move roles. Not "
    "protected: cutting or flooding the network, and mDNS, which only suggests addresses",
}


def _keys(settings: Settings) -> str:
    names = [key.name for key in settings.keys]
    if not names:
        return f"keys of {settings.key_file}, which only the unit can read (not looked at here)"
    first, *others = names
    also = f", accepts also {', '.join(others)}" if others else ""
    return f"key {first}{also}"
