"""``keygen``: what it makes is a key file, nothing is overwritten, nobody is told the secret."""

from __future__ import annotations

import os
import re
import stat
import time
from pathlib import Path

import pytest

from cli.command import Result, ftl_agent
from followtheleader.cli import keygen
from followtheleader.config import keyfile
from followtheleader.config.keyfile import NamedKey, parse_keys, read_keys

LINE = re.compile(r"(\S+) ([A-Za-z0-9_-]{43})\n")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def keys(path: Path) -> tuple[NamedKey, ...]:
    return read_keys(str(path))


def secrets_of(path: Path) -> list[str]:
    return [secret for _, secret in LINE.findall(path.read_text())]


def made(*words: str) -> Result:
    result = ftl_agent("keygen", *words)
    assert (result.code, result.err) == (0, ""), result
    return result


def refused(*words: str) -> str:
    result = ftl_agent("keygen", *words)
    assert (result.code, result.out) == (2, ""), result
    return result.err


def test_a_line_for_a_key_file() -> None:
    out = made("new").out
    line = LINE.fullmatch(out)
    assert line is not None
    assert line[1] == "new"
    assert parse_keys(out.encode(), "k")[0].name == "new"
    assert made("new").out != out


def test_without_a_name_it_is_the_day() -> None:
    days = {time.strftime("%Y-%m-%d")}
    name = made().out.split()[0]
    assert name in days | {time.strftime("%Y-%m-%d")}


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "svc.key"
    out = made("old", "-o", str(path)).out
    assert [key.name for key in keys(path)] == ["old"]
    group = keyfile.group_of_agent() if os.geteuid() == 0 else None
    assert mode(path) == (0o640 if group else 0o600)
    assert "copy it to every node" in out
    assert secrets_of(path)[0] not in out
    assert os.listdir(tmp_path) == ["svc.key"], "nothing is left over"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")
def test_root_makes_it_for_the_agents_unit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(keyfile, "group_of_agent", lambda: 4711)
    path = tmp_path / "svc.key"
    assert keygen.main(["-o", str(path)]) == 0
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (0, 4711, 0o640)
    assert keygen.main(["--add", str(path)]) == 0
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (0, 4711, 0o640)
    assert "(mode 0640)" in capsys.readouterr().out


def test_a_file_that_exists_stays(tmp_path: Path) -> None:
    path = tmp_path / "svc.key"
    made("-o", str(path))
    before = path.read_bytes()
    assert f"{path} exists; add a key to it with --add {path}" in refused("-o", str(path))
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    assert "exists" in refused("-o", str(link))
    assert path.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()
    assert "cannot be written: No such file or directory" in refused("-o", f"{tmp_path}/no/svc.key")


def test_keys_are_added_behind_the_others(tmp_path: Path) -> None:
    path = tmp_path / "svc.key"
    made("old", "-o", str(path))
    path.write_text(path.read_text().rstrip("\n"))
    path.chmod(0o400)
    out = made("new", "--add", str(path)).out
    assert [key.name for key in keys(path)] == ["old", "new"]
    assert "key new added; old still signs" in out
    assert mode(path) == 0o400
    assert not any(secret in out for secret in secrets_of(path))
    for _ in range(2):
        made("--add", str(path))
    day = time.strftime("%Y-%m-%d")
    assert [key.name for key in keys(path)][2:] == [day, f"{day}.1"]


def test_a_link_stays_one(tmp_path: Path) -> None:
    path, link = tmp_path / "svc.key", tmp_path / "link"
    made("old", "-o", str(path))
    link.symlink_to(path)
    made("new", "--add", str(link))
    assert link.is_symlink()
    assert len(keys(path)) == 2


def test_a_file_at_fault_gets_no_key_more(tmp_path: Path) -> None:
    path = tmp_path / "svc.key"
    made("old", "-o", str(path))
    before = path.read_text()
    told = refused("old", "--add", str(path))
    assert "key: 'old' is given twice" in told
    path.write_text(before + "second 1111\n")
    assert "the secret of 'second' is too short" in refused("--add", str(path))
    path.write_text(before)
    path.chmod(0o644)
    assert "can be read by others (mode 0644), run ch" in refused("--add", str(path))
    assert path.read_text() == before
    assert "does not exist" in refused("--add", str(tmp_path / "other.key"))


def test_wrong_usage() -> None:
    assert "-o or --add, not both" in refused("-o", "/a", "--add", "/b")
    secret = "c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIzNDU2Nzg5"
    told = refused(secret)
    assert "this is no name of a key" in told
    assert secret not in told


def test_a_full_disk_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "svc.key"
    assert keygen.main(["old", "-o", str(path)]) == 0
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for words in (["-o", str(tmp_path / "other")], ["--add", str(path)]):
        with pytest.raises(Exception, match="No space left on device"):
            keygen.main(words)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["svc.key"]
