"""If the leader's host dies, freezes or is cut off: when its job ends, and what is said of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from followtheleader import core
from followtheleader.config.durations import MS, SECOND, format_duration, parse_duration
from followtheleader.config.loader import parse
from followtheleader.config.promises import promises
from followtheleader.config.schema import MAX_PATIENCE, MAX_STOP_TIMEOUT
from followtheleader.config.settings import Settings
from followtheleader.config.timeline import (
    CLOCKS_OFF,
    GUARDIAN_WAKES,
    Step,
    columns,
    in_time,
    reserve,
    steps,
    verdict,
    waits,
)
from followtheleader.core import timing as rules
from followtheleader.core.timing import lock_span
from followtheleader.wire import body

QUORUM = "voters: [host-a, b, c]\n"
SHORTEST, LONGEST = 10 * MS, 60 * SECOND
SAFE, MAYBE, NOT = "before another may lead, with", "before another may lead, but", "Nobody waits"


class Left(NamedTuple):
    """What `reserve` says, in milliseconds."""

    exact: float
    worst: float


def of(text: str) -> Settings:
    """The settings of this text on host-a."""
    return parse(text.encode(), "/nowhere/svc.yaml", host_name="host-a")


def left(settings: Settings) -> Left:
    """The reserve of a group in which another may lead."""
    found = reserve(settings)
    assert found is not None
    return Left(found.exact / MS, found.worst / MS)


@st.composite
def timings(draw: st.DrawFn) -> str:
    """The timing keys, to the nanosecond, from one end of what is accepted to the other."""
    shortest = st.integers(SHORTEST, SHORTEST + 99)
    heartbeat = draw(st.one_of(shortest, st.integers(SHORTEST, LONGEST)))
    most = min(100, MAX_PATIENCE // heartbeat - 1)
    forgiven = draw(st.integers(1, most))
    stop = draw(st.one_of(st.integers(0, 99), st.integers(0, MAX_STOP_TIMEOUT)))
    return (
        f"heartbeat_interval: {format_duration(heartbeat)}\nmax_failed_responses: {forgiven}\n"
        f"stop_timeout: {format_duration(stop)}\n"
    )


@given(timings())
@example("heartbeat_interval: 10ms\nmax_failed_responses: 1\nstop_timeout: 0s\n")
@example("heartbeat_interval: 60s\nmax_failed_responses: 9\nstop_timeout: 10m\n")
@example("heartbeat_interval: 10ms\nmax_failed_responses: 98\nstop_timeout: 0s\n")  # by 2 us
def test_a_quorum_groups_job_is_told_to_end_before_another_may_lead(text: str) -> None:
    settings = of(QUORUM + text)
    timing = settings.timing
    acts = timing.lease + timing.stop_timeout
    assert acts * 110 <= timing.lock * 90, "clocks 10 % off: acts / 0.9 <= lock / 1.1"
    assert acts * 111 < timing.lock * 89, "clocks 11 % off: acts / 0.89 < lock / 1.11"
    exact, worst = left(settings)
    assert exact > max(worst, 0)
    assert worst > -GUARDIAN_WAKES / MS, "what can be missing is the guardian's time"
    assert in_time(settings) == (worst >= 0)
    assert in_time(settings) or acts < 800 * MS
    assert in_time(settings) == (SAFE in verdict(settings))
    at, worsts = ([step[column] for step in steps(settings)] for column in (2, 3))
    assert at == sorted(at)
    assert not in_time(settings) or worsts == sorted(worsts)
    for found, column in ((at, 0), (worsts, 1)):
        shown = [parse_duration(row[column]) for row in columns(steps(settings))]
        in_order = [span for _, span in sorted(zip(found, shown, strict=True))]
        assert in_order == sorted(in_order), "and so it is shown"


@given(timings(), st.booleans())
@example("heartbeat_interval: 10s\n", False)  # in time by exact clocks, not by the worst
@example("heartbeat_interval: 60s\nmax_failed_responses: 9\nstop_timeout: 0s\n", False)
@example("timing: fast\nstop_timeout: 0s\n", True)
@example("timing: fast\n", False)
def test_what_is_said_agrees_with_the_times(text: str, quorum: bool) -> None:
    """In an open group as in one with voters: two leaders' jobs are never called safe."""
    settings = of((QUORUM if quorum else "") + text)
    exact, worst = left(settings)
    said = verdict(settings)
    assert not re.search(r"-[0-9]", said + " ".join(promises(settings)))
    assert in_time(settings) == (worst >= 0)
    cases = {SAFE: worst >= 0, MAYBE: exact >= 0 > worst, NOT: exact < 0}
    assert [case for case in cases if case in said] == [case for case in cases if cases[case]]
    assert exact >= 0 or (not quorum and settings.stop_timeout == 0)
    assert ("runs beside" in said or "may run beside" in said) == (not in_time(settings))
    keys = [step.key for step in steps(settings)]
    ends_first = keys.index("job_ended_by") < keys.index("earliest_takeover")
    assert ends_first == (exact >= 0), "the table is in the order of what happens"


@given(timings())
def test_no_accepted_configuration_rounds_a_span_to_nothing(text: str) -> None:
    timing = of(text).timing
    assert timing.claim_wait > MS
    assert timing.skew > MS
    assert timing.claim_patience < timing.lease < timing.patience <= MAX_PATIENCE
    assert 2 * timing.heartbeat <= timing.patience


@given(timings())
def test_what_a_follower_reads_of_it_is_no_shorter(text: str) -> None:
    """Spans travel in whole microseconds, rounded up: the follower's lock is at least L."""
    timing = of(QUORUM + text).timing
    lease, stop = (-(-span // 1000) * 1000 for span in (timing.lease, timing.stop_timeout))
    assert timing.lock <= lock_span(lease, stop) <= timing.lock + 3000
    assert max(timing.heartbeat, lease, stop) <= body.MAX_SPAN


def in_ms(found: list[Step]) -> dict[str, tuple[float, float]]:
    """Exact and worst, in milliseconds."""
    return {step.key: (round(step.at / MS, 2), round(step.worst / MS, 2)) for step in found}


def test_steps_of_a_quorum_group() -> None:
    settings = of(QUORUM)
    assert in_ms(steps(settings)) == {
        "last_heartbeat": (0, 0),
        "lease_end": (800, 898.88),
        "job_ended_by": (2802, 3148.07),
        "earliest_takeover": (3500, 3153.15),
        "latest_takeover": (3740, 4202.25),
    }
    assert "2 of 3 voters" in steps(settings)[0].explanation
    assert verdict(settings) == (
        "The job has ended 698ms before another may lead, with clocks 11% off 5.08ms: that is how "
        "late the guardian, which ends it, may be on a busy host."
    )


def test_steps_of_an_open_group_that_gives_its_job_no_time() -> None:
    """It is killed 2 s after the lease, and nobody waits for that."""
    settings = of("")
    assert in_ms(steps(settings)) == {
        "last_heartbeat": (0, 0),
        "lease_end": (800, 898.88),
        "earliest_takeover": (1000, 900.9),
        "latest_takeover": (1140, 1280.9),
        "job_ended_by": (2802, 3148.07),
    }
    said = verdict(settings)
    assert "unless it ends within 198ms (with clocks 11% off at once)" in said
    assert "for up to 1.81s (2.25s)." in said, "rounded up: it says how much may happen"
    assert "goes on leading its part" in said


def test_an_open_group_with_long_times_ends_it_by_exact_clocks_only() -> None:
    said = verdict(of("heartbeat_interval: 10s"))
    assert said.startswith(
        "The job has ended 5.99s before another may lead, but with clocks 11% off it may run "
        "beside the next leader's for up to 2.17s. Set stop_timeout, and it is waited for."
    )


def test_an_open_group_may_wait_for_its_job() -> None:
    settings = of("stop_timeout: 1s")
    assert left(settings).exact == 448
    assert verdict(settings).startswith("The job has ended 448ms before another may lead")
    assert "goes on leading its part" in verdict(settings)


def test_times_that_leave_a_guardian_none_are_not_called_safe() -> None:
    settings = of(QUORUM + "timing: fast\nstop_timeout: 0s")
    assert verdict(settings) == (
        "The job has ended 18ms before another may lead, but with clocks 11% off it may run beside "
        "the next leader's for up to 1.8ms."
    )
    assert "only if clocks are better than 11% off" in promises(settings)[1]
    assert "unless the guardian is later" in promises(of(QUORUM))[1]


def test_nobody_is_told_of_microseconds() -> None:
    assert "with clocks 11% off less than 1ms: that" in verdict(of(QUORUM + "stop_timeout: 0s"))
    settings = of(QUORUM + "heartbeat_interval: 10ms\nmax_failed_responses: 97\nstop_timeout: 0s")
    assert 0 > left(settings).worst > -1
    assert "for up to 1ms." in verdict(settings)


def test_a_job_that_gets_no_time_is_killed_with_the_lease() -> None:
    found = {step.key: step for step in steps(of(QUORUM + "stop_timeout: 0s"))}
    assert found["job_ended_by"].at == found["lease_end"].at + GUARDIAN_WAKES
    assert "killed without being asked" in found["lease_end"].explanation


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("voters: [host-a]", "Nobody takes over: host-a is the only voter."),
        ("voters: [host-a, b]", "Nobody takes over: host-a and b are both needed for a leader"),
    ],
)
def test_from_one_or_two_voters_nobody_takes_over(text: str, says: str) -> None:
    settings = of(text)
    keys = [step.key for step in steps(settings)]
    assert keys == ["last_heartbeat", "lease_end", "job_ended_by"]
    assert verdict(settings).startswith(says)
    assert (reserve(settings), in_time(settings)) == (None, True)
    assert "guardian" not in " ".join(promises(settings))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", {"stop": 100, "crash": 140}),
        (QUORUM, {"stop": 200, "crash": 240, "restart": 3500}),
        # Without the one that stopped or crashed the other has no majority.
        ("voters: [host-a, b]", {"step_down": 200, "restart": 3500}),
        ("voters: [host-a, b]\nwitness: true", {"restart": 3500}),
        ("voters: [host-a]", {"restart": 3500}),
    ],
)
def test_what_else_may_happen(text: str, expected: dict[str, float]) -> None:
    found = waits(of(text))
    assert {wait.key: wait.span / MS for wait in found} == expected
    if text != QUORUM and text:
        assert found[-1].explanation.endswith("nobody leads meanwhile")


@pytest.mark.parametrize("text", ["", QUORUM, "voters: [host-a, b]", "voters: [host-a]"])
def test_nothing_is_told_twice(text: str) -> None:
    settings = of(text)
    told = [step.explanation for step in steps(settings)]
    told += [wait.explanation for wait in waits(settings)]
    told += [verdict(settings), *promises(settings)]
    assert len(told) == len(set(told))
    labels = [step.label for step in steps(settings)] + [wait.label for wait in waits(settings)]
    assert len(labels) == len(set(labels))


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("", "earliest_takeover"),
        ("stop_timeout: 1s", "earliest_takeover"),
        (QUORUM, "lease_end"),
        ("voters: [host-a, b]", "lease_end"),
        ("voters: [host-a]", None),
    ],
)
def test_which_silence_changes_nothing(text: str, key: str | None) -> None:
    """A quorum's leader that nobody answers stops before its followers give it up."""
    found = [step.key for step in steps(of(text)) if "shorter silence" in step.explanation]
    assert found == ([key] if key else [])


def test_the_bound_on_clocks_is_said_everywhere_in_the_same_words() -> None:
    """Two clocks of which each is 11 % off, one fast and one slow, differ by more than that."""
    root = Path(__file__).parents[2]
    texts = [rules.__doc__ or "", core.__doc__ or ""]
    texts += [(root / name).read_text() for name in ("README.md", "DESIGN.md")]
    texts.append((root / "packaging/man/ftl-agent.8.in").read_text())
    bound = f"while each clock runs at most {CLOCKS_OFF} % fast or slow"
    assert [bound in " ".join(text.split()) for text in texts] == [True] * 5
    assert f"run at most {CLOCKS_OFF}% fast or slow" in promises(of(QUORUM))[0]


def test_what_tokens_are_worth_in_an_open_group() -> None:
    (told,) = (promise for promise in promises(of("")) if "token" in promise)
    assert "Not promised: that tokens put the leaders in order" in told
    assert "those of different parts may have equal ones" in told
    assert "needs voters" in told
    assert "token" not in " ".join(promises(of(QUORUM)))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["one leader in every connected part", "Not promised: one leader while", "two hosts"]),
        ("voters: [host-a]", ["one voter: only host-a ever leads"]),
        (
            "voters: [host-a, b]",
            ["while one of the two voters is away", "two hosts cannot have both", "a witness"],
        ),
        (
            "voters: [b, host-a]\nwitness: true",
            ["host-a is a witness: only b ever leads", "while b or host-a is away", "third voter"],
        ),
        (QUORUM, ["fewer than 2 of the 3 voters", "1 may be dead"]),
        ("voters: [host-a, b, c, d]", ["fewer than 3 of the 4 voters", "1 may be dead"]),
        ("voters: [host-a, b, c, d, e]", ["fewer than 3 of the 5 voters", "2 may be dead"]),
    ],
)
def test_promises(text: str, says: list[str]) -> None:
    told = "\n".join(promises(of(text)))
    assert all(part in told for part in says), told
    assert ("at most one leader at any instant" in told) == bool(text)
    assert "or a witness" not in told or "witness: true" not in text, "it is there"
