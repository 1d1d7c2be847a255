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


def test_what_others_cause_is_said_so_often_and_shown_always(
    log: Journal, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is on the network may cause it, with other words each time."""
    clock = [10**15]
    monkeypatch.setattr(troubles, "boottime", lambda: clock[0])
    told = Troubles(log, Timers())
    kinds = [f"member n{number}" for number in range(500)]
    alarms = [told.begin(kind, f"{kind} speaks nonsense") for kind in kinds]
    assert sum(alarms) == troubles.ALARMS_AT_ONCE
    assert len(told.present) == 500
    for kind in kinds:
        told.end(kind)
    assert len(capfd.readouterr().err.splitlines()) == troubles.LINES_AT_ONCE
    assert told.begin("state-files", A), "our own troubles are told beside that"
    clock[0] += 60 * 10**9
    assert [told.begin("name-taken", text) for text in (A, B)] == [True, False]
    assert "suppressed=970" in capfd.readouterr().err


def test_a_text_that_others_make_long_has_an_end(log: Journal) -> None:
    told = Troubles(log, Timers())
    told.begin("name-taken", "x" * 5000)
    assert len(told.present["name-taken"]) <= troubles.LONGEST_TEXT + 2
