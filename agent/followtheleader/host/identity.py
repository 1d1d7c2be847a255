"""Who this node is: 64 bits that stay the same over restarts and differ between hosts.

Two hosts cloned with one machine-id (and one node name) get one identity; the election notices
that, this module cannot.
"""

from __future__ import annotations

import hashlib
import os
import re

from followtheleader.errors import StateError
from followtheleader.host import files

MACHINE_ID_FILE = "/etc/machine-id"
_MACHINE_ID = re.compile(rb"[0-9a-f]{32}\s*")


def node_id(state_dir: str, node: str, service: str, machine_id_file: str = MACHINE_ID_FILE) -> int:
    """Blake2s-64 of machine id, node name and service; never 0.

    Where ``machine_id_file`` is missing or not a machine-id(5), a random id is made once and kept
    as ``machine-id`` in ``state_dir``. Raises `StateError` if that cannot be written.
    """
    machine = _read(machine_id_file) or _own_machine_id(state_dir)
    # machine-id(5) asks that the id itself never leaves the host: only the hash does.
    digest = hashlib.blake2s(digest_size=8, person=b"ftl-node")
    for part in (machine, node.encode(), service.encode()):
        digest.update(len(part).to_bytes(4, "big") + part)
    return int.from_bytes(digest.digest(), "big") or 1


def _own_machine_id(state_dir: str) -> bytes:
    path = os.path.join(state_dir, "machine-id")
    machine = _read(path)
    if machine is None:
        if os.path.isdir(path):
            raise StateError(f"{path}: a directory is in the way; remove it")
        machine = os.urandom(16).hex().encode()
        files.replace(path, machine + b"\n", mode=0o640, durable=True)
    return machine


def _read(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            raw = file.read(64)
    except OSError:
        return None
    # An image's "uninitialized", an empty file and all zeros are the same on every host.
    if not _MACHINE_ID.fullmatch(raw) or not raw.strip(b"0 \t\r\n"):
        return None
    return raw.strip()
