"""A leader whose host gets another address: its followers show where it is now."""

from __future__ import annotations

import pytest

from sim.table import three

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])


@EITHER_KIND
def test_a_leader_is_shown_where_it_was_heard_last(quorum: bool) -> None:
    table = three(quorum=quorum)
    assert table.leaders() == ["a"]
    moved = ("10.99.0.1", 9001)
    table.seats["a"].address = moved
    table.run_for(600)
    for name in "bc":
        leader = table.view(name).leader
        assert leader is not None
        assert leader.address == moved
    assert table.leaders() == ["a"]
    ours = table.view("a").leader
    assert ours is not None
    assert ours.address is None
