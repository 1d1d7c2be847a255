"""The answer to the seed's PING."""

from __future__ import annotations

from followtheleader.net.seed import PONG, PongBudget, is_ping


def test_only_the_exact_word() -> None:
    assert is_ping(b"PING")
    assert not any(is_ping(data) for data in (b"", b"ping", b"PING\n", b"PONG", b"\xf2\x01"))
    assert PONG == b"PONG"


def test_answers_are_bounded() -> None:
    budget = PongBudget()
    now = 5_000_000_000
    assert sum(budget.spend(now) for _ in range(1000)) == 200
    assert not budget.spend(now + 1_000_000)
    assert budget.spend(now + 6_000_000)
    assert sum(budget.spend(now + 10**12) for _ in range(1000)) == 200
