"""The leader's host is frozen or cut off: no configuration that is accepted breaks the order."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from followtheleader.config.durations import MS, SECOND, format_duration, parse_duration
from followtheleader.config.failover import Step, promises, reserve, show, steps, verdict
from followtheleader.config.loader import parse
from followtheleader.config.schema import MAX_PATIENCE, MAX_STOP_TIMEOUT
from followtheleader.config.settings import Settings
from followtheleader.core.timing import lock_span
from followtheleader.wire import body

KEYS = ["last_heartbeat", "lease_end", "job_ended_by", "earliest_takeover", "latest_takeover"]
QUORUM = "voters: [host-a, b, c]\n"
SHORTEST, LONGEST = 10 * MS, 60 * SECOND


def of(text: str) -> Settings:
    """The settings of this text on host-a."""
    return parse(text.encode(), "/nowhere/svc.yaml", host_name="host-a")


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
def test_a_quorum_groups_job_has_ended_before_another_may_lead(text: str) -> None:
    settings = of(QUORUM + text)
    timing = settings.timing
    acts = timing.lease + timing.stop_timeout
    assert acts * 110 <= timing.lock * 90, "clocks 10 % off: acts / 0.9 <= lock / 1.1"
    assert acts * 111 < timing.lock * 89, "clocks 11 % off: acts / 0.89 < lock / 1.11"
    exact, worst = reserve(settings)
    assert exact > worst > 0
    for times in ([s.at for s in steps(settings)], [s.worst for s in steps(settings)]):
        assert times == sorted(times)
    shown = [show(step.worst, up=step.key != "earliest_takeover") for step in steps(settings)]
    spans = [parse_duration(text) for text in shown]
    assert spans == sorted(spans), "and so it is shown"
    assert spans[2] < spans[3], "one sees that it ends before"


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
        "job_ended_by": (2800, 3146.07),
        "earliest_takeover": (3500, 3153.15),
        "latest_takeover": (3740, 4202.25),
    }
    assert "2 of 3 voters" in steps(settings)[0].explanation
    assert verdict(settings).startswith("The job has ended 700ms before another may lead, with")


def test_steps_of_an_open_group_that_gives_its_job_no_time() -> None:
    """It is killed 2 s after the lease, and nobody waits for that."""
    settings = of("")
    assert in_ms(steps(settings)) == {
        "last_heartbeat": (0, 0),
        "lease_end": (800, 898.88),
        "job_ended_by": (2800, 3146.07),
        "earliest_takeover": (1000, 900.9),
        "latest_takeover": (1140, 1280.9),
    }
    said = verdict(settings)
    assert "if it takes longer than 200ms to end (2.02ms with clocks 11% off)" in said
    assert "for up to 2.24s until it is killed" in said
    assert "goes on leading its part" in said


def test_an_open_group_may_wait_for_its_job() -> None:
    settings = of("stop_timeout: 1s")
    assert reserve(settings)[0] == 450 * MS
    assert verdict(settings).startswith("The job has ended 450ms before another may lead")
    assert "goes on leading its part" in verdict(settings)


def test_a_job_that_gets_no_time_is_killed_with_the_lease() -> None:
    found = {step.key: step for step in steps(of(QUORUM + "stop_timeout: 0s"))}
    assert list(found) == KEYS
    assert found["job_ended_by"].at == found["lease_end"].at
    assert "killed without being asked" in found["lease_end"].explanation


def test_from_the_only_voter_nobody_takes_over() -> None:
    settings = of("voters: [host-a]")
    assert [step.key for step in steps(settings)] == KEYS[:3]
    assert verdict(settings).startswith("Nobody takes over: host-a is the only voter.")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", ["one leader in every connected part", "Not promised: one leader while", "two hosts"]),
        ("voters: [host-a]", ["one voter: only host-a ever leads"]),
        (
            "voters: [host-a, b]",
            ["while one of the two voters is away", "two hosts cannot have both", "a witness"],
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
