"""Local users against one host's agent and guardian: who can do what, tried out as each of them.

The guardian is root's and the agent is an ordinary user's, as their units start them.
"""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lab.hosts import agent_command
from lab.household import (
    AGENT,
    IN_GROUP,
    PLAIN,
    Household,
    as_user,
    becoming,
    missing_for_households,
)
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
try:
    s.connect(sys.argv[1])
    s.sendall(sys.argv[2].encode() + b"\\n")
    print(s.recv(65536).decode())
except OSError as error:
    print(type(error).__name__)
"""
# Two names change their places, again and again, until it is killed or its time is over.
SWAP = """
import ctypes, os, sys, time
libc, end = ctypes.CDLL(None, use_errno=True), time.monotonic() + 60
one, other = (os.fsencode(path) for path in sys.argv[1:3])
print("swapping", flush=True)
while time.monotonic() < end:
    libc.renameat2(-100, one, -100, other, 2)
"""
OWN_FILES = ("role", "leader", "state.json")


@pytest.fixture(name="house")
def fixture_house() -> Iterator[Household]:
    if missing := missing_for_households():
        pytest.skip(missing)
    with Household() as house:
        yield house


def ask(
    user: int, path: Path, request: str = '{"command":"resume"}', groups: tuple[int, ...] = ()
) -> str:
    done = as_user(user, sys.executable, "-c", ASK, path, request, groups=groups)
    return (done.stdout + done.stderr).strip()


def treasure_in(house: Household) -> Path:
    """A directory of root's, in which files have the names of ours."""
    place = house.base / "treasure"
    place.mkdir()
    for name in OWN_FILES:
        (place / name).write_text("root's\n")
    return place


def is_whole(treasure: Path) -> bool:
    found = {path.name: (path.read_text(), path.stat().st_uid) for path in treasure.iterdir()}
    return found == dict.fromkeys(OWN_FILES, ("root's\n", 0))


def test_who_may_ask_what(house: Household) -> None:
    house.start_agent()
    status, control = house.runtime / "status.sock", house.runtime / "control.sock"
    for user, groups in ((PLAIN, ()), (IN_GROUP, (AGENT,)), (AGENT, ())):
        assert ask(user, status, "role", groups) == "leader"
        assert "unknown command" in ask(user, status, groups=groups)
        commands = "PermissionError" if user == PLAIN else '{"done":true}'
        assert ask(user, control, groups=groups) == commands
        if user != AGENT:
            assert ask(user, house.door, "{}", groups) == "PermissionError"
    assert house.status()["role"] == "leader"


def test_the_agents_user_is_not_the_agent(house: Household) -> None:
    """It may connect, waits while the agent is served, and is then sent away with its name."""
    house.start_agent()
    stranger = subprocess.Popen(
        [*becoming(AGENT), sys.executable, "-c", ASK, str(house.door), '{"m":"hello","pid":1}'],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    house.end_agent()
    said, _ = stranger.communicate(timeout=30)
    assert said.strip() in ("", "BrokenPipeError", "ConnectionResetError")
    told = f"process {stranger.pid} (uid {AGENT}, unit "
    wait_until(lambda: told in house.tail(), 10, "it is named", house.tail)
    assert "is refused: only ftl-agent@svc.service may come in" in house.tail()


def test_a_directory_that_becomes_a_link_and_back(house: Household) -> None:
    """The agent's user owns the name; the guardian takes away what lies there and says leader."""
    treasure = treasure_in(house)
    link = house.run / "link"
    for _ in range(4):
        agent = house.start_agent()
        link.unlink(missing_ok=True)
        as_user(AGENT, "ln", "-s", treasure, link)
        swapper = subprocess.Popen(
            [*becoming(AGENT), sys.executable, "-c", SWAP, str(house.runtime), str(link)],
            stdout=subprocess.PIPE,
        )
        try:
            assert swapper.stdout is not None
            swapper.stdout.readline()
            agent.kill()
            house.end_agent()
            house.wait_guardian_gone()
        finally:
            swapper.kill()
            swapper.communicate()
        assert is_whole(treasure)
        if house.runtime.is_symlink():
            house.runtime.unlink()
            link.rename(house.runtime)
        for name in OWN_FILES:
            (house.runtime / name).unlink(missing_ok=True)


def test_a_hook_that_is_reached_through_a_directory_of_theirs(house: Household) -> None:
    """Whatever it leads to at the moment of the look, it is not run."""
    mine, theirs = house.base / "ran", house.base / "theirs"
    theirs.mkdir()
    os.chown(theirs, AGENT, AGENT)
    program = theirs / "program"
    program.write_text(f"#!/bin/sh\ntouch {mine}\n")
    program.chmod(0o755)
    good, bad = theirs / "good", theirs / "bad"
    good.symlink_to("/bin/true")
    bad.symlink_to(program)
    os.lchown(bad, AGENT, AGENT)
    house.configure(f"hooks:\n  on_leader: {good}\n  on_failure: step-down\n")
    swapper = subprocess.Popen(
        [*becoming(AGENT), sys.executable, "-c", SWAP, str(good), str(bad)],
        stdout=subprocess.PIPE,
    )
    try:
        house.start_agent()
        told = f"{theirs}: uid {AGENT}"
        wait_until(lambda: told in house.log.read_text(), 20, "it is refused", house.tail)
        wait_until(lambda: house.role != "leader", 20, "it leads no more", house.tail)
    finally:
        swapper.kill()
        swapper.communicate()
    assert not mine.exists()


MODES = {
    "role": 0o644,
    "leader": 0o644,
    "state.json": 0o644,
    "status.sock": 0o666,
    "control.sock": 0o660,
    "lock": 0o600,  # who can read it can hold it against the next agent
}


def modes_in(place: Path) -> dict[Path, int]:
    """Of all files there; those that are gone by the time of the look are none."""
    found = {}
    for path in place.rglob("*"):
        with suppress(FileNotFoundError):
            found[path] = stat.S_IMODE(path.lstat().st_mode)
    return found


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_modes_are_ours_and_not_the_umasks(house: Household, umask: int) -> None:
    house.start_agent(umask)
    expected = {house.runtime / name: mode for name, mode in MODES.items()}
    wait_until(
        lambda: expected.items() <= modes_in(house.runtime).items(),
        20,
        "all is there as it should be",
        lambda: f"{modes_in(house.runtime)}\n{house.tail()}",
    )
    written = modes_in(house.runtime) | modes_in(house.state)
    open_to_others = {path for path, mode in written.items() if mode & 0o022}
    assert open_to_others <= {house.runtime / "status.sock", house.runtime / "control.sock"}
    guardians = modes_in(house.base / "guardian")
    assert set(guardians.values()) == {0o600}
    assert stat.S_IMODE((house.base / "guardian").stat().st_mode) == 0o700


def test_who_can_read_nothing_can_hold_nothing_up(house: Household) -> None:
    """The file of tokens: a reader's lock would keep every command out."""
    file = house.run / "token"
    words = ["fence", "--token-file", str(file), "--wait", "0.2s", "--token"]
    assert as_user(AGENT, *agent_command(), *words, 1, "--", "true").returncode == 0
    hold = "import fcntl, sys; fcntl.lockf(open(sys.argv[1]), fcntl.LOCK_SH)"
    for user, groups in ((PLAIN, ()), (IN_GROUP, (AGENT,))):
        held = as_user(user, sys.executable, "-c", hold, file, groups=groups)
        assert "PermissionError" in held.stderr
    assert as_user(AGENT, *agent_command(), *words, 2, "--", "true").returncode == 0


def test_strangers_that_ask_without_pause_move_nothing(house: Household) -> None:
    """Eight of them, some thousand answers a second: the leader renews in between."""
    house.start_agent()
    began = house.status()
    asking = (
        "import socket, sys, time; end = time.monotonic() + 3; answers = 0\n"
        "while time.monotonic() < end:\n"
        "    s = socket.socket(socket.AF_UNIX); s.settimeout(10); s.connect(sys.argv[1])\n"
        '    s.sendall(b\'{"command":"status"}\\n\')\n'
        "    while s.recv(65536): answers += 1\n"
        "    s.close()\n"
        "print(answers)"
    )
    words = [*becoming(PLAIN), sys.executable, "-c", asking, str(house.runtime / "status.sock")]
    askers = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(8)]
    answered = [int(asker.communicate(timeout=60)[0]) for asker in askers]
    assert min(answered) > 0
    ended = house.status()
    assert (ended["role"], ended["change"]) == ("leader", began["change"])
    assert ended["problems"] == began["problems"]


def test_a_stranger_cannot_fill_the_sockets(house: Household) -> None:
    """As many connections as it may have, and nothing said: others are answered all the same."""
    house.start_agent()
    hoard = (
        "import socket, sys, time; held = []\n"
        "for _ in range(500):\n"
        "    s = socket.socket(socket.AF_UNIX); s.setblocking(False); held.append(s)\n"
        "    try: s.connect(sys.argv[1])\n"
        "    except BlockingIOError: pass\n"
        "print('full', flush=True); time.sleep(30)"
    )
    place = str(house.runtime / "status.sock")
    hoarder = subprocess.Popen(
        [*becoming(PLAIN), sys.executable, "-c", hoard, place], stdout=subprocess.PIPE
    )
    try:
        assert hoarder.stdout is not None
        hoarder.stdout.readline()
        wait_until(lambda: house.status().get("role") == "leader", 20, "it answers", house.tail)
        assert ask(AGENT, house.runtime / "control.sock") == '{"done":true}'
    finally:
        hoarder.kill()
        hoarder.communicate()
    assert house.role == "leader"
