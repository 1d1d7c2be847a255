"""The lines of the log that tell an agent's story: its start, each change of the role or of the
configuration."""

from __future__ import annotations

from collections.abc import Callable

from followtheleader.config.durations import MINUTE
from followtheleader.config.reload import Changes
from followtheleader.core.actions import ChangeRole, PauseChanged
from followtheleader.core.node import Node
from followtheleader.core.types import MS, NANOSECONDS, LeaderInfo, Span
from followtheleader.core.view import View
from followtheleader.host.clock import boottime
from followtheleader.host.journal import Journal
from followtheleader.net.bucket import Bucket
from followtheleader.signing import UNPROTECTED, mode_of
from followtheleader.wire import KeyRing

NOTES, NOTES_AT_ONCE = 30, 300
Write = Callable[..., None]


class Notes:
    """What is noted of the members, of whom is followed, and of pauses: a few hundred lines at
    once, `NOTES` a minute then, for without a key anybody may join, leave and come back. What is
    left out is counted."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lines = Bucket(NOTES, at_once=NOTES_AT_ONCE, span=MINUTE)
        self._left_out = 0

    def tell(
        self, kind: str, text: str, fields: dict[str, object], write: Write | None = None
    ) -> None:
        """A line, unless there were too many; ``write`` by a method of the journal's."""
        if not self._lines.spend(boottime()):
            self._left_out += 1
            return
        limit = MINUTE if kind == "late" else 0
        told = write or self._journal.info
        told(kind, text, limit=limit, left_out=self._left_out or None, **fields)
        self._left_out = 0

    def tell_leader(self, leader: LeaderInfo) -> None:
        """Another leader is followed, or the same under a new term."""
        text = f"following {leader.name}, term {leader.term}"
        self.tell("leader", text, {"leader": leader.name, "term": leader.term})

    def tell_pause(self, change: PauseChanged, view: View, node: Node) -> None:
        """The group is paused, or no more."""
        names = {member.id: member.name for member in view.members} | {node.owner.id: node.name}
        author = names.get(change.author, f"{change.author:016x}")
        fields: dict[str, object] = {"author": author}
        if change.left:
            seconds = -(-change.left // NANOSECONDS)
            text = f"paused for {seconds} s (asked at {author}): nobody takes over until it ends"
            self.tell("paused", text, {"seconds": seconds, **fields}, self._journal.warning)
        elif change.by_time:
            self.tell("resumed", "the pause has run out", fields)
        else:
            self.tell("resumed", f"the pause is over (asked at {author})", fields)


def tell_start(journal: Journal, service: str, node: Node, port: int, ring: KeyRing) -> None:
    """Who begins, in which group, and what an operator should know of it."""
    group = f"quorum group of {', '.join(node.voters)}" if node.quorum else "open group"
    journal.info(
        "started",
        f"node {node.name} of service {service} ({group}), UDP port {port}",
        node=node.name,
        service=service,
        port=port,
    )
    tell_keys(journal, ring)
    if node.quorum and not node.votes:
        journal.warning(
            "not-a-voter", f"{node.name} is not among the voters: it follows and never leads"
        )


def tell_keys(journal: Journal, ring: KeyRing) -> None:
    """What is signed, and what counts: at the start, and whenever that changes."""
    others = [key.name for key in ring.keys if key != ring.signer]
    also = f", accepting also {', '.join(others)}" if others else ""
    if not ring.keys:
        text = "datagrams are not signed: whoever is on this network can move roles"
    elif ring.signer is None:
        text = f"sending unsigned, accepting keys {', '.join(others)}"
    else:
        text = f"signing with key {ring.signer.name}{also}"
    if not ring.unsigned:
        journal.info("keys", f"{text}; nothing unsigned counts")
    elif not ring.keys:
        journal.warning("unsigned", text)
    else:
        journal.warning("unsigned", f"{text}; {UNPROTECTED.format(mode=mode_of(ring))}")


def tell_no_link(journal: Journal, role_file: str) -> None:
    """Whoever reads that file should know why it is not there."""
    journal.info(
        "no-role-link",
        f"{role_file} does not lead here: the `primary` instance makes it, or the only one that is "
        "configured in /etc/ftl",
    )


def tell_role(journal: Journal, service: str, change: ChangeRole, lasted: Span) -> None:
    """The role changed; the one before ``lasted`` so long."""
    journal.info(
        f"became-{change.role.value}",
        f"{change.role.value} of {service}, term {change.term}: {change.reason.value}",
        role=change.role.value,
        old_role=change.old_role.value,
        term=change.term,
        leader=change.leader.name if change.leader else None,
        reason=change.reason.value,
        lasted_ms=lasted // MS,
    )


def tell_reload(journal: Journal, changes: Changes) -> None:
    """The configuration was read again; of the hooks the guardian has the last word."""
    if changes.applied:
        text = f"applied without a restart: {', '.join(changes.applied)}"
        journal.info("reload", text, keys=changes.applied)
    if changes.restart:
        text = f"{', '.join(changes.restart)}: changed, but applied only by a restart"
        journal.warning("reload", text, keys=changes.restart)
    if not (changes.applied or changes.hooks or changes.restart):
        journal.info("reload", "no key has changed")
