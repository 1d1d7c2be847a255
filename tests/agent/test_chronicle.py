"""What is noted of members: anybody may join where there is no key."""

from __future__ import annotations

import pytest

from followtheleader import chronicle
from followtheleader.host.journal import Journal


def test_notes_are_a_few_hundred_at_once_and_few_then(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [10**15]
    monkeypatch.setattr(chronicle, "boottime", lambda: clock[0])
    notes = chronicle.Notes(Journal.open("svc", fd=2))
    for number in range(1000):
        notes.tell("member-joined", f"member n{number}", {"peer": None})
    assert len(capfd.readouterr().err.splitlines()) == chronicle.NOTES_AT_ONCE
    clock[0] += 60 * 10**9
    for number in range(1000):
        notes.tell("member-joined", f"member n{number}", {"peer": None})
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == chronicle.NOTES
    assert "left_out=700" in lines[0]
