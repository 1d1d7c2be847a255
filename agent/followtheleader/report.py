"""What the agent tells of itself.

That is ``state.json``, the answer to ``status``, the facts for hooks, and the one line for
``systemctl status``.

Pure functions of a `View` and what the agent noted beside it. The keys are a contract: scripts read
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from followtheleader.core.actions import ChangeRole
from followtheleader.core.addresses import show
from followtheleader.core.node import Node
from followtheleader.core.types import MS, Instant, LeaderInfo, Role
from followtheleader.core.view import MemberView, View

Facts = dict[str, object]

OF_THE_MOMENT = {"heard_ms_ago", "alive"}
MOST_TOLD_OF_MEMBERS = 32 * 1024
"""Bytes of JSON. A line to the guardian is bounded; how many join is not ours to say."""


@dataclass(slots=True)
class Diary:
    """What the agent notes of its own life, beside what the election knows.

    ``since`` is the wall clock in milliseconds at the last role change, ``since_at`` the same
    instant by BOOTTIME; ``problems`` maps a kind of trouble to its text while it lasts.
    """

    instance: str
    service: str
    started_ms: int
    own_address: str
    reason: str = "started"
    since_ms: int = 0
    since_at: Instant = 0
    change: int = 0
    problems: dict[str, str] = field(default_factory=dict)


def _iso(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def leader_facts(leader: LeaderInfo | None, node: Node, own_address: str) -> Facts | None:
    """Describe the leader; our own address stands in where we lead."""
    if leader is None:
        return None
    ours = leader.owner == node.owner
    address = own_address if ours else leader.address[0] if leader.address else ""
    return {
        "name": leader.name,
        "id": f"{leader.owner.id:016x}",
        "address": address,
        "term": leader.term,
        "direct": leader.direct,
    }


def member_facts(member: MemberView, now: Instant) -> Facts:
    """Describe another member; ``alive``: heard within the time in which members greet."""
    heard = None if member.heard_at is None else (now - member.heard_at) // MS
    return {
        "name": member.name,
        "id": f"{member.id:016x}",
        "address": show(member.address),
        "priority": member.priority,
        "witness": member.witness,
        "voter": member.voter,
        "other_voters": member.other_voters,
        "doubled": member.doubled,
        "other_timing": member.other_timing,
        "versions": list(member.versions),
        "heard_ms_ago": heard,
        "alive": member.is_there(now),
    }


def state_facts(view: View, node: Node, diary: Diary, now: Instant) -> Facts:
    """Everything that ``state.json`` says."""
    voters = list(node.voters)
    return {
        "instance": diary.instance,
        "service": diary.service,
        "node": node.name,
        "id": f"{node.owner.id:016x}",
        "priority": node.priority,
        "witness": node.witness,
        "role": view.role.value,
        "term": view.term,
        "token": view.token or None,
        "leader": leader_facts(view.leader, node, diary.own_address),
        "members": [member_facts(m, now) for m in view.members],
        "since": _iso(diary.since_ms),
        "reason": diary.reason,
        "change": diary.change,
        "quorum": {"voters": voters, "needed": view.needed} if voters else None,
        "paused": view.paused_until is not None,
    }


def lasting(state: Facts) -> Facts:
    """The same state without what is true for a moment only: a file is read later."""
    members = state["members"]
    if not isinstance(members, list):
        return state
    kept = [{k: v for k, v in one.items() if k not in OF_THE_MOMENT} for one in members]
    return {**state, "members": kept}


def status_facts(
    view: View, node: Node, diary: Diary, now: Instant, more: Iterable[str] = ()
) -> Facts:
    """The answer to ``status``: the state, and what changes from moment to moment.

    ``more``: problems that the diary does not know.
    """
    facts = state_facts(view, node, diary, now)
    left = None if view.deadline is None else max(view.deadline - now, 0) // MS
    facts |= {
        "since_ms": (now - diary.since_at) // MS,
        "lease_left_ms": left,
        "leaving": view.leaving,
        "pause_left_ms": _pause_left(view, now),
        "sits_out_ms": max(view.sits_out_until - now, 0) // MS,
        "problems": [*_pause_problem(view, now), *diary.problems.values(), *more],
        "started": _iso(diary.started_ms),
    }
    if node.voters:
        facts["quorum"] = {
            "voters": list(node.voters),
            "needed": view.needed,
            "support": view.connected,
            "quarantined": view.quarantined,
        }
    return facts


def _pause_left(view: View, now: Instant) -> int | None:
    return None if view.paused_until is None else max(view.paused_until - now, 0) // MS


def _pause_problem(view: View, now: Instant) -> list[str]:
    """A pause is no fault; but who wonders why nobody takes over looks here."""
    left = _pause_left(view, now)
    if left is None:
        return []
    return [f"paused for {-(-left // 1000)} s more: nobody takes over until then, or until resume"]


def is_name_shared(view: View, node: Node, now: Instant) -> bool:
    """Whether two members that are there, ourselves included, have one name."""
    names = [m.name for m in view.members if m.is_there(now)]
    return len({node.name, *names}) <= len(names)


def is_voter_doubled(view: View) -> bool:
    """Whether two live nodes are one voter, as far as is known: one of them may be out of sight."""
    return any(m.doubled for m in view.members)


def status_line(view: View, node: Node, now: Instant) -> str:
    """One line for people: role, term, leader, members."""
    line = _status_line(view, node, now)
    return line if view.paused_until is None else f"{line}, paused"


def _status_line(view: View, node: Node, now: Instant) -> str:
    members = 1 + sum(1 for m in view.members if m.is_there(now))
    many = f"{members} member{'s' if members > 1 else ''}"
    if view.role is Role.LEADER:
        return f"leader, term {view.term}, {many}"
    if view.leader is not None:
        how = "" if view.leader.direct else ", by hearsay"
        return f"{view.role.value} of {view.leader.name}, term {view.leader.term}{how}, {many}"
    if node.quorum:
        if view.connected < view.needed:
            return f"{view.role.value}, no quorum: {view.connected} of {len(node.voters)}, {many}"
        if view.quarantined:
            return f"{view.role.value}, quarantined after the start, {many}"
    return f"{view.role.value}, no leader, {many}"


def hook_facts(change: ChangeRole, state: Facts) -> Facts:
    """The facts of a role change for the guardian: what its hooks are told."""
    leader = state["leader"] if isinstance(state["leader"], dict) else {}
    return {
        **bounded(state),
        "role": change.role.value,
        "old_role": change.old_role.value,
        "term": change.term,
        "leader": leader.get("name", ""),
        "leader_address": leader.get("address", ""),
        "reason": change.reason.value,
    }


def bounded(facts: Facts) -> Facts:
    """The same facts with no more members than fit into a line to the guardian, living first."""
    members = facts["members"]
    if not isinstance(members, list):
        return facts
    told, left = [], MOST_TOLD_OF_MEMBERS
    for member in sorted(members, key=lambda member: not member["alive"]):
        left -= len(json.dumps(member))
        if left < 0:
            break
        told.append(member)
    return {**facts, "members": told}
