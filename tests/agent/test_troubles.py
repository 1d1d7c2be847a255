"""What an operator reads of trouble: each fault once while it lasts, and its end once."""

from __future__ import annotations

import pytest

from followtheleader import troubles
from followtheleader.host.journal import Journal
from followtheleader.timers import Timers
from followtheleader.troubles import Troubles

A, B = "/run/role: No space left on device", "/run/role: Read-only file system"


@pytest.fixture
def log(capfd: pytest.CaptureFixture[str]) -> Journal:
    return Journal.open("svc", fd=2)


def said(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Of each line since the last time: its fault, or that all is well."""
    words = {A: "A", B: "B", "works again": "well"}
    lines = capfd.readouterr().err.splitlines()
    return [word for line in lines for text, word in words.items() if text in line]


def test_two_faults_that_take_turns_are_two_lines(
    log: Journal, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Troubles(log, Timers())
    assert [told.begin("guardian", text) for text in (A, B, A, B, A)] == [True, True, *[False] * 3]
    assert told.present == {"guardian": A}
    assert said(capfd) == ["A", "B"]
    told.end("guardian")
    told.end("guardian")
    assert (told.present, said(capfd)) == ({}, ["well"])
    assert told.begin("guardian", A)
    assert told.begin("mdns", A)  # another kind is another trouble
    assert said(capfd) == ["A", "A"]


def test_faults_that_never_repeat_are_not_kept_for_ever(
    log: Journal, capfd: pytest.CaptureFixture[str]
) -> None:
    told = Troubles(log, Timers())
    texts = [f"pid {number}" for number in range(troubles.MOST_SAID)]
    assert all(told.begin("guardian", text) for text in [A, *texts, A])
    assert said(capfd) == ["A", "A"]
