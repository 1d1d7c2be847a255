"""The ordeal, bounded: as many faults as CI has time for. ``python -m bench.ordeal`` has more.

Each run draws a new seed; FTL_ORDEAL_SEED=N runs that one again.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from lab import checker, ordeal
from lab.group import Group
from lab.ledger import Ledger

pytestmark = [pytest.mark.lab, pytest.mark.alone]

FAULTS = 45


def test_a_minute_of_it(build: Callable[..., Group]) -> None:
    seed = int(os.environ.get("FTL_ORDEAL_SEED") or random.SystemRandom().randrange(10**6))
    print(f"again: FTL_ORDEAL_SEED={seed}")
    ordeals = ordeal.entries(build, seed, FAULTS, print)
    ordeal.run_side_by_side(ordeals)
    for one in ordeals:
        print(one.summary())


def test_an_ordeal_that_asks_nothing_fails(build: Callable[..., Group]) -> None:
    with pytest.raises(AssertionError, match="nobody was ever asked for a leader"):
        ordeal.Ordeal("nothing", build(1), [], print).run()


def test_whoever_lapsed_once_and_crashes_later_is_called_leader_no_more(
    build: Callable[..., Group],
) -> None:
    """Found by an ordeal: one guardian unlinks the state files at each loss, not at its first."""
    group = build(1)
    group.start()
    (host,) = group.hosts
    group.wait_one_leader()
    lapsed_at = host.freeze()
    group.wait_hook(host, "follower", "end", since=lapsed_at)
    thawed_at = host.thaw()
    group.wait_hook(host, "leader", "end", since=thawed_at)
    assert group.wait_one_leader() is host

    crashed_at = host.crash()
    group.wait_hook(host, "follower", since=crashed_at)
    assert host.role == "none"
    assert not [name for name in ("leader", "state.json") if (host.runtime_dir / name).exists()]
    group.check()


def test_a_ledger_keeps_the_ends_of_a_life(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "events.log")

    def write(*lines: str) -> None:
        with ledger.path.open("a") as file:
            file.writelines(f"{line}\n" for line in lines)

    def job(at: int, phase: str) -> str:
        return f"{at} h1 job {phase} 7 7 11 0 elected"

    write("1 h1 hook.leader start 7 7 10 0 elected", "2 h1 hook.leader end 7 7 10 0 elected")
    write(job(3, "start"), *(job(at, "tick") for at in range(4, 50)))
    assert [record.at for record in ledger.read()] == [1, 2, 3, 49]
    write(*(job(at, "tick") for at in range(50, 60)))
    assert [record.at for record in ledger.read(since=3)] == [3, 59]

    write("60 h1 fault power-off - - 1 - -")
    ledger.compact()
    assert [record.at for record in ledger.read()] == [1, 2, 60]
    write("61 h2 job start 8 8 12 0 elected", "62 h2 job tick 8 8 12 0 elected")
    spans = checker.lives(ledger.whole(), "job")
    assert [(span.host, span.start, span.end) for span in spans] == [("h1", 3, 59), ("h2", 61, 62)]
