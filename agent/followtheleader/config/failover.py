"""The leader's host is frozen or cut off: what happens when, and what a group can promise then.

Only computes. Each step has two times: by exact clocks, and by the worst ones that are covered, of
which each runs up to `CLOCKS_DIFFER` percent fast or slow. In a quorum group the job has ended
before another may lead, also by the worst clocks and whatever the settings: 1.25 (T + B) / 1.11 is
more than (T + B) / 0.89, by 0.2 %. That is more than rounding takes, for T is at least 16 ms; so
the loader need not refuse any times, and ``tests/config/test_failover.py`` holds it to that.
"""

from __future__ import annotations

from typing import NamedTuple

from followtheleader.config.advice import OPEN_GRACE
from followtheleader.config.durations import format_duration
from followtheleader.config.settings import Settings

CLOCKS_DIFFER = 11
"""Percent by which a clock may run fast or slow."""

_SHOWN_DIGITS = 4
_WHO_IS_CUT_OFF = (
    "A leader that is cut off but keeps its carrier does not end at all: it goes on leading its "
    "part of the network, and from the takeover on the other part has a leader, too."
)
_TWO_HOSTS = (
    "two hosts cannot have both: as an open group each leads its part after a split, as two voters "
    "nobody leads while one of them is dead or cut off; add a third voter, or a witness (it votes "
    "and never leads, so that a small machine will do)"
)


class Step(NamedTuple):
    """One step; spans in nanoseconds since the last heartbeat. ``key`` is for programs."""

    key: str
    label: str
    at: int
    worst: int
    explanation: str


def steps(settings: Settings) -> list[Step]:
    """Return what happens, in order unless the job's end comes too late (`reserve`).

    From a group's only voter nobody takes over. The network's delay is left out: it makes the
    takeover later, and nothing else.
    """
    timing = settings.timing
    ended = _job_ended_by(settings)
    # A quorum's candidate needs promises, an open group's leads after its wait in any case.
    claim = timing.claim_patience if settings.voters else timing.claim_wait
    latest = timing.lock + timing.skew + claim
    found = [
        Step("last_heartbeat", "last heartbeat", 0, 0, _who_acknowledged(settings)),
        Step("lease_end", "lease ends", timing.lease, slow(timing.lease), _at_lease_end(settings)),
        Step("job_ended_by", "job ended by", ended, slow(ended), _at_job_end(settings)),
        Step(
            "earliest_takeover",
            "earliest takeover",
            timing.lock,
            fast(timing.lock),
            "the first locks run out, 1.25 × (lease + stop timeout) after that heartbeat arrived",
        ),
        Step(
            "latest_takeover",
            "latest takeover",
            latest,
            slow(latest),
            "plus a random delay and a claim, if enough others hear each other",
        ),
    ]
    return found[:3] if len(settings.voters) == 1 else found


def reserve(settings: Settings) -> tuple[int, int]:
    """Return how long before the earliest takeover the job has ended, by exact and by the worst
    clocks; less than nothing: they may run beside each other for so long."""
    ended, lock = _job_ended_by(settings), settings.timing.lock
    return lock - ended, fast(lock) - slow(ended)


def verdict(settings: Settings) -> str:
    """Return in a sentence or two whether the job ends in time."""
    timing = settings.timing
    if len(settings.voters) == 1:
        return f"Nobody takes over: {settings.voters[0]} is the only voter. Cut off, it leads on."
    exact, worst = reserve(settings)
    if exact >= 0:
        text = f"The job has ended {_about(exact)} before another may lead"
        text += f", with clocks {CLOCKS_DIFFER}% off {_about(worst)}"
        if settings.voters:
            return f"{text}: it always has in a quorum group, whatever the times are."
        return f"{text}. {_WHO_IS_CUT_OFF}"
    allowed, least = timing.lock - timing.lease, fast(timing.lock) - slow(timing.lease)
    return (
        f"Nobody waits for the job: if it takes longer than {_about(allowed)} to end "
        f"({_about(least)} with clocks {CLOCKS_DIFFER}% off), it runs beside the next leader's, "
        f"for up to {_about(-worst)} until it is killed. {_WHO_IS_CUT_OFF}"
    )


def promises(settings: Settings) -> list[str]:
    """Return what this group has, and what it cannot have."""
    count = len(settings.voters)
    if not count:
        return [
            "one leader in every connected part of the network. Not promised: one leader while the "
            "network is split; when it has healed one leads again, with one change",
            "after a stop or a crash of the agent the job has ended before the next one starts. "
            "Not promised: that after a freeze or a cut; what must never run twice needs voters",
            _TWO_HOSTS,
        ]
    needed = count // 2 + 1
    found = [
        "at most one leader at any instant, whatever network, pauses and restarts do, and its job "
        "has ended before the next one starts; on_follower, which runs when the job has ended, is "
        "waited for after a stop and a crash only",
    ]
    if count == 1:
        (only,) = settings.voters
        found.append(
            f"one voter: only {only} ever leads, whoever else is there. Not promised: a leader "
            f"while {only} is dead or frozen; name three voters for that"
        )
    elif count == 2:
        found += ["not promised: a leader while one of the two voters is away", _TWO_HOSTS]
    else:
        found.append(
            f"not promised: a leader while fewer than {needed} of the {count} voters are connected "
            f"with each other; {count - needed} may be dead or cut off"
        )
    return found


def slow(span: int) -> int:
    """Return the true time that ``span`` lasts at most, measured by the slowest clock."""
    return -(-span * 100 // (100 - CLOCKS_DIFFER))


def fast(span: int) -> int:
    """Return the true time that ``span`` lasts at least, measured by the fastest clock."""
    return span * 100 // (100 + CLOCKS_DIFFER)


def show(span: int, *, up: bool) -> str:
    """Write ``span`` with four digits, rounded ``up`` or down: steps keep their order."""
    grain = 10 ** max(len(str(span)) - _SHOWN_DIGITS, 0)
    return format_duration(-(-span // grain) * grain if up else span // grain * grain)


def _about(span: int) -> str:
    """Three digits are enough for a sentence; rounded down, for it says how much is left."""
    grain = 10 ** max(len(str(span)) - 3, 0)
    return format_duration(span // grain * grain)


def _job_ended_by(settings: Settings) -> int:
    grace = settings.stop_timeout
    if not grace and not settings.voters:
        grace = OPEN_GRACE
    return settings.timing.lease + grace


def _who_acknowledged(settings: Settings) -> str:
    count = len(settings.voters)
    if not count:
        return "the last one that arrived"
    needed = count // 2 + 1
    return (
        f"the last one that {needed} of {count} voters acknowledged, this one included; of those "
        "that are sent later, cut off, none counts"
    )


def _at_lease_end(settings: Settings) -> str:
    who = "the leader has stopped acting" if settings.voters else "one that hangs has lost its role"
    if not settings.stop_timeout and settings.voters:
        return f"{who}, and its job is killed without being asked"
    return f"{who}, and its job is asked to end"


def _at_job_end(settings: Settings) -> str:
    if not settings.stop_timeout and settings.voters:
        return (
            "at once, as stop_timeout is 0s; a frozen host, where nothing runs, does it on waking"
        )
    which = "stop_timeout" if settings.stop_timeout else format_duration(OPEN_GRACE)
    return f"SIGKILL, {which} after the lease; a frozen host, where nothing runs, does it on waking"
