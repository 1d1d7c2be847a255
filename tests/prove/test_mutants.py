"""The bench of mutants fits the core: each patch applies once, and each named test is there.

Nothing is tried here; ``python -m prove.mutants`` does that. A refactoring that moves a rule, or
renames the test that holds it, is told so at once.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from prove import mutants
from prove.mutants import MUTANTS, Result, report
from prove.mutation import HOUSE, BenchError, Mutant, Patch, Run, patched, run_tests, what_failed

WAYS_TO_FAIL = """
import pytest
from sim.invariants import Violation
from sim.table import Table


def test_one():
    assert 1 == 2


def test_two():
    Table("a").until_leads("a")


def test_three():
    with pytest.raises(Violation):
        pass


def test_four():
    raise Violation("a at 1 s: I1")


def test_five():
    [][0]
"""
NAMES = [mutant.name for mutant in MUTANTS]


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_it_applies_exactly_once(mutant: Mutant) -> None:
    changed = patched(mutant)
    assert changed
    assert mutant.rule
    assert mutant.tests, "who survives is tried against something as well"


def test_each_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 100


def test_every_test_that_is_named_exists() -> None:
    """One run of pytest that only collects: it fails if an id names nothing."""
    named = sorted({f"tests/{test}" for mutant in MUTANTS for test in mutant.tests})
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *named],
        cwd=HOUSE,
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.parametrize(
    ("old", "complaint"),
    [
        ("no rule says this", "occurs 0 times"),
        ("return", "not once"),
        ("class Answer(Enum):", "no Python"),
    ],
)
def test_one_that_does_not_apply_is_told(old: str, complaint: str) -> None:
    lost = Mutant("lost", "a rule", (Patch("acceptor.py", old, "("),), ())
    with pytest.raises(BenchError, match=complaint) as told:
        patched(lost)
    assert "mutant lost" in str(told.value)


@pytest.mark.parametrize(
    "why",
    [
        "AssertionError: assert 1 == 2",
        "assert 1 == 2",
        "Failed: DID NOT RAISE <class 'sim.invariants.Violation'>",
        "sim.invariants.Violation: a at 1.000000 s: I1: leads although b leads",
        "sim.table.Missing: a does not lead until 20000.0 ms",
    ],
)
def test_who_says_what_did_not_hold_kills(why: str) -> None:
    line = f"FAILED tests/core/test_a.py::test_two[a b] - {why}\n"
    assert what_failed(line) == ("core/test_a.py::test_two[a b]",)
    assert what_failed(line + "ERROR tests/core/test_a.py - ImportError: no\n") == ()


@pytest.mark.parametrize(
    "why",
    [
        "NameError: name 'x' is not defined",
        "TimeoutError: tests/core/test_a.py::test_one took longer than 60 s",
        "LookupError: a does not run",
        "KeyError: 'a'",
        "IndexError: list index out of range",
        "ValueError: not enough values to unpack (expected 1, got 0)",
        "RecursionError: maximum recursion depth exceeded",
        "followtheleader.errors.InvariantBroken: clock went backwards",
        "Failed: Timeout",
        "",
    ],
)
def test_who_ends_for_another_reason_has_seen_nothing(why: str) -> None:
    line = "FAILED tests/core/test_a.py::test_one[open]" + (f" - {why}" if why else "")
    assert what_failed(f"{line}\n") == ()


def test_what_pytest_says_is_understood(tmp_path: Path) -> None:
    """Its own words, of each way to fail that counts and of one that does not."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_ways.py").write_text(WAYS_TO_FAIL)
    (tmp_path / "agent").symlink_to(HOUSE / "agent")
    for name in ("sim", "core"):
        (tmp_path / "tests" / name).symlink_to(HOUSE / "tests" / name)
    run = run_tests(tmp_path, ["test_ways.py"])
    assert run.failed == tuple(f"test_ways.py::test_{n}" for n in ("one", "two", "three", "four"))


@pytest.mark.parametrize(
    ("failed", "reason", "status"),
    [
        (("t", "u"), "", 0),
        (("t",), "", 1),
        ((), "", 1),
        ((), "another rule", 0),
        (("t",), "another rule", 1),
    ],
    ids=["killed", "one is idle", "survives", "survives with a reason", "killed though harmless"],
)
def test_only_who_is_killed_or_excused_passes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failed: tuple[str, ...],
    reason: str,
    status: int,
) -> None:
    patch = Patch("acceptor.py", "class Answer(Enum):", "class Answer(Enum):")
    mutant = Mutant("mine", "a rule", (patch,), ("t", "u"), reason)
    said = Run(1 if failed else 0, failed, "")
    monkeypatch.setattr(mutants, "MUTANTS", (mutant,))
    monkeypatch.setattr(mutants, "try_without", lambda _: None)
    monkeypatch.setattr(mutants, "try_mutant", lambda _: (said, 1.0))
    assert mutants.main(["--only", "mine"]) == status
    assert "1 mutants" in capsys.readouterr().out
    assert mutants.main(["--only", "yours"]) == 1
    assert "no mutant is called yours" in capsys.readouterr().err


def test_the_table_names_survivors_and_what_went_wrong() -> None:
    mutant = Mutant("mine", "a rule", (), ("t",))
    assert "survivor mine: NO TEST KILLS IT" in report([Result(mutant, (), 1.0)])
    assert "survivor mine: oh" in report([Result(mutant, (), 1.0, "oh")])
    two = Mutant("mine", "a rule", (), ("core::t", "core::u"))
    half = Result(two, ("core::t",), 1.0)
    assert half.line().endswith("killed by t, BUT NOT BY u")
    assert "idle at mine: core::u\n1 mutants: 1 killed, 0 survive; 1 not as" in report([half])
