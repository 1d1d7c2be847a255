"""Fuzz what strangers, local users and a taken-over agent can say: coverage-guided, bounded.

    PYTHONPATH=tests python -m fuzz.run [--seconds N] [--jobs N] [--corpus DIR] [TARGET …]

Each target runs in a process of its own for N seconds (60), two at once, and ends by itself; an
input that takes ten seconds or a gigabyte is a crash, too. First a planted fault has to be found:
a fuzzer that finds none proves nothing. What a target has learned stays in DIR
(``.fuzz``, not in git), and the next run goes on from there.

Exit code 1: something was found. Its bytes are printed with the command that plays them again; put
them into ``tests/fuzz/kept.py``, and every ``make test`` plays them.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from fuzz.targets import PLANTED, TARGETS, load

PLANTED_SECONDS = 30
LONGEST_INPUT = 16 * 1024
SLOWEST_SECONDS = 10
MOST_MEGABYTES = 1024
SPARE_SECONDS = 120
"""Beyond the seconds asked for: to start, to play the corpus, to end."""
_STATUS = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")
_RUNS = re.compile(r"stat::number_of_executed_units: (\d+)")


class Result(NamedTuple):
    """How a target fared. ``crash``: the input that broke a promise; ``words``: what was said."""

    name: str
    seconds: float
    runs: int
    coverage: int
    features: int
    corpus: int
    crash: bytes | None
    words: str

    @property
    def is_whole(self) -> bool:
        """Did it fuzz at all, and break nothing?"""
        return self.crash is None and self.runs > 0 and self.coverage > 0


def main(arguments: list[str] | None = None) -> int:
    """Run the targets; return the exit code."""
    options = _parse(arguments)
    with tempfile.TemporaryDirectory(prefix="ftl-fuzz-") as scratch:
        found = _fuzz(PLANTED, PLANTED_SECONDS, Path(scratch))
        if found.crash is None:
            print(f"the planted fault was not found: nothing here means anything\n{found.words}")
            return 1
        print(f"a planted fault was found after {found.runs:,} runs, {found.seconds:.0f} s")
    home = Path(options.corpus)
    work = [(name, options.seconds, home) for name in options.targets or TARGETS]
    print("target            seconds        runs   runs/s   coverage   features   corpus")
    with ThreadPoolExecutor(options.jobs) as pool:
        results = list(pool.map(lambda job: _show(_fuzz(*job)), work))
    broken = [result for result in results if not result.is_whole]
    for result in broken:
        _tell(result)
    return 1 if broken else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz.run")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=int, default=60, help="for each target (60)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="at once")
    parser.add_argument("--corpus", default=".fuzz", help="where it is kept (.fuzz)")
    options = parser.parse_args(arguments)
    if odd := [name for name in options.targets if name not in TARGETS]:
        parser.error(f"no such target: {', '.join(odd)}; there are {', '.join(TARGETS)}")
    return options


def _fuzz(name: str, seconds: int, home: Path) -> Result:
    corpus, finds = home / name, home / f"{name}-found"
    for folder in (corpus, finds):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(load(name).seeds()):
        (corpus / f"seed-{number:03}").write_bytes(seed)
    before = set(finds.iterdir())
    began = time.monotonic()
    flags = [
        str(corpus),
        f"-artifact_prefix={finds}/",
        f"-max_total_time={seconds}",
        f"-max_len={LONGEST_INPUT}",
        f"-timeout={SLOWEST_SECONDS}",
        f"-rss_limit_mb={MOST_MEGABYTES}",
        "-print_final_stats=1",
    ]
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fuzz.child", name, *flags],
            check=False,
            capture_output=True,
            timeout=seconds + SPARE_SECONDS,
        )
        words, code = (done.stdout + done.stderr).decode(errors="replace"), done.returncode
    except subprocess.TimeoutExpired as late:
        words, code = f"{late}\n{(late.stderr or b'').decode(errors='replace')}", -1
    found = sorted(set(finds.iterdir()) - before)
    crash = found[0].read_bytes() if found else None
    status = _STATUS.findall(words)[-1:] or [("0", "0", "0")]
    coverage, features, kept = map(int, status[0])
    runs = int((_RUNS.findall(words) or ["0"])[-1])
    if code and crash is None:
        runs = 0  # it ended for a reason of its own, which is no result
    return Result(name, time.monotonic() - began, runs, coverage, features, kept, crash, words)


def _show(result: Result) -> Result:
    pace = result.runs / max(result.seconds, 1)
    word = "" if result.is_whole else "   FOUND" if result.crash is not None else "   FAILED"
    print(
        f"{result.name:<16}{result.seconds:>9.0f}{result.runs:>12,}{pace:>9,.0f}"
        f"{result.coverage:>11,}{result.features:>11,}{result.corpus:>9,}{word}",
        flush=True,
    )
    return result


def _tell(result: Result) -> None:
    tail = "\n".join(result.words.splitlines()[-60:])
    print(f"\n=== {result.name}\n{tail}")
    if result.crash is not None:
        print(
            f"\nplay it again: PYTHONPATH=agent:tests python -c "
            f"'from fuzz.{result.name} import one; one({result.crash!r})'"
        )


if __name__ == "__main__":
    sys.exit(main())
