"""What happens when, if a leader fails: step by step, and whether its job has ended in time.

Only computes. If the leader's host dies, freezes or is cut off, each step has two times: by exact
clocks, and by the worst ones that are covered, of which each runs up to `CLOCKS_OFF` percent
fast or slow. `reserve` is what lies between the job's end and the next leader.

In a quorum group the instant of the kill comes first whatever the settings: 1.25 (T + B) / 1.11 is
more than (T + B) / 0.89, by 0.25 % of T + B. But a guardian must wake up for it. What that takes on
a host that is not busy, `GUARDIAN_WAKES`, is covered from T + B = 0.8 s on. Shorter times are not
refused, as real clocks are better: ``check`` says how late a guardian may be, ``advice`` warns.
"""

from __future__ import annotations

from typing import NamedTuple

from followtheleader.config.durations import MS, SECOND, format_duration
from followtheleader.config.settings import Settings

CLOCKS_OFF = 11
"""Percent by which a clock may run fast or slow."""
OPEN_GRACE = 2 * SECOND
"""How long an open group's job is asked to end if there is no ``stop_timeout``: what the guardian
does (``guardian.lease``, where the number stands again, for a guardian imports no config)."""
GUARDIAN_WAKES = 2 * MS
"""From the instant that a job must be dead until it is: the guardian sleeps in whole milliseconds,
rounded up, looks for the job's processes, and kills them. A busy host takes longer (DESIGN, 1), and
what it takes is taken from `reserve`; ``tests/guardian/test_lapse.py`` holds the guardian to it."""

_SHOWN_DIGITS = 4
_SAID_DIGITS = 3


class Step(NamedTuple):
    """One step; spans in nanoseconds since the last heartbeat. ``key`` is for programs."""

    key: str
    label: str
    at: int
    worst: int
    explanation: str


class Reserve(NamedTuple):
    """From the job's end to the earliest takeover, by exact and by the worst clocks; less than
    nothing: they may run beside each other for so long. Nanoseconds."""

    exact: int
    worst: int


class Wait(NamedTuple):
    """What else may happen, and how long (nanoseconds, at most) is waited then. ``key`` is for
    programs."""

    key: str
    label: str
    span: int
    explanation: str


def is_replaceable(settings: Settings) -> bool:
    """Can another lead while the leader's host is away? One or two voters need all of them."""
    return len(settings.voters) not in (1, 2)


def steps(settings: Settings) -> list[Step]:
    """Return what happens if the leader's host dies, freezes or is cut off, in order by exact
    clocks. The network's delay is left out: it makes the takeover later, and nothing else.
    """
    timing = settings.timing
    grace = _grace(settings)
    found = [
        Step("last_heartbeat", "last heartbeat", 0, 0, _who_acknowledged(settings)),
        Step("lease_end", "lease ends", timing.lease, slow(timing.lease), _at_lease_end(settings)),
        Step(
            "job_ended_by",
            "job ended by",
            timing.lease + grace + GUARDIAN_WAKES,
            slow(timing.lease + grace) + GUARDIAN_WAKES,
            _at_job_end(settings),
        ),
    ]
    if not is_replaceable(settings):
        return found
    latest = timing.lock + timing.skew + _claim(settings)
    found += [
        Step(
            "earliest_takeover",
            "earliest takeover",
            timing.lock,
            fast(timing.lock),
            "the first lock runs out: a follower believes in a silent leader for 1.25 × (lease + "
            "stop timeout)" + ("" if settings.voters else "; a shorter silence changes nothing"),
        ),
        Step(
            "latest_takeover",
            "latest takeover",
            latest,
            slow(latest),
            "plus a random delay and a claim"
            + (", if enough others hear each other" if settings.voters else ""),
        ),
    ]
    return sorted(found, key=lambda step: step.at)


def waits(settings: Settings) -> list[Wait]:
    """Return what else may happen to a leader or a voter, in the order of suddenness.

    The spans hold while no datagram is lost, without the network's delay and without the time that
    the hooks take.
    """
    timing = settings.timing
    claim = _claim(settings)
    handed_over = "from the end of on_follower to the next leader; two round trips if all answer"
    willed = "its guardian ends the job, runs on_follower and sends the last will; from then on"
    found = []
    if is_replaceable(settings):
        found += [
            Wait("stop", "stopped or stepped down", claim, handed_over),
            Wait("crash", "agent killed or crashed", timing.skew + claim, willed),
        ]
    elif len(settings.voters) == 2 and not settings.witness:
        found.append(Wait("step_down", "stepped down", claim, handed_over))
    if settings.voters:
        found.append(Wait("restart", "a voter restarted", timing.lock, _quarantine(settings)))
    return found


def reserve(settings: Settings) -> Reserve | None:
    """Return how long before the earliest takeover the job has ended; None: nobody takes over."""
    at = {step.key: step for step in steps(settings)}
    if "earliest_takeover" not in at:
        return None
    ended, takeover = at["job_ended_by"], at["earliest_takeover"]
    return Reserve(takeover.at - ended.at, takeover.worst - ended.worst)


def in_time(settings: Settings) -> bool:
    """Has the job ended when another may lead, by the worst clocks too? On a host that is so busy
    that the guardian is later than `reserve` it has not."""
    left = reserve(settings)
    return left is None or left.worst >= 0


def verdict(settings: Settings) -> str:
    """Return in a few sentences whether the job ends in time."""
    left = reserve(settings)
    if left is None:
        return _nobody(settings.voters)
    off = f"with clocks {CLOCKS_OFF}% off"
    if in_time(settings):
        text = (
            f"The job has ended {_at_least(left.exact)} before another may lead, {off} "
            f"{_at_least(left.worst)}: that is how late the guardian, which ends it, may be on a "
            "busy host."
        )
    elif left.exact >= 0:
        text = (
            f"The job has ended {_at_least(left.exact)} before another may lead, but {off} it may "
            f"run beside the next leader's for up to {_at_most(-left.worst)}."
        )
        if not settings.stop_timeout and not settings.voters:
            text += " Set stop_timeout, and it is waited for."
    else:
        # Only an open group without stop_timeout: SIGTERM comes where SIGKILL would be due.
        grace = _grace(settings)
        allowed, least = left.exact + grace, left.worst + slow(grace)
        at_once = f"within {_at_least(least)}" if least >= MS else "at once"
        text = (
            f"Nobody waits for the job, as stop_timeout is 0s: unless it ends within "
            f"{_at_least(allowed)} ({off} {at_once}), it runs beside the next leader's until it is "
            f"killed, for up to {_at_most(-left.exact)} ({_at_most(-left.worst)})."
        )
    if settings.voters:
        return text
    return (
        f"{text} A leader that is cut off but keeps its carrier does not end at all: it goes "
        "on leading its part of the network, and from the takeover on the other part has a leader, "
        "too."
    )


def slow(span: int) -> int:
    """Return the true time that ``span`` lasts at most, measured by the slowest clock."""
    return -(-span * 100 // (100 - CLOCKS_OFF))


def fast(span: int) -> int:
    """Return the true time that ``span`` lasts at least, measured by the fastest clock."""
    return span * 100 // (100 + CLOCKS_OFF)


def columns(found: list[Step]) -> list[tuple[str, str]]:
    """Write both times of each step."""
    exact = _column([(step.at, step.key) for step in found])
    return list(zip(exact, _column([(step.worst, step.key) for step in found]), strict=True))


def show(span: int, *, up: bool, digits: int = _SHOWN_DIGITS) -> str:
    """Write ``span`` with so many digits, rounded ``up`` or down."""
    return format_duration(_rounded(span, up, digits))


def _column(times: list[tuple[int, str]]) -> list[str]:
    """In four digits, or in so many more that one sees which comes first."""
    for digits in range(_SHOWN_DIGITS, len(str(max(times)[0])) + 1):
        rounded = [_rounded(at, key != "earliest_takeover", digits) for at, key in times]
        in_order = [shown for _, shown in sorted(zip(times, rounded, strict=True))]
        if in_order == sorted(in_order):
            return [format_duration(shown) for shown in rounded]
    return [format_duration(at) for at, _ in times]


def _rounded(span: int, up: bool, digits: int) -> int:
    grain: int = 10 ** max(len(str(span)) - digits, 0)
    return -(-span // grain) * grain if up else span // grain * grain


def _at_least(span: int) -> str:
    if span < MS:
        return "less than 1ms"
    return show(span, up=False, digits=_SAID_DIGITS)


def _at_most(span: int) -> str:
    return show(max(span, MS), up=True, digits=_SAID_DIGITS)


def _claim(settings: Settings) -> int:
    """A quorum's candidate needs promises, an open group's leads after its wait in any case."""
    timing = settings.timing
    return timing.claim_patience if settings.voters else timing.claim_wait


def _grace(settings: Settings) -> int:
    """How long the job is asked to end."""
    if not settings.stop_timeout and not settings.voters:
        return OPEN_GRACE
    return settings.stop_timeout


def _nobody(voters: tuple[str, ...]) -> str:
    if len(voters) == 1:
        return f"Nobody takes over: {voters[0]} is the only voter. Cut off, it leads on."
    return (
        f"Nobody takes over: {voters[0]} and {voters[1]} are both needed for a leader, and there "
        "is none until both are there again."
    )


def _who_acknowledged(settings: Settings) -> str:
    count = len(settings.voters)
    if not count:
        return "the last one that arrived"
    if count == 1:
        return "its own vote is all it needs, so that a cut changes nothing; this is a freeze"
    needed = count // 2 + 1
    return (
        f"the last one that {needed} of {count} voters, the leader among them, acknowledged; timed "
        "from when it was sent"
    )


def _at_lease_end(settings: Settings) -> str:
    if not settings.voters:
        who = "one that hangs has lost its role"
    elif len(settings.voters) == 1:
        who = "the leader has stopped acting"
    else:
        who = "a shorter silence changes nothing; now the leader has stopped acting"
    if not settings.stop_timeout and settings.voters:
        return f"{who}, and its job is killed without being asked"
    return f"{who}, and its job is asked to end"


def _at_job_end(settings: Settings) -> str:
    grace = _grace(settings)
    if not grace:
        when = "at the end of the lease, as stop_timeout is 0s"
    else:
        source = " (stop_timeout)" if settings.stop_timeout else ""
        when = f"{format_duration(grace)} after the lease{source}"
    return (
        f"SIGKILL {when}, and {format_duration(GUARDIAN_WAKES)} for the guardian to see to it. A "
        "frozen host, where nothing runs, does it on waking"
    )


def _quarantine(settings: Settings) -> str:
    text = (
        "it is silent this long unless it was stopped cleanly, longer if it ever granted a longer "
        "lock"
    )
    return text if is_replaceable(settings) else f"{text}; nobody leads meanwhile"
