"""The state files: what a reader may see at any moment, also on a full disk."""

from __future__ import annotations

import json
import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from followtheleader.host.statefiles import StateFiles


def contents(directory: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(directory.iterdir())}


def test_each_role_shows_in_all_files(tmp_path: Path) -> None:
    state = StateFiles(str(tmp_path))
    state.publish("candidate", {"term": 0})
    assert contents(tmp_path) == {"role": "candidate\n", "state.json": '{"term":0}\n'}
    state.publish("leader", {"term": 7, "leader": "höst"})
    assert contents(tmp_path) == {
        "leader": "",
        "role": "leader\n",
        "state.json": '{"term":7,"leader":"höst"}\n',
    }
    state.publish("follower", {"term": 8})
    assert contents(tmp_path) == {"role": "follower\n", "state.json": '{"term":8}\n'}
    assert state.withdraw()
    assert contents(tmp_path) == {}


def test_files_are_readable_by_all_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        StateFiles(str(tmp_path)).publish("leader", {})
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"leader": 0o644, "role": 0o644, "state.json": 0o644}


def test_role_file_is_replaced_only_when_the_role_changes(tmp_path: Path) -> None:
    state = StateFiles(str(tmp_path))
    state.publish("follower", {"members": 1})
    first = (tmp_path / "role").stat().st_ino
    with open(tmp_path / "role"):  # Held open, so that its inode is not given out again.
        state.publish("follower", {"members": 2})
        assert (tmp_path / "role").stat().st_ino == first
        assert json.loads((tmp_path / "state.json").read_text()) == {"members": 2}
        state.publish("candidate", {})
        assert (tmp_path / "role").stat().st_ino != first


def test_what_somebody_removed_comes_back(tmp_path: Path) -> None:
    state = StateFiles(str(tmp_path))
    state.publish("leader", {})
    for name in ("role", "leader"):
        (tmp_path / name).unlink()
    state.publish("leader", {})
    assert sorted(contents(tmp_path)) == ["leader", "role", "state.json"]


# Looks until the end of its stdin; whatever it reads must be whole.
WATCHER = """
import json, os, select, sys
os.chdir(sys.argv[1])
looks = 0
while not select.select([0], [], [], 0)[0]:
    role = open("role").read()
    assert role in ("leader\\n", "follower\\n"), role
    assert json.load(open("state.json"))["filler"] == "x" * 5000
    looks += 1
print(looks)
"""


def test_readers_never_see_half_a_role(tmp_path: Path) -> None:
    state = StateFiles(str(tmp_path))
    facts = {"filler": "x" * 5000}
    state.publish("follower", facts)
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", WATCHER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as watcher:
        for change in range(2000):
            state.publish(("leader", "follower")[change % 2], facts)
        looks, _ = watcher.communicate("", timeout=20)
    assert watcher.returncode == 0
    assert int(looks) > 0


def test_order_of_gain_and_loss(tmp_path: Path) -> None:
    """Seen through the kernel: gain writes role and state before the flag, loss the flag first."""
    traced = subprocess.run(
        [sys.executable, "-c", ORDER, str(tmp_path)], capture_output=True, text=True, timeout=20
    )
    assert traced.stderr == ""
    assert traced.stdout.split() == [
        *("rename:role", "rename:state.json", "rename:leader"),
        *("remove:leader", "rename:role", "rename:state.json"),
    ]


# An audit hook sees every rename and removal, whatever code does it.
ORDER = """
import os, sys
def hook(event, arguments):
    if event in ("os.rename", "os.remove"):
        name = os.path.basename(arguments[1] if event == "os.rename" else arguments[0])
        if not name.startswith("."):
            print(event[3:] + ":" + name)
from followtheleader.host.statefiles import StateFiles
state = StateFiles(sys.argv[1])
sys.addaudithook(hook)
state.publish("leader", {})
state.publish("follower", {})
"""


# In a process of its own: the limit would also stop pytest from writing its report to a file.
FULL_DISK = """
import resource, sys
from followtheleader.errors import StateError
from followtheleader.host.statefiles import StateFiles
state = StateFiles(sys.argv[1])
state.publish("leader", {"term": 1})
(__import__("pathlib").Path(sys.argv[1]) / "role").unlink()
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    state.publish(sys.argv[2], {"term": 2})
except StateError as error:
    sys.exit(str(error))
"""


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_on_a_full_disk_nothing_says_leader(role: str, tmp_path: Path) -> None:
    """Every write fails (Python ignores SIGXFSZ, so EFBIG is what we get)."""
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path), role]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    assert re.search(r"/role: cannot be written by uid \d+: .*;", done.stderr)
    assert contents(tmp_path) == {}


def test_link_moves_and_goes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    state = StateFiles(str(tmp_path / "svc"), str(first))
    (tmp_path / "svc").mkdir()
    state.publish("follower", {})
    assert state.link() is None
    state.move_link(str(second))
    assert not os.path.lexists(first)
    assert state.link() is None
    assert second.read_text() == "follower\n"
    state.move_link(None)
    assert state.link() is None
    assert not os.path.lexists(second)
    assert state.missing() == []

    first.write_text("of somebody else")
    state.move_link(str(first))
    state.move_link(str(second))
    assert first.read_text() == "of somebody else"


def test_link_follows_the_role(tmp_path: Path) -> None:
    (tmp_path / "svc").mkdir()
    link = tmp_path / "role"
    state = StateFiles(str(tmp_path / "svc"), str(link))
    state.publish("follower", {})
    assert state.link() is None
    assert state.link() is None
    assert link.read_text() == "follower\n"
    state.unlink_link()
    assert not os.path.lexists(link)


def test_link_replaces_a_link_of_another(tmp_path: Path) -> None:
    link = tmp_path / "role"
    link.symlink_to("/nonexistent/role")
    state = StateFiles(str(tmp_path), str(link))
    state.unlink_link()
    assert os.readlink(link) == "/nonexistent/role"
    state = StateFiles(str(tmp_path / "svc"), str(link))
    assert state.link() is None
    assert os.readlink(link) == f"{tmp_path}/svc/role"
    assert sorted(os.listdir(tmp_path)) == ["role"]


def test_link_of_an_instance_that_is_there_stays(tmp_path: Path) -> None:
    """Two that claim one link would swap it for ever. The second takes it after the first."""
    link = tmp_path / "link"
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (StateFiles(str(tmp_path / name), str(link)) for name in ("a", "b"))
    first.publish("leader", {})
    second.publish("follower", {})
    assert first.link() is None
    agent = socket.socket(socket.AF_UNIX)
    agent.bind(str(tmp_path / "a/status.sock"))
    agent.listen()
    refused = second.link()
    assert refused == (
        f"{link}: leads to {tmp_path}/a/role, the role of another instance; let only one be "
        "`primary`, or set role_file for one of them"
    )
    assert link.read_text() == "leader\n"
    assert second.lacks_link
    assert second.missing() == []
    agent.close()  # killed: its files stay
    assert second.link() is None
    assert link.read_text() == "follower\n"
    assert not second.lacks_link


def test_link_never_replaces_a_file(tmp_path: Path) -> None:
    file = tmp_path / "role"
    file.write_text("mine\n")
    state = StateFiles(str(tmp_path / "svc"), str(file))
    assert (
        state.link() == f"{file}: is not a link, so it stays as it is; remove it or set role_file"
    )
    state.unlink_link()
    assert file.read_text() == "mine\n"


def test_link_says_why_not(tmp_path: Path) -> None:
    state = StateFiles(str(tmp_path), f"{tmp_path}/missing/role")
    reason = state.link()
    assert reason is not None
    assert reason.startswith(f"{tmp_path}/missing/role: no link to the role, uid ")
    assert StateFiles(str(tmp_path)).link() is None


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    link = tmp_path / "link"
    state = StateFiles(str(tmp_path), str(link))
    assert state.missing() == []
    state.publish("leader", {})
    assert state.link() is None
    assert state.missing() == []
    (tmp_path / "role").write_text("follower\n")
    (tmp_path / "leader").unlink()
    link.unlink()
    assert sorted(state.missing()) == [f"{tmp_path}/{name}" for name in ("leader", "link", "role")]
    state.publish("leader", {})
    state.link()
    assert (state.missing(), link.read_text()) == ([], "leader\n")
    state.publish("follower", {})
    assert state.missing() == []
    state.withdraw()
    assert state.missing() == []  # nothing is published
