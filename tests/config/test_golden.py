"""Every bad file beside its faults: ``bad/NAME.yaml`` and ``bad/NAME.txt``.

Rewrite the expectations with ``FTL_GOLDEN=rewrite`` (make golden-rewrite) and review the diff.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from followtheleader.config import load
from followtheleader.errors import ConfigError

BAD = Path(__file__).parent / "bad"
FILES = sorted(BAD.glob("*.yaml"))
FAULT = re.compile(r"(?P<file>.+?):(?P<line>[1-9]\d*):(?P<column>[1-9]\d*): [^:]+: .+")


def faults_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Load by the bare name, so that no expectation holds a directory."""
    monkeypatch.chdir(path.parent)
    with pytest.raises(ConfigError) as caught:
        load(path.name)
    return caught.value.faults


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_bad_file_tells_every_fault(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = "\n".join(faults_of(path, monkeypatch)) + "\n"
    golden = path.with_suffix(".txt")
    if os.environ.get("FTL_GOLDEN") == "rewrite":
        golden.write_text(told)
    assert told == golden.read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_fault_points_into_the_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = path.read_bytes().decode("utf-8", "replace").split("\n")
    for fault in faults_of(path, monkeypatch):
        match = FAULT.fullmatch(fault)
        assert match is not None, fault
        assert match["file"] == path.name
        line = int(match["line"])
        assert line <= len(lines)
        assert int(match["column"]) <= len(lines[line - 1]) + 1


def test_nothing_expected_lacks_its_file() -> None:
    assert len(FILES) >= 40
    assert {path.stem for path in BAD.glob("*.txt")} == {path.stem for path in FILES}
