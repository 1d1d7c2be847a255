"""What a mutant is, and how one is tried: a copy of the agent, a patch, the tests that must fail.

A *mutant* is the core with one rule taken out. Its patches are exact pieces of text, each of which
must occur once: a refactoring that moves a rule is told which mutant it has lost, and nothing is
ever tried on a core that was not changed. The tree itself is never written to.

A mutant is *killed* by a test that says that something did not hold: an assertion, a `Violation` of
the simulator, what is `Missing` at the table. One that ends for another reason (a name that is not
there, an empty list, the limit of its time) has seen nothing.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

# Where the tests lie that kill mutants.
DIRECTED = "core/test_directed.py::"
DOUBLES = "core/test_doubles.py::"
DROPPED = "core/test_dropped.py::"
HOLES = "core/test_holes.py::"
RULES = "core/test_rules.py::"
WAITS = "core/test_waits.py::"
KILLED = "core/test_mutants_killed.py::"
KILLED_PEACE = "core/test_mutants_killed_peace.py::"

HOUSE = Path(__file__).resolve().parent.parent.parent
CORE = Path("agent", "followtheleader", "core")
LEFT_OUT = {"agent", ".git", ".venv", ".pytest_cache", ".hypothesis"}
LONGEST = 600
"""Seconds for one run of pytest: each test has a limit of its own, this is for what escapes it."""

FAILED = re.compile(r"^FAILED tests/(\S+\.py::\w+(?:\[.*?\])?)(?: - (.*))?$", re.MULTILINE)
ERROR = re.compile(r"^ERROR ", re.MULTILINE)
NOTICED = re.compile(
    r"assert |AssertionError\b|Failed: DID NOT RAISE |sim\.(invariants\.Violation|table\.Missing): "
)


@dataclass(frozen=True, slots=True)
class Patch:
    """In ``file`` of the core the one occurrence of ``old`` becomes ``new``."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """The core without ``rule``. ``tests`` are below ``tests/``, each of them kills it.

    ``harmless_because``: no test kills it, as another rule stands behind the one that is taken out.
    ``scope``: the small world of `prove.scopes` in which the exhaustive search misses the rule.
    """

    name: str
    rule: str
    patches: tuple[Patch, ...]
    tests: tuple[str, ...]
    harmless_because: str = ""
    scope: str = ""


class BenchError(Exception):
    """The bench cannot say anything: a patch does not apply, or the tests fail without one."""


@dataclass(frozen=True, slots=True)
class Run:
    """What pytest said: the tests that failed with a failure, and its last words."""

    status: int
    failed: tuple[str, ...]
    last_words: str


def patched(mutant: Mutant, house: Path = HOUSE) -> dict[str, str]:
    """Return the new text of each file that ``mutant`` changes; BenchError if it cannot."""
    texts: dict[str, str] = {}
    for patch in mutant.patches:
        path = house / CORE / patch.file
        if patch.file not in texts:
            texts[patch.file] = path.read_text()
        times = texts[patch.file].count(patch.old)
        if times != 1:
            raise BenchError(
                f"mutant {mutant.name} no longer applies: in {CORE / patch.file} its text occurs "
                f"{times} times, not once:\n{patch.old}\n"
                "Find where the rule has gone, and let the mutant take it out there"
            )
        texts[patch.file] = texts[patch.file].replace(patch.old, patch.new)
    for file, text in texts.items():
        try:
            compile(text, file, "exec")
        except SyntaxError as error:
            raise BenchError(f"mutant {mutant.name} is no Python any more: {error}") from error
    return texts


@contextmanager
def copy_of_the_house(texts: dict[str, str]) -> Iterator[Path]:
    """Lend a tree with its own agent, in which ``texts`` replace files of the core."""
    with tempfile.TemporaryDirectory(prefix="ftl-mutant-") as place:
        copy = Path(place)
        ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
        shutil.copytree(HOUSE / "agent", copy / "agent", ignore=ignored)
        for entry in HOUSE.iterdir():
            if entry.name not in LEFT_OUT:
                (copy / entry.name).symlink_to(entry)
        for file, text in texts.items():
            (copy / CORE / file).write_text(text)
        yield copy


def run_tests(house: Path, tests: Iterable[str]) -> Run:
    """Run ``tests`` against the agent that lies in ``house``."""
    paths = os.pathsep.join((str(house / "agent"), str(house / "tests")))
    # Wide, or the summary's lines are cut before they name the exception. The tests are the house's
    # own: no bytecode of theirs may be left that names a place in the copy.
    environment = {
        **os.environ,
        **{"PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"},
        **{"COLUMNS": "400", "PY_COLORS": "0"},
    }
    options = ("-q", "-rfE", "--tb=no", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", *options, *(f"tests/{test}" for test in tests)]
    try:
        done = subprocess.run(
            command,
            cwd=house,
            env=environment,
            capture_output=True,
            text=True,
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Run(-1, (), f"not done after {LONGEST} s")
    output = done.stdout + done.stderr
    seen = what_failed(output) if done.returncode == 1 else ()
    return Run(done.returncode, seen, "\n".join(output.strip().splitlines()[-15:]))


def what_failed(output: str) -> tuple[str, ...]:
    """Return the tests that noticed something; none if one could not even be set up."""
    if ERROR.search(output):
        return ()
    return tuple(test for test, why in FAILED.findall(output) if NOTICED.match(why))


def imported_from(house: Path) -> Path:
    """Return where a process of ``house`` finds the package: an installed one must not win."""
    script = "import followtheleader; print(followtheleader.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=house,
        env={**os.environ, "PYTHONPATH": str(house / "agent")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return Path(done.stdout.strip())


def try_mutant(mutant: Mutant) -> tuple[Run, float]:
    """Run the mutant's tests against it; return what they said, and how many seconds it took."""
    begun = time.monotonic()
    with copy_of_the_house(patched(mutant)) as copy:
        run = run_tests(copy, mutant.tests)
    return run, time.monotonic() - begun


def try_without(tests: Iterable[str]) -> None:
    """Demand that all ``tests`` pass on a copy that is not changed."""
    with copy_of_the_house({}) as copy:
        found = imported_from(copy)
        if not found.is_relative_to(copy):
            raise BenchError(f"the agent of {found} is tried instead of the copy in {copy}")
        run = run_tests(copy, sorted(set(tests)))
    if run.status != 0:
        raise BenchError(f"the tests fail without any mutant:\n{run.last_words}")
