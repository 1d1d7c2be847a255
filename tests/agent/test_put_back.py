"""What somebody removes while an agent runs: noticed, put back, and said."""

from __future__ import annotations

import fcntl
import json
import os
import signal
from contextlib import suppress
from pathlib import Path

from agent.stand import CANNOT_OVERRIDE, Node, Stand
from lab.waiting import holds_for

SOON = "from followtheleader import agent; agent.LOOK_SECONDS = 0.1"
EVERYTHING = ("role", "leader", "state.json", "status.sock", "control.sock", "lock")


def start_leader(node: Node) -> Node:
    node.start(code=SOON, prefix=CANNOT_OVERRIDE).wait_role("leader")
    node.stand.wait(lambda: node.stand.lines(node)[1:], "on_leader has ended")
    return node


def is_whole(node: Node) -> bool:
    there = all((node.runtime / name).exists() for name in EVERYTHING)
    return there and (node.folder / "role-link").read_text() == f"{node.role}\n"


def test_each_file_and_socket(stand: Stand) -> None:
    node = start_leader(stand.node())
    change = node.status()["change"]
    removed = [node.runtime / name for name in EVERYTHING] + [node.folder / "role-link"]
    for path in removed:
        path.unlink()
    stand.wait(lambda: is_whole(node), "everything is there again")
    stand.wait(lambda: "removed or changed by somebody; put back" in node.log, "it is said")
    line = next(line for line in node.log.splitlines() if "put back" in line)
    assert [path for path in removed if str(path) not in line] == []
    assert node.role == "leader"
    assert (node.status()["change"], node.ask("step-down")) == (change, {"done": True})


def test_a_file_that_says_something_else(stand: Stand) -> None:
    node = start_leader(stand.node())
    for name, text in (("role", "follower\n"), ("leader", "x"), ("state.json", "")):
        (node.runtime / name).write_text(text)
    stand.wait(lambda: node.role == "leader", "the truth again")
    stand.wait(lambda: (node.runtime / "leader").read_text() == "", "an empty flag")
    assert json.loads((node.runtime / "state.json").read_text())["role"] == "leader"


def test_the_whole_runtime_directory(stand: Stand) -> None:
    node = start_leader(stand.node())
    first, change = node.process, node.status()["change"]
    os.rename(node.runtime, stand.folder / "elsewhere")
    stand.wait(lambda: is_whole(node), "everything is there again")
    record, hooks = (node.runtime / "guardian" / f"{name}.json" for name in ("record", "hooks"))
    stand.wait(lambda: record.exists() and hooks.exists(), "the guardian's directory too")
    assert (node.role, node.status()["change"]) == ("leader", change)
    assert f"{record.parent} was removed: made again" in node.log

    node.start()
    assert node.wait_end() == 78
    assert "held by the agent with pid" in node.log
    node.process = first
    # What is owed is on record again: the next guardian finds it.
    os.kill(node.guardian, signal.SIGKILL)
    stand.wait(lambda: stand.begun(node) == ["leader", "follower", "leader"], "made good")
    assert node.stop() == 0
    assert stand.begun(node)[3:] == ["follower"]
    assert not (node.runtime / "role").exists()


def test_a_directory_that_cannot_be_made_again(stand: Stand) -> None:
    a, b = stand.group("ab")
    start_leader(a)
    b.start()
    stand.wait(lambda: b.status().get("leader"), "b follows")
    a.folder.chmod(0o555)
    os.rename(a.runtime, stand.folder / "elsewhere")
    b.wait_role("leader")
    told = f"{a.runtime}: cannot be created by uid {os.geteuid()}: Permission denied; make it"
    assert told in a.log
    holds_for(lambda: a.log.count(told) <= 2, 0.5, "for the files and the sockets, once each")
    a.folder.chmod(0o755)
    a.wait_role("follower")
    stand.wait(lambda: a.status() and not a.problems, "all is well")
    assert stand.begun(a) == ["leader", "follower"]


def test_locks_that_another_agent_has_taken(stand: Stand) -> None:
    a, b = stand.group("ab")
    start_leader(a)
    b.start()
    stand.wait(lambda: b.status().get("leader"), "b follows")
    other = stand.folder / "other-lock"
    with other.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("4711\n")
        file.flush()
        other.rename(a.runtime / "lock")
        (a.runtime / "role").unlink()
        b.wait_role("leader")
        held = f"{a.runtime}/lock: held by the agent with pid 4711; stop that one first"
        stand.wait(lambda: held in a.problems, "why is told")
        holds_for(lambda: not (a.runtime / "role").exists(), 0.5, "the files are that agent's")
    a.wait_role("follower")
    stand.wait(lambda: not a.problems, "all is well")
    assert stand.begun(a) == ["leader", "follower"]


def test_a_lock_that_cannot_be_made_hides_no_role(stand: Stand) -> None:
    node = start_leader(stand.node())
    (node.state / "lock").unlink()
    (node.state / "lock").mkdir()
    (node.runtime / "role").unlink()
    (node.runtime / "status.sock").unlink()
    stand.wait(lambda: node.status().get("role") == node.role == "leader", "all else is back")
    stand.wait(lambda: f"{node.state}/lock: " in node.problems, "and the lock is told")
    (node.state / "lock").rmdir()
    stand.wait(lambda: not node.problems, "all is well")


def test_a_directory_that_cannot_be_written_any_more(stand: Stand) -> None:
    node = start_leader(stand.node())
    node.runtime.chmod(0o555)
    assert node.ask("step-down") == {"done": True}
    stand.wait(lambda: node.role == "follower", "the role is written over")
    assert json.loads((node.runtime / "state.json").read_text())["role"] == "follower"
    flag = node.runtime / "leader"
    stand.wait(lambda: f"{flag}: cannot be unlinked" in node.problems, "the flag is told")
    assert "make the directory writable and remove it" in node.problems
    node.runtime.chmod(0o755)
    stand.wait(lambda: not node.problems, "all is well")


def test_trouble_that_comes_and_goes_is_said_once(stand: Stand) -> None:
    """As on a full disk, where whatever is removed makes room for a moment."""
    code = (
        "from followtheleader import agent, troubles\n"
        "agent.STATE_FILE_RETRY_SECONDS = 0.05; troubles.QUIET_SECONDS = 2\n" + SOON
    )
    node = stand.node(hooks={"on_failure": "ignore"}).start(code=code)
    node.wait_role("leader")
    in_the_way: Path = node.runtime / "state.json"
    for _ in range(4):
        in_the_way.unlink()
        in_the_way.mkdir()
        stand.wait(lambda: node.problems, "told")
        in_the_way.rmdir()
        stand.wait(lambda: not node.problems, "it works")
    assert node.log.count("a directory is in the way") == 1
    assert "state-files works again" not in node.log
    stand.wait(lambda: "state-files works again" in node.log, "mended for a while")
    assert node.log.count("a directory is in the way") == 1


OWN_TMPFS = 'mount -t tmpfs -o size=64k,mode=755 none "$0" && exec "$@"'


def test_a_full_disk_is_told_once(stand: Stand) -> None:
    """What is removed for want of room makes room for the next attempt, and so on."""
    node = stand.node()
    node.runtime.mkdir()
    rights = ("-r", "--mount") if os.geteuid() else ("--mount",)
    code = "from followtheleader import agent, troubles\n"
    code += "agent.STATE_FILE_RETRY_SECONDS = 0.05; troubles.QUIET_SECONDS = 2\n" + SOON
    node.start(code=code, prefix=("unshare", *rights, "sh", "-c", OWN_TMPFS, str(node.runtime)))
    real = Path(f"/proc/{node.pid}/root{node.runtime}")
    stand.wait(lambda: stand.lines(node)[1:], "it leads, and everything is written")
    filler = real / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    for _ in range(4):
        (real / "role").unlink(missing_ok=True)  # found by the next look
        stand.wait((real / "role").exists, "there is room for it again")
    told = [
        node.log.count(f"{node.runtime}/{n}: cannot be written") for n in ("role", "state.json")
    ]
    assert 1 <= sum(told) <= 2
    assert max(told) == 1
    assert "state-files works again" not in node.log
    filler.unlink()
    stand.wait(lambda: node.log.count("state-files works again") == 1, "mended for a while")
