"""A group that was paused a moment ago, and what its members know of it."""

from __future__ import annotations

import pytest

from followtheleader.core.actions import PauseChanged
from followtheleader.core.types import MS
from sim.table import Table, three

EITHER_KIND = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
HOUR = 3_600_000
"""In milliseconds, as all times at the table."""


def paused(
    *,
    quorum: bool,
    at: str = "b",
    ms: float = HOUR,
    priorities: dict[str, int] | None = None,
) -> Table:
    """a leads b and c, and the group was paused at ``at`` a moment ago."""
    table = three(quorum=quorum, priorities=priorities)
    table.pause(at, ms)
    table.run_for(50)
    return table


def left(table: Table, name: str) -> float | None:
    """How many milliseconds of the pause ``name`` knows of; None: it knows of none."""
    until = table.view(name).paused_until
    return None if until is None else (until - table.now) / MS


def changes_of(table: Table, name: str) -> list[PauseChanged]:
    return [order for order in table.seats[name].orders if isinstance(order, PauseChanged)]
