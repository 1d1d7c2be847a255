"""The answer to the seed's PING."""

from __future__ import annotations

from followtheleader.net.seed import PING, PONG, PongBudget


def test_the_answer_amplifies_nothing() -> None:
    assert (PING, PONG) == (b"PING", b"PONG")
    assert len(PONG) <= len(PING)


def test_answers_are_bounded() -> None:
    budget = PongBudget()
    now = 5_000_000_000
    assert sum(budget.spend(now) for _ in range(1000)) == 200
    assert not budget.spend(now + 1_000_000)
    assert budget.spend(now + 6_000_000)
    assert sum(budget.spend(now + 10**12) for _ in range(1000)) == 200
