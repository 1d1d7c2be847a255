"""Which keys this node has, and which its members sign with: what an operator must know between
two steps of a rollout or a rotation."""

from __future__ import annotations

from collections.abc import Iterable

from followtheleader.core.types import NodeId
from followtheleader.core.view import MemberView
from followtheleader.wire import CHECKSUM_KEY, KeyRing

MOST_SENDERS = 1024

UNPROTECTED = (
    "unsigned datagrams still count (key_mode: {mode}), whoever is on this network can move roles: "
    "when every member signs, require it (leave key_mode out)"
)


class Signing:
    """``ring`` as it is now; `heard` notes which key id a sender's newest datagram had."""

    def __init__(self, ring: KeyRing) -> None:
        self.ring = ring
        self._heard: dict[NodeId, int] = {}

    def heard(self, sender: NodeId, key_id: int) -> None:
        """A datagram of ``sender`` counts."""
        if len(self._heard) >= MOST_SENDERS and sender not in self._heard:
            self._heard.clear()  # members are heard again within a moment
        self._heard[sender] = key_id

    def member_key(self, member: NodeId) -> str | None:
        """Return the name of the key with which that member signed last; None: with none."""
        return self.ring.name_of(self._heard.get(member, CHECKSUM_KEY))

    def facts(self, members: Iterable[MemberView]) -> dict[str, object]:
        """What ``status`` says of the keys, and of those of ``members`` by id; never a secret."""
        ring = self.ring
        return {
            "mode": mode_of(ring),
            "signs_with": ring.signer.name if ring.signer else None,
            "accepts": [key.name for key in ring.keys],
            "protected": not ring.unsigned,
            "members": {f"{m.id:016x}": self.member_key(m.id) for m in members},
        }

    def problems(self, members: Iterable[MemberView]) -> list[str]:
        """Say what is not protected yet, and who does not sign yet."""
        ring = self.ring
        if not ring.keys or not ring.unsigned:
            return []
        silent = sorted(m.name for m in members if not self._heard.get(m.id, CHECKSUM_KEY))
        text = UNPROTECTED.format(mode=mode_of(ring))
        if ring.signs and silent:
            more = f" and {len(silent) - 5} more" if len(silent) > 5 else ""
            text += f"; not signing yet: {', '.join(silent[:5])}{more}"
        return [text]


def mode_of(ring: KeyRing) -> str:
    """Return the ``key_mode`` in which ``ring`` is used; ``none`` without keys."""
    if not ring.keys:
        return "none"
    if not ring.signs:
        return "accept"
    return "sign" if ring.unsigned else "require"
