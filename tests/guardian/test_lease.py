"""The lease alone: until when, and when the job must be dead."""

from __future__ import annotations

import pytest

from followtheleader.config import timeline
from followtheleader.guardian.lease import FARTHEST, LATE_WITHOUT_STOP_TIMEOUT, OPEN_GRACE, Lease
from guardian.stand import MS, SECOND

T0 = 1000 * SECOND


def lease(span: int, stop_timeout: int, quorum: bool = False) -> Lease:
    made = Lease()
    assert made.renew(T0 + span, stop_timeout, quorum, T0)
    return made


def test_a_lease_holds_up_to_its_deadline() -> None:
    held = lease(SECOND, 0)
    assert held.holds(T0 + SECOND - 1)
    assert not held.holds(T0 + SECOND)
    assert not Lease().holds(T0)


def test_a_deadline_only_grows() -> None:
    held = lease(SECOND, 5)
    assert held.renew(T0 + SECOND - 1, 7, True, T0)
    assert (held.deadline, held.stop_timeout, held.quorum) == (T0 + SECOND, 5, False)
    assert held.renew(T0 + SECOND, 9, True, T0)
    assert (held.stop_timeout, held.quorum) == (9, True)
    assert not held.renew(T0 + FARTHEST + 1, 0, False, T0)
    assert held.deadline == T0 + SECOND


@pytest.mark.parametrize(
    ("lost_after", "killed_after"),
    [
        (0, OPEN_GRACE),  # resigned in time
        (SECOND, SECOND + OPEN_GRACE),  # lapsed, noticed at once
        (SECOND + LATE_WITHOUT_STOP_TIMEOUT + 1, SECOND + LATE_WITHOUT_STOP_TIMEOUT + 1),
    ],
)
def test_an_open_group_without_stop_timeout(lost_after: int, killed_after: int) -> None:
    assert lease(SECOND, 0).kill_at(T0 + lost_after) == T0 + killed_after


def test_what_is_said_of_it_is_true() -> None:
    assert timeline.OPEN_GRACE == OPEN_GRACE


@pytest.mark.parametrize("lost_after", [0, SECOND, 9 * SECOND])
def test_a_quorum_without_stop_timeout_kills_at_once(lost_after: int) -> None:
    assert lease(SECOND, 0, quorum=True).kill_at(T0 + lost_after) == T0 + lost_after


@pytest.mark.parametrize("quorum", [False, True])
@pytest.mark.parametrize(
    ("stop_timeout", "lost_after", "killed_after"),
    [
        (500 * MS, 0, 500 * MS),
        (500 * MS, 900 * MS, 1400 * MS),
        (500 * MS, SECOND, 1500 * MS),  # never later than the deadline and stop_timeout
        (500 * MS, 1200 * MS, 1500 * MS),
        (500 * MS, 9 * SECOND, 1500 * MS),
        (10 * SECOND, 0, 10 * SECOND),
        (10 * SECOND, SECOND, 11 * SECOND),  # all of it, however long
    ],
)
def test_when_the_job_is_killed(
    stop_timeout: int, lost_after: int, killed_after: int, quorum: bool
) -> None:
    held = lease(SECOND, stop_timeout, quorum)
    assert held.kill_at(T0 + lost_after) == T0 + killed_after


def test_without_any_deadline() -> None:
    assert Lease().kill_at(T0) == T0 + OPEN_GRACE
