"""``ftl-agent keygen``: a new key of the group, on standard output or into a key file.

Promise: a file that exists is never overwritten; one that gets a key more (``--add``) holds the old
keys or all of them, whenever the power fails. Nobody but its owner, and group ``ftl`` where root
made it, may read what is written. The secret is in no argument, no message and no log.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
import time

from followtheleader import cli
from followtheleader.cli import options
from followtheleader.config import keyfile
from followtheleader.config.keyfile import KeyFileFault
from followtheleader.errors import ConfigError
from followtheleader.host import files

USAGE = """\
usage: ftl-agent keygen [NAME] [-o FILE | --add FILE]

Make a key of the group: a line `name secret` for the file that key_file names, with 256 random
bits. Without NAME it is named after the day. Make it once, and copy it to every node.

  -o, --output FILE  write it to FILE, which must not exist yet
  --add FILE         append it to FILE, whose first key goes on signing

A new FILE is readable by its owner alone (0600); where root makes it and the group ftl exists, by
that group too (root:ftl 0640), as the agent's unit needs it. One that gets a key stays as it is.

Exit: 0 done, 2 wrong usage, FILE is at fault or cannot be written.

Example, a first key, and later one to replace it:
  ftl-agent keygen -o /etc/ftl/svc.key
  ftl-agent keygen --add /etc/ftl/svc.key
"""

_BYTES = 32
_HEAD = """\
# Keys of the group for `key_file`, the same on every node: `name secret`, one on each line. The
# first signs, all are accepted. Keep it secret.
"""


def main(argv: list[str]) -> int:
    """Make a key and print or write it; return the exit code."""
    said = options.parse(argv, (), ("-o --output", "--add"), words=1)
    name, new, old = said.word(), said.values.get("output"), said.values.get("add")
    if new is not None and old is not None:
        raise options.WrongUsage("-o or --add, not both")
    if name is not None and keyfile.NAME.fullmatch(name) is None:
        raise options.WrongUsage(
            "this is no name of a key: at most 20 letters, digits, '.', '_' and '-', a letter or "
            "digit first"
        )
    if old is not None:
        _add(name, old)
        return cli.YES
    line = _line(name or _day())
    if new is None:
        print(line, end="")
        return cli.YES
    try:
        _write_new(new, (_HEAD + line).encode())
    except FileExistsError:
        cure = f"add a key to it with --add {new}, or choose another name"
        raise options.WrongUsage(f"{new} exists; {cure}") from None
    except OSError as error:
        raise options.WrongUsage(f"{new} cannot be written: {error.strerror}") from None
    then = f"copy it to every node, then write key_file: {os.path.abspath(new)}"
    _tell(new, f"key {line.split()[0]} written", then)
    return cli.YES


def _add(name: str | None, path: str) -> None:
    try:
        data = keyfile.read_bytes(path)
        keys = keyfile.parse_keys(data, path)
    except KeyFileFault as fault:
        raise ConfigError([f"ftl-agent keygen: {fault}"]) from None
    name = name or _free_name({key.id for key in keys})
    whole = data if data.endswith(b"\n") else data + b"\n"
    whole += _line(name).encode()
    keyfile.parse_keys(whole, path)  # a name that is taken is told as in any key file
    try:
        _replace(os.path.realpath(path), whole)
    except OSError as error:
        raise options.WrongUsage(f"{path} cannot be written: {error.strerror}") from None
    _tell(
        path,
        f"key {name} added; {keys[0].name} still signs",
        "copy it to every node and reload; then put the new line first, and so on (README, Keys)",
    )


def _line(name: str) -> str:
    return f"{name} {secrets.token_urlsafe(_BYTES)}\n"


def _day() -> str:
    return time.strftime("%Y-%m-%d")


def _free_name(taken: set[int]) -> str:
    """The day, or with the first number behind it whose byte on the wire is free."""
    names = (f"{_day()}.{number}" if number else _day() for number in range(1000))
    return next(name for name in names if keyfile.key_id(name) not in taken)


def _tell(path: str, done: str, then: str) -> None:
    found = os.stat(path)
    print(f"{path} (mode {stat.S_IMODE(found.st_mode):04o}): {done}; {then}")


def _write_new(path: str, content: bytes) -> None:
    """Write all of it or nothing; raises `FileExistsError` if there is something."""
    owner, mode = (-1, -1), 0o600
    if os.geteuid() == 0 and (group := keyfile.group_of_agent()) is not None:
        owner, mode = (0, group), 0o640
    draft = _draft(path, content, owner, mode)
    try:
        os.link(draft, path)  # unlike a rename it never replaces
    finally:
        os.unlink(draft)
    files.sync_directory(_folder_of(path))


def _replace(path: str, content: bytes) -> None:
    """Put ``content`` in the place of the file, which keeps its owner and mode."""
    found = os.stat(path)
    draft = _draft(path, content, (found.st_uid, found.st_gid), stat.S_IMODE(found.st_mode))
    try:
        os.rename(draft, path)
    except OSError:
        os.unlink(draft)
        raise
    files.sync_directory(_folder_of(path))


def _draft(path: str, content: bytes, owner: tuple[int, int], mode: int) -> str:
    """The path of a new file beside ``path`` that holds ``content``, on disk.

    By its descriptor: in a directory of somebody else's the name may lead elsewhere by now.
    """
    prefix = f".{os.path.basename(path)}."
    descriptor, draft = tempfile.mkstemp(prefix=prefix, dir=_folder_of(path))
    try:
        with open(descriptor, "wb") as file:
            os.fchown(descriptor, *owner)
            os.fchmod(descriptor, mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(draft)
        raise
    return draft


def _folder_of(path: str) -> str:
    return os.path.dirname(os.path.abspath(path))
