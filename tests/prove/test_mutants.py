"""The bench of mutants fits the core: each patch applies once, and each named test is there.

Nothing is tried here; ``python -m prove.mutants`` does that. A refactoring that moves a rule, or
renames the test that holds it, is told so at once.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

from prove import mutants
from prove.mutants import MUTANTS, Result, report
from prove.mutation import HOUSE, BenchError, Mutant, Patch, Run, patched, what_failed

NAMES = [mutant.name for mutant in MUTANTS]


@pytest.mark.parametrize("mutant", MUTANTS, ids=NAMES)
def test_it_applies_exactly_once(mutant: Mutant) -> None:
    changed = patched(mutant)
    assert changed
    assert mutant.rule
    assert mutant.tests, "who survives is tried against something as well"


def test_each_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 20


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


def test_a_blunder_is_no_kill() -> None:
    """What fails as the patched code cannot run has not noticed that a rule is gone."""
    blunder = "FAILED tests/core/test_a.py::test_one[open] - NameError: name 'x' is not defined\n"
    notices = "FAILED tests/core/test_a.py::test_two[a b] - AssertionError: assert 1 == 2\n"
    waits = "FAILED tests/core/test_a.py::test_three - LookupError: a does not lead\n"
    assert what_failed(blunder) == ()
    assert what_failed(blunder + notices + waits) == (
        "core/test_a.py::test_two[a b]",
        "core/test_a.py::test_three",
    )
    assert what_failed(notices + "ERROR tests/core/test_a.py - ImportError: no\n") == ()


@pytest.mark.parametrize(
    ("failed", "reason", "status"),
    [(("t",), "", 0), ((), "", 1), ((), "another rule", 0), (("t",), "another rule", 1)],
    ids=["killed", "survives", "survives with a reason", "killed although harmless"],
)
def test_only_who_is_killed_or_excused_passes(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failed: tuple[str, ...],
    reason: str,
    status: int,
) -> None:
    patch = Patch("acceptor.py", "class Answer(Enum):", "class Answer(Enum):")
    mutant = Mutant("mine", "a rule", (patch,), ("t",), reason)
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
