"""A bucket gives what it holds, and fills with time."""

from __future__ import annotations

from followtheleader.core.types import NANOSECONDS
from followtheleader.net.bucket import Bucket

NOW = 10**15


def spent(bucket: Bucket, now: int) -> int:
    return sum(bucket.spend(now) for _ in range(1000))


def test_so_many_at_once_and_so_many_a_second() -> None:
    bucket = Bucket(10, at_once=25)
    assert spent(bucket, NOW) == 25
    assert spent(bucket, NOW + NANOSECONDS // 2) == 5
    assert spent(bucket, NOW + NANOSECONDS // 2) == 0
    assert spent(bucket, NOW + 3600 * NANOSECONDS) == 25


def test_less_than_one_a_second() -> None:
    bucket = Bucket(2, at_once=1, span=60 * NANOSECONDS)
    assert spent(bucket, NOW) == 1
    assert spent(bucket, NOW + 29 * NANOSECONDS) == 0
    assert spent(bucket, NOW + 30 * NANOSECONDS) == 1
