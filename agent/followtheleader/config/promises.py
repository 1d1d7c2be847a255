"""What a group promises, and what it cannot. Only words; the times are in ``timeline``."""

from __future__ import annotations

from followtheleader.config.settings import Settings
from followtheleader.config.timeline import CLOCKS_OFF, in_time, is_replaceable

_TWO_HOSTS = (
    "two hosts cannot have both, a leader when either dies and never two: as an open group each "
    "leads its part after a split, as two voters nobody leads while one of them is dead or cut "
    "off; add a third voter, or a witness (it votes and never leads, so that a small machine will "
    "do)"
)


def promises(settings: Settings) -> list[str]:
    """Return what this group has, and what it cannot have; a sentence or two each."""
    count = len(settings.voters)
    if not count:
        return [
            "one leader in every connected part of the network. Not promised: one leader while the "
            "network is split; when it has healed one leads again, with one change",
            "after a stop or a crash of the agent the job has ended before the next one starts. "
            "Not promised: that after a freeze or a cut; what must never run twice needs voters",
            "a node's token grows each time that it leads. Not promised: that tokens put the "
            "leaders in order; after a split those of different parts may have equal ones, what "
            "goes by tokens needs voters",
            _TWO_HOSTS,
        ]
    needed = count // 2 + 1
    found = [
        "at most one leader at any instant, whatever network, pauses and restarts do, while clocks "
        f"run at most {CLOCKS_OFF}% fast or slow{_forged(settings)}",
        f"its job has ended before the next one starts{_unless(settings)}; on_follower, which runs "
        "when the job has ended, is waited for after a stop and a crash only",
    ]
    if count == 1:
        (only,) = settings.voters
        found.append(
            f"one voter: only {only} ever leads, whoever else is there. Not promised: a leader "
            f"while {only} is dead or frozen; name three voters for that"
        )
    elif count == 2 and settings.witness:
        (other,) = (voter for voter in settings.voters if voter != settings.node)
        found.append(
            f"two voters, and {settings.node} is a witness: only {other} ever leads. Not promised: "
            f"a leader while {other} or {settings.node} is away; add a third voter that may lead, "
            "too"
        )
    elif count == 2:
        found += ["not promised: a leader while one of the two voters is away", _TWO_HOSTS]
    else:
        found.append(
            f"not promised: a leader while fewer than {needed} of the {count} voters are connected "
            f"with each other; {count - needed} may be dead or cut off"
        )
    return found


def _forged(settings: Settings) -> str:
    if settings.key_file and settings.key_mode == "require":
        return ""
    return ", and while nobody on the network forges datagrams (see what is signed)"


def _unless(settings: Settings) -> str:
    if not is_replaceable(settings):
        return ""
    if in_time(settings):
        return ", unless the guardian is later than said above"
    return f", after a freeze or a cut only if clocks are better than {CLOCKS_OFF}% off (above)"
