"""The key file: named secrets, one on each line; the first signs, all verify.

    # anything after a # at the beginning of a line is a comment
    2026-11  <a secret, as ftl-agent keygen makes them>
    2026-05  <the one before>

Promise: keys come out of it only if nobody but root, this process's user and group ``ftl`` can read
them, or else faults, each with place and cure. **No fault ever holds a secret**: of a line only a
name is shown, and a name is too short to be a secret that was put in its place.

A key is known on the wire by one byte, made from its name: so members agree on it whatever the
order of their lines. Two names with one byte are a fault, and another name the cure.
"""

from __future__ import annotations

import errno
import grp
import hashlib
import math
import os
import pwd
import re
import shlex
import stat
from dataclasses import dataclass, field

from followtheleader.config.faults import Faults, Place

MAX_BYTES = 64 * 1024
MAX_KEYS = 16
LEAST_BITS = 128
FEWEST_CHARACTERS = 8
"""Different ones in a secret: one of 22 random characters has fewer once in 10¹⁰ times."""
LONGEST_SECRET = 256
CREDENTIALS = "${CREDENTIALS_DIRECTORY}"
"""At the beginning of a path: where systemd puts what ``LoadCredential=`` names."""
GROUP = "ftl"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,19}")
_SECRET = re.compile(r"[A-Za-z0-9+/_=-]+")
_ALPHABETS = ((re.compile(r"[0-9]+"), 10), (re.compile(r"[0-9a-fA-F]+"), 16))
_MAKES = "ftl-agent keygen makes one"
_START = Place(1, 1)


class KeyFileFault(Exception):
    """The file as a whole cannot be used; ``str()`` says why, and the cure."""


@dataclass(frozen=True, slots=True)
class NamedKey:
    """A key of the group. ``id``: 1 to 255, made from the name. ``secret``: 32 bytes."""

    name: str
    id: int
    secret: bytes = field(repr=False)


def key_id(name: str) -> int:
    """Return the byte by which a key of this name is known on the wire, 1 to 255."""
    digest = hashlib.blake2s(name.encode(), digest_size=8, person=b"ftl-name").digest()
    return 1 + int.from_bytes(digest, "big") % 255


def expanded(path: str) -> str | None:
    """Return ``path`` with the credentials' directory put in; None: this process is given none."""
    if not path.startswith(CREDENTIALS):
        return path
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    return directory + path[len(CREDENTIALS) :] if directory else None


def read_keys(path: str) -> tuple[NamedKey, ...]:
    """Return the keys in the file at ``path``, at least one.

    Raises `KeyFileFault` if it cannot be used as a whole, `ConfigError` with a line for every fault
    in it.
    """
    return parse_keys(read_bytes(path), path)


def parse_keys(data: bytes, path: str) -> tuple[NamedKey, ...]:
    """Return the keys in ``data``, the content of ``path``, which is only named. Raises as
    `read_keys`."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise KeyFileFault(
            f"{path}: line {at} is not UTF-8 text, write `name secret` on each line"
        ) from None
    faults = Faults(path)
    reader = _Reader(faults)
    for number, line in enumerate(text.split("\n"), 1):
        reader.take(number, line)
    faults.raise_if_any()
    if not reader.keys:
        text = f"holds no key, add one: ftl-agent keygen --add {shlex.quote(path)}"
        raise KeyFileFault(f"{path} {text}")
    return tuple(reader.keys)


class _Reader:
    """Reads line by line; ``keys`` are those that are whole."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self.keys: list[NamedKey] = []
        self._lines: dict[str, int] = {}

    def take(self, number: int, line: str) -> None:
        """Read the line of that number."""
        words = line.split()
        if not words or words[0].startswith("#"):
            return
        wrong = _wrong_line(line, words) or self._add(number, *words)
        if wrong is not None:
            self._faults.add(Place(number, line.index(words[0]) + 1), "key", wrong)

    def _add(self, number: int, name: str, secret: str) -> str | None:
        """Take a key that is whole; what is wrong with it beside the others."""
        key = NamedKey(name, key_id(name), _stretched(secret))
        for other in self.keys:
            line = self._lines[other.name]
            if other.name == name:
                return f"'{name}' is given twice (first in line {line}), keep one"
            if other.id == key.id:
                return (
                    f"'{name}' and '{other.name}' (line {line}) have the same number on the wire, "
                    "give the newer one another name, on every node"
                )
            if other.secret == key.secret:
                return f"'{name}' has the secret of '{other.name}' (line {line}), keep one of them"
        if len(self.keys) == MAX_KEYS:
            return f"more than {MAX_KEYS} keys, remove those that no member signs with"
        self.keys.append(key)
        self._lines[name] = number
        return None


def _wrong_line(line: str, words: list[str]) -> str | None:
    if not line.removesuffix("\r").replace("\t", " ").isprintable():
        return "holds control characters, write `name secret` as plain text"
    if len(words) != 2:
        many = "one word" if len(words) == 1 else f"{len(words)} words"
        return (
            f"{many} instead of two (not shown: one may be the secret), write `name secret`, and a "
            "comment on a line of its own"
        )
    name, secret = words
    if NAME.fullmatch(name) is None:
        return (
            "the first word is no name (not shown: it may be the secret), write a name of at most "
            "20 letters, digits, '.', '_' and '-' before the secret"
        )
    wrong = _wrong_secret(secret)
    return None if wrong is None else f"the secret of '{name}' {wrong}"


def _stretched(secret: str) -> bytes:
    """Return the 32 bytes of a secret, which is taken as it is written, whatever made it."""
    return hashlib.blake2s(secret.encode(), person=b"ftl-key").digest()


def _wrong_secret(secret: str) -> str | None:
    if _SECRET.fullmatch(secret) is None:
        return f"holds other characters than letters, digits, + / - _ and =, {_MAKES}"
    if len(secret) > LONGEST_SECRET:
        return f"has {len(secret)} characters, {LONGEST_SECRET} at most are allowed; {_MAKES}"
    plain = secret.rstrip("=")
    symbols = next((many for kind, many in _ALPHABETS if kind.fullmatch(plain)), 64)
    bits = int(len(plain) * math.log2(symbols))
    if bits < LEAST_BITS:
        return f"is too short: {bits} bits at most, {LEAST_BITS} are needed; {_MAKES}"
    if len(set(plain)) < FEWEST_CHARACTERS:
        return f"repeats a few characters and can be guessed, {_MAKES}"
    return None


# -- the file


def read_bytes(path: str) -> bytes:
    """Return the content of the file at ``path`` if it is kept as a secret is. Raises
    `KeyFileFault`."""
    try:
        # O_NONBLOCK: opening a pipe that nobody writes to would wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
        try:
            wrong = _wrong_place(path, os.fstat(descriptor))
            if wrong is not None:
                raise KeyFileFault(wrong)
            with open(descriptor, "rb", closefd=False) as file:
                data = file.read(MAX_BYTES + 1)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyFileFault(_unreadable(path, error)) from None
    if len(data) > MAX_BYTES:
        raise KeyFileFault(f"{path} has more than {MAX_BYTES // 1024} KiB, name the file of keys")
    return data


def _wrong_place(path: str, found: os.stat_result) -> str | None:
    """What is wrong with where the keys lie: who else may read or write them."""
    quoted, mode = shlex.quote(path), stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        kind = "a directory" if stat.S_ISDIR(found.st_mode) else "not a regular file"
        return f"{path} is {kind}, name a file of keys (ftl-agent keygen -o FILE)"
    group = group_of_agent()
    # An ordinary user's own agent needs no group.
    of_unit = group is not None and os.geteuid() in (0, _user_of_agent())
    cure = f"chmod 600 {quoted}"
    if of_unit:
        cure = f"chown root:{GROUP} {quoted} && chmod 640 {quoted}"
    if found.st_uid not in (0, os.geteuid(), _user_of_agent()):
        return f"{path} belongs to uid {found.st_uid}, who can change it, run {cure}"
    if mode & (stat.S_IRWXO | stat.S_IWGRP):
        verb = "changed" if mode & (stat.S_IWOTH | stat.S_IWGRP) else "read"
        return f"{path} can be {verb} by others (mode {mode:04o}), run {cure}"
    if mode & stat.S_IRWXG and found.st_gid not in (0, group):
        return (
            f"{path} can be read by group {_group_name(found.st_gid)} (mode {mode:04o}), run {cure}"
        )
    return None


def why_not_for_agent(path: str) -> str | None:
    """Return why the agent's unit cannot read the file at ``path`` although this process can, with
    the cure; None if it can, or is not installed."""
    group, quoted = group_of_agent(), shlex.quote(path)
    try:
        found = os.stat(path)
    except OSError:
        return None
    by_owner = found.st_uid == _user_of_agent() and found.st_mode & stat.S_IRUSR
    by_group = found.st_gid == group and found.st_mode & stat.S_IRGRP
    if group is None or by_owner or by_group:
        return None
    return (
        f"{path} cannot be read by user {GROUP}, which the agent's unit runs as, run "
        f"chown root:{GROUP} {quoted} && chmod 640 {quoted}"
    )


def group_of_agent() -> int | None:
    """Return the group that the agent's unit runs with; None where it is not installed."""
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return None


def _user_of_agent() -> int | None:
    try:
        return pwd.getpwnam(GROUP).pw_uid
    except KeyError:
        return None


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _unreadable(path: str, error: OSError) -> str:
    quoted = shlex.quote(path)
    if error.errno == errno.ENOENT:
        cure = f"copy it from another node, or run ftl-agent keygen -o {quoted}"
        return f"{path} does not exist, {cure}"
    text = f"{path} cannot be read by uid {os.geteuid()} ({error.strerror})"
    if error.errno in (errno.EACCES, errno.EPERM):
        cure = f"chown root:{GROUP} {quoted} && chmod 640 {quoted}"
        return f"{text}, ask as root; the agent needs {cure}"
    return f"{text}, name a file of keys that can be read"
