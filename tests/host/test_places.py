"""Whose sockets are believed: never those that another user may have put there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from followtheleader.host import places

STRANGER = 4_000_000_000 + os.getpid()
"""A uid that nobody has, so that its place in /tmp is free; tests run beside each other."""


@pytest.fixture
def planted() -> Iterator[Path]:
    """/tmp/ftl-UID with an agent's socket, made by us."""
    place = Path(f"/tmp/ftl-{STRANGER}")
    (place / "svc").mkdir(parents=True)
    place.chmod(0o700)
    (place / "svc" / places.STATUS_SOCKET).touch()
    yield place
    (place / "svc" / places.STATUS_SOCKET).unlink()
    (place / "svc").rmdir()
    place.rmdir()


@pytest.fixture(autouse=True)
def no_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)


def test_another_users_directory_in_tmp_is_not_believed(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert places.own_runtimes("svc") == []
    assert places.locate("svc") == "/run/ftl/svc"


def test_ones_own_is_unless_others_may_write_to_it(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies at the path of this user, whoever that is: here the uid in its name is changed."""
    monkeypatch.setattr(places, "user_runtimes", lambda instance: [f"{planted}/{instance}"])
    assert places.locate("svc") == f"{planted}/svc"
    for mode in (0o777, 0o770, 0o722):
        planted.chmod(mode)
        assert places.locate("svc") == "/run/ftl/svc"


def test_a_runtime_directory_that_was_kept_from_another_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ftl" / "svc").mkdir(parents=True)
    (tmp_path / "ftl" / "svc" / places.STATUS_SOCKET).touch()
    tmp_path.chmod(0o700)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert places.locate("svc") == f"{tmp_path}/ftl/svc"
    monkeypatch.setattr(os, "geteuid", lambda: STRANGER)
    assert places.locate("svc") == "/run/ftl/svc"
