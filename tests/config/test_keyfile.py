"""The key file: what it may hold and who may read it; no fault ever shows a secret."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.test_files import without_privileges
from followtheleader.config import keyfile, load
from followtheleader.config.keyfile import KeyFileFault, key_id, parse_keys, read_keys
from followtheleader.config.loader import examine
from followtheleader.config.settings import Settings
from followtheleader.config.stages import stage
from followtheleader.errors import ConfigError

BAD = Path(__file__).parent / "bad_keys"
FILES = sorted(BAD.glob("*.key"))
SECRET = "Zk3vX9q_4LmT8rB1yWc7HdJ0uEaNfPgSoKiVhCxQ2A5"
OTHER = "c2VjcmV0LXNlY3JldC1zZWNyZXQtMTIzNDU2Nzg5"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to others")


def faults(data: bytes, name: str = "svc.key") -> str:
    """Every fault of a file that holds ``data``; empty if it has none."""
    try:
        parse_keys(data, name)
    except (KeyFileFault, ConfigError) as fault:
        return str(fault)
    return ""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.stem))
def test_a_bad_file_tells_every_fault_and_no_secret(path: Path) -> None:
    told = faults(path.read_bytes(), path.name) + "\n"
    golden = path.with_suffix(".txt")
    if os.environ.get("FTL_GOLDEN") == "rewrite":
        golden.write_text(told)
    assert told == golden.read_text()
    words = re.findall(r"\S{4,}", path.read_bytes().decode(errors="replace"))
    lines = [line.partition(": ")[2] for line in told.splitlines()]
    shown = [word for word in words if len(word) > 20 and any(word in line for line in lines)]
    assert not shown


def test_what_a_good_file_holds() -> None:
    text = f"# comment\n\n  new\t{SECRET}  \r\nold {OTHER}==\n#off {OTHER}"
    new, old = parse_keys(text.encode(), "svc.key")
    assert (new.name, old.name) == ("new", "old")
    assert (new.id, old.id) == (key_id("new"), key_id("old"))
    assert len(new.secret) == len(old.secret) == 32
    assert new.secret != old.secret
    assert SECRET not in repr((new, old))
    assert repr(new.secret) not in repr(new)


def test_members_agree_whatever_the_order_of_their_lines() -> None:
    lines = [f"new {SECRET}", f"old {OTHER}"]
    forth, back = (parse_keys("\n".join(order).encode(), "k") for order in (lines, lines[::-1]))
    assert set(forth) == set(back)
    assert [k.name for k in back] == ["old", "new"]


def test_a_number_is_a_byte_and_never_0() -> None:
    assert {key_id(f"n{number}") for number in range(5000)} == set(range(1, 256))
    assert key_id("2026-11") == 55, "the protocol: no build may count otherwise"


@pytest.mark.parametrize("make", [secrets.token_hex, secrets.token_urlsafe])
@given(st.integers(16, 60))
def test_what_random_bytes_make_is_long_enough(make: object, size: int) -> None:
    assert callable(make)
    assert faults(f"a {make(size)}\n".encode()) == ""


@given(st.binary(max_size=300))
def test_any_bytes_are_keys_or_a_fault(data: bytes) -> None:
    faults(data)


WORDS = st.text(st.characters(codec="utf-8"), max_size=20)


@given(WORDS, WORDS, WORDS)
def test_wherever_the_secret_stands_it_is_not_shown(a: str, b: str, c: str) -> None:
    for line in (f"{a}{SECRET}{b} {c}", f"{a} {b}{SECRET}{c}", f"{a} {b} {SECRET}{c}"):
        assert SECRET not in faults(line.encode())


# -- where it lies


def written(folder: Path, mode: int = 0o600, text: str = f"new {SECRET}\n") -> Path:
    path = folder / "svc.key"
    path.write_text(text)
    path.chmod(mode)
    return path


def wrong(path: Path) -> str:
    with pytest.raises(KeyFileFault) as caught:
        read_keys(str(path))
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_its_owner_alone_may_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "group_of_agent", lambda: None)
    for mode in (0o600, 0o400):
        assert len(read_keys(str(written(tmp_path, mode)))) == 1
    path = written(tmp_path, 0o644)
    assert wrong(path) == f"{path} can be read by others (mode 0644), run chmod 600 {path}"
    assert "can be read by others (mode 0604)" in wrong(written(tmp_path, 0o604))
    assert "can be changed by others (mode 0622)" in wrong(written(tmp_path, 0o622))


@needs_root
def test_group_ftl_may_read_it_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyfile, "group_of_agent", lambda: 4711)
    path = written(tmp_path, 0o640)
    assert len(read_keys(str(path))) == 1, "group root"
    os.chown(path, 0, 4711)
    assert len(read_keys(str(path))) == 1
    os.chown(path, 0, 4712)
    cure = f"run chown root:ftl {path} && chmod 640 {path}"
    assert wrong(path) == f"{path} can be read by group 4712 (mode 0640), {cure}"
    os.chown(path, 0, 4711)
    path.chmod(0o660)
    assert wrong(path) == f"{path} can be changed by others (mode 0660), {cure}"
    path.chmod(0o640)
    os.chown(path, 4711, 4711)
    assert wrong(path) == f"{path} belongs to uid 4711, who can change it, {cure}"


@needs_root
def test_an_ordinary_users_file_needs_no_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "group_of_agent", lambda: 4711)
    path = Path("/tmp") / f"ftl-{secrets.token_hex(4)}.key"
    try:
        path.touch(0o644)
        path.chmod(0o644)
        os.chown(path, 65534, 65534)
        with without_privileges():
            told = wrong(path)
    finally:
        path.unlink()
    assert told.endswith(f"(mode 0644), run chmod 600 {path}")


@needs_root
def test_the_agents_unit_may_not_be_able_to_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root asks, and may read everything."""
    path = written(tmp_path, 0o600)
    monkeypatch.setattr(keyfile, "group_of_agent", lambda: None)
    assert keyfile.why_not_for_agent(str(path)) is None
    monkeypatch.setattr(keyfile, "group_of_agent", lambda: 4711)
    assert "cannot be read by user ftl" in (keyfile.why_not_for_agent(str(path)) or "")
    os.chown(path, 0, 4711)
    path.chmod(0o640)
    assert keyfile.why_not_for_agent(str(path)) is None
    assert keyfile.why_not_for_agent("/nowhere/svc.key") is None


def test_what_is_no_file_of_keys(tmp_path: Path) -> None:
    path = tmp_path / "svc.key"
    assert "does not exist, copy it from another node, or run ftl-agent keygen -o" in wrong(path)
    assert "is a directory, name a file of keys" in wrong(tmp_path)
    os.mkfifo(path)
    assert "is not a regular file" in wrong(path)
    assert "symbolic links" in wrong(_loop(tmp_path))
    path.unlink()
    huge = written(tmp_path, text="#" * (64 * 1024 + 1))
    assert "has more than 64 KiB" in wrong(huge)
    assert "holds no key, add one: ftl-agent keygen --add" in wrong(written(tmp_path, text=""))


def _loop(folder: Path) -> Path:
    path = folder / "loop"
    path.symlink_to("loop")
    return path


@needs_root
def test_who_may_not_read_it_is_told_so() -> None:
    path = Path("/tmp") / f"ftl-{secrets.token_hex(4)}.key"  # where nobody may look, too
    try:
        path.touch(0o600)
        with without_privileges() as uid:
            told = wrong(path)
    finally:
        path.unlink()
    assert f"cannot be read by uid {uid} (Permission denied), ask as root; the agent needs" in told


def test_a_link_to_it_will_do(tmp_path: Path) -> None:
    """Secrets are put in place by links."""
    link = tmp_path / "link"
    link.symlink_to(written(tmp_path))
    assert len(read_keys(str(link))) == 1


# -- from the configuration


def configured(folder: Path, text: str) -> Settings:
    (folder / "svc.yaml").write_text(f"node: a\n{text}")
    return load(str(folder / "svc.yaml"))


def test_a_configuration_reads_its_keys(tmp_path: Path) -> None:
    path = written(tmp_path)
    settings = configured(tmp_path, f"key_file: {path}\n")
    assert [key.name for key in settings.keys] == ["new"]
    assert SECRET not in repr(settings)
    assert "step 3 of 3" in stage(settings)


def test_faults_of_both_files_are_told_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, text="new short\n")
    with pytest.raises(ConfigError) as caught:
        configured(tmp_path, f"key_file: {path}\nprioritty: 1\n")
    yaml, key = caught.value.faults
    assert yaml.startswith(f"{tmp_path}/svc.yaml:3:1: prioritty: ")
    assert key.startswith(f"{path}:1:1: key: the secret of 'new' is too short: 30 bits at most")


def test_credentials_of_systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(tmp_path)
    text = "key_file: ${CREDENTIALS_DIRECTORY}/svc.key\n"
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert [key.name for key in configured(tmp_path, text).keys] == ["new"]

    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    with pytest.raises(ConfigError, match="CREDENTIALS_DIRECTORY is not set"):
        configured(tmp_path, text)
    outside = examine(str(tmp_path / "svc.yaml"))
    assert outside.settings is not None, "check runs outside of the unit"
    assert "which only the unit can read" in stage(outside.settings)


def test_hooks_are_read_without_the_keys(tmp_path: Path) -> None:
    """The guardian has no business with them, and does not stand still for them either."""
    (tmp_path / "svc.yaml").write_text("node: a\nkey_file: /nowhere/svc.key\n")
    assert load_without(tmp_path).keys == ()


def load_without(folder: Path) -> Settings:
    from followtheleader.config import loader

    return loader.load(str(folder / "svc.yaml"), keys=False)
