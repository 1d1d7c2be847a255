"""A small budget of schedules, and proof that the simulator is deterministic and can see.

`make sim` runs as many schedules as are asked for; here a few of each kind are run every time.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from sim import rollout
from sim.invariants import Violation
from sim.measure import measure
from sim.plan import draw
from sim.run import main
from sim.schedule import run_schedule
from sim.trace import Trace

KINDS = ("open", "quorum")
SEEDS = 50
TESTS = Path(__file__).parent.parent
THIS_TREE = os.pathsep.join((str(TESTS.parent / "agent"), str(TESTS)))
"""Before whatever is installed: the tree under test is the one that is imported."""
SHOW_DIGEST = """
from sim.schedule import run_schedule
from sim.trace import Trace
trace = Trace(hashed=True)
run_schedule("{kind}", {seed}, trace)
print(trace.digest())
"""


def digest(kind: str, seed: int) -> str:
    """Return the hash of a schedule's whole trace."""
    trace = Trace(hashed=True)
    run_schedule(kind, seed, trace)
    return trace.digest()


def run_schedules(kind: str, seeds: int) -> None:
    """Run the first ``seeds`` schedules."""
    for seed in range(seeds):
        run_schedule(kind, seed)


@pytest.mark.parametrize("kind", KINDS)
def test_no_promise_is_broken(kind: str) -> None:
    totals = [run_schedule(kind, seed) for seed in range(SEEDS)]
    assert sum(outcome.counts["leaders elected"] for outcome in totals) > SEEDS
    faults = {name for o in totals for name in o.counts if name.startswith("fault: ")}
    assert len(faults) == 20, "every kind of fault was there"
    assert sum(outcome.counts["wills"] for outcome in totals) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_real_datagrams_make_no_difference_to_the_promises(kind: str) -> None:
    for seed in range(SEEDS, SEEDS + 8):
        run_schedule(kind, seed, wire=True)


def test_a_quarter_of_the_schedules_sends_real_datagrams() -> None:
    wired = sum(draw("open", seed).wire for seed in range(400))
    assert 70 < wired < 130


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_trace(kind: str) -> None:
    first = digest(kind, 7)
    assert digest(kind, 7) == first
    assert digest(kind, 8) != first


def test_the_trace_is_the_same_in_every_process() -> None:
    """Sets and hashes of strings differ between processes; nothing may depend on their order."""
    program = SHOW_DIGEST.format(kind="quorum", seed=7)
    digests = set()
    for hash_seed in ("0", "1", "4242"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": THIS_TREE}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        digests.add(done.stdout.strip())
    assert digests == {digest("quorum", 7)}


@pytest.mark.parametrize(
    ("place", "broken", "broken_promise"),
    [
        ("followtheleader.core.agenda._quarantine", lambda *_: 0, "I6"),
        ("followtheleader.core.acceptor.Acceptor.lock", lambda *_: None, "I7"),
        ("followtheleader.core.learner.lock_span", lambda lease, _: lease // 4, "I2"),
        ("followtheleader.core.pause.Pauses.allows", lambda *_: True, "I9"),
    ],
)
def test_a_broken_core_is_seen(
    monkeypatch: pytest.MonkeyPatch, place: str, broken: object, broken_promise: str
) -> None:
    """A simulator that finds nothing proves nothing: it has to see what is broken on purpose."""
    monkeypatch.setattr(place, broken)
    with pytest.raises(Violation, match=broken_promise) as violation:
        run_schedules("quorum", 300)
    assert "replay: make sim SEED=" in str(violation.value)


def test_the_program_tells_totals_and_violations_by_its_exit_status(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    trace = tmp_path / "trace"
    assert main(["--kind", "quorum", "--seed", "3", "--trace", str(trace)]) == 0
    assert "1 schedules" in capsys.readouterr().out
    assert len(trace.read_text().splitlines()) > 200
    assert main(["--kind", "open", "--seeds", "2", "--base", "5"]) == 0
    assert "seeds 5 to 6, no violation" in capsys.readouterr().out
    assert main(["--kind", "quorum", "--seeds", "9"]) == 0
    sizes = [len(draw("quorum", seed).specs) for seed in range(9)]
    hours = sum(run_schedule("quorum", seed).simulated for seed in range(9)) / 3.6e12
    told = capsys.readouterr().out
    assert f": 9 schedules, N = {min(sizes)} to {max(sizes)} nodes, {hours:.2f} hours simul" in told
    monkeypatch.setattr("followtheleader.core.agenda._quarantine", lambda *_: 0)
    assert main(["--kind", "quorum", "--seeds", "300"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("replay: make sim SEED=")
    assert last.endswith("KIND=quorum")


@pytest.mark.parametrize("program", [main, rollout.main])
@pytest.mark.parametrize("seeds", ["0", "-5", "many"])
def test_no_schedules_are_not_a_hundred_nor_none_that_hold(
    program: Callable[[list[str]], int], seeds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        program([f"--seeds={seeds}"])
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert f"--seeds: '{seeds}': a whole number from 1" in said.err
    assert said.out == ""


@pytest.mark.parametrize("kind", KINDS)
def test_a_crowd_finds_itself_and_another_leader(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["--kind", kind, "--crowd", "60"]) == 0
    assert f"{kind}: 60 members: all follow one" in capsys.readouterr().out
    monkeypatch.setattr("sim.crowd.PATIENCE", 0)
    assert main(["--kind", kind, "--crowd", "60"]) == 1
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == f"replay: make sim KIND={kind} CROWD=60 SEED=1"


def test_the_gaps_are_measured() -> None:
    rows = measure(("open",), 1).splitlines()
    gaps = {row[:18].strip(): row[18:].split("/")[0] for row in rows[1:-1]}
    assert 1000 <= float(gaps["start"]) <= 1150
    assert 700 <= float(gaps["host death"]) <= 1150
    assert float(gaps["crash with will"]) < 150
    assert float(gaps["graceful"]) < 50
