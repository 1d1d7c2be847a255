"""The replay window, for any counters in any order: each is taken once, and the newest always."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from followtheleader.core.replay import WINDOW, ReplayWindow

MOST = 2**64 - 1
near = st.integers(0, 3 * WINDOW)
counters = st.one_of(near, st.integers(0, MOST), near.map(lambda back: MOST - back))


@settings(deadline=None)
@given(st.lists(counters, max_size=200))
def test_a_counter_is_taken_once_and_never_from_before_the_window(said: list[int]) -> None:
    window, taken, newest = ReplayWindow(), set[int](), -1
    for counter in said:
        fresh = counter not in taken and counter > newest - WINDOW
        assert window.accept(counter) is fresh
        if fresh:
            taken.add(counter)
        newest = max(newest, counter)


@settings(deadline=None)
@given(st.lists(near, max_size=100), st.randoms(use_true_random=False))
def test_what_is_doubled_or_reordered_adds_nothing(said: list[int], rng: object) -> None:
    """Whatever was heard, said once more in any order is not taken."""
    window = ReplayWindow()
    for counter in said:
        window.accept(counter)
    again = said * 2
    rng.shuffle(again)  # type: ignore[attr-defined]
    assert not any(window.accept(counter) for counter in again)


@settings(deadline=None)
@given(st.lists(counters, min_size=1, max_size=50))
def test_the_next_counter_is_always_taken(said: list[int]) -> None:
    window = ReplayWindow()
    for counter in said:
        window.accept(counter)
    assert window.accept(max(said) + 1)
