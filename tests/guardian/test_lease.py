"""The lease alone: until when, and when the job must be dead."""

from __future__ import annotations

import pytest

from followtheleader.guardian.lease import FARTHEST, GRACE, LATE_WITHOUT_STOP_TIMEOUT, Lease
from guardian.stand import MS, SECOND

T0 = 1000 * SECOND


def lease(span: int, stop_timeout: int) -> Lease:
    made = Lease()
    assert made.renew(T0 + span, stop_timeout, T0)
    return made


def test_a_lease_holds_up_to_its_deadline() -> None:
    held = lease(SECOND, 0)
    assert held.holds(T0 + SECOND - 1)
    assert not held.holds(T0 + SECOND)
    assert not Lease().holds(T0)


def test_a_deadline_only_grows() -> None:
    held = lease(SECOND, 5)
    assert held.renew(T0 + SECOND - 1, 7, T0)
    assert (held.deadline, held.stop_timeout) == (T0 + SECOND, 5)
    assert held.renew(T0 + SECOND, 9, T0)
    assert held.stop_timeout == 9
    assert not held.renew(T0 + FARTHEST + 1, 0, T0)
    assert held.deadline == T0 + SECOND


@pytest.mark.parametrize(
    ("stop_timeout", "lost_after", "killed_after"),
    [
        (0, 0, GRACE),  # resigned in time
        (0, SECOND, SECOND + GRACE),  # lapsed, noticed at once
        (0, SECOND + LATE_WITHOUT_STOP_TIMEOUT + 1, SECOND + LATE_WITHOUT_STOP_TIMEOUT + 1),
        (500 * MS, 0, 500 * MS),
        (500 * MS, 900 * MS, 1400 * MS),
        (500 * MS, SECOND, 1500 * MS),  # never later than the deadline and stop_timeout
        (500 * MS, 1200 * MS, 1500 * MS),
        (500 * MS, 9 * SECOND, 1500 * MS),
        (10 * SECOND, SECOND, SECOND + GRACE),
    ],
)
def test_when_the_job_is_killed(stop_timeout: int, lost_after: int, killed_after: int) -> None:
    assert lease(SECOND, stop_timeout).kill_at(T0 + lost_after) == T0 + killed_after


def test_without_any_deadline() -> None:
    assert Lease().kill_at(T0) == T0 + GRACE
