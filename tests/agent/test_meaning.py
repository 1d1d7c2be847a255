"""What a configuration means on this host: who makes the role link, and what the kernel hides."""

from __future__ import annotations

from pathlib import Path

import pytest

from followtheleader import answers, meaning
from followtheleader.config.loader import parse


@pytest.mark.parametrize(
    ("others", "text", "makes"),
    [
        ([], "", True),
        (["db.yaml"], "", False),
        (["db.yaml"], "primary: true", True),
        (["svc.yaml.old"], "", True),
        (None, "", True),
    ],
    ids=["the only one", "one of two", "the primary", "a backup", "its own file moved away"],
)
def test_who_makes_the_role_link(
    others: list[str] | None,
    text: str,
    makes: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(meaning, "CONFIG_DIR", str(tmp_path))
    for name in (*(others or ()), *(() if others is None else ("svc.yaml",))):
        (tmp_path / name).touch()
    settings = parse(text.encode(), str(tmp_path / "svc.yaml"), host_name="h1")
    assert (meaning.role_link(settings) is not None) is makes


def test_a_directory_that_cannot_be_read_says_nothing_of_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A leader's link must not go because a descriptor is missing."""
    monkeypatch.setattr(meaning, "CONFIG_DIR", str(tmp_path / "gone"))
    settings = parse(b"", str(tmp_path / "gone/svc.yaml"), host_name="h1")
    assert meaning.role_link(settings) == meaning.DEFAULT_ROLE_FILE


def test_a_kernel_that_does_not_answer_ends_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """No descriptor is left, say: status and the own address go without."""

    def refuse(_: tuple[str, ...] = ()) -> list[object]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(answers, "usable", refuse)
    monkeypatch.setattr(meaning, "usable", refuse)
    assert answers._told(()) == []
    assert meaning.own_address(parse(b"", "/nowhere/svc.yaml", host_name="h1")) == ""
