"""What an agent, a disk or an operator can do wrong; the guardian goes on or says why not."""

from __future__ import annotations

import fcntl
import os
import random
import resource
import shutil
from pathlib import Path

import pytest

from guardian.stand import MS, SECOND, Stand, now, wait_until

GARBAGE = [
    "\n",
    "hello\n",
    "[]\n",
    "{}\n",
    '{"m":"hello"}\n',
    '{"m":"hello","pid":1}\n',
    '{"m":"hello","pid":-1}\n',
    '{"m":"lease","deadline":"soon","stop_timeout":0}\n',
    '{"m":"lease","deadline":NaN,"stop_timeout":0}\n',
    '{"m":"lease","deadline":1e400,"stop_timeout":0}\n',
    '{"m":"lease","deadline":true,"stop_timeout":0}\n',
    '{"m":"lease","deadline":1,"stop_timeout":0}\n',
    '{"m":"lease","deadline":1,"stop_timeout":0,"quorum":1}\n',
    '{"m":"event","event":"dance","change":1,"facts":{}}\n',
    '{"m":"event","event":"leader","change":-1,"facts":{}}\n',
    '{"m":"event","event":"leader","change":1,"facts":[]}\n',
    '{"m":"event","event":["leader"],"change":1,"facts":{}}\n',
    '{"m":"will","datagrams":7}\n',
    '{"m":"will","datagrams":[{"to":["example.org",9001],"data":"8gEI"}]}\n',
    '{"m":{"m":1}}\n',
    "[" * 60000 + "\n",
    "9" * 60000 + "\n",
    "x" * 300_000 + "\n",
    "\xff\xfe\x00\n",
]


def test_garbage_is_dropped_and_said(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    for line in GARBAGE:
        agent.do(do="raw", data=line)
    agent.follow(1)
    assert agent.wait("settled", change=1)["ok"]
    said = [m["line"] for m in agent.all("output", hook="guardian")]
    assert len(said) == len(GARBAGE) - 1
    assert all("dropped" in line or "refused" in line for line in said)


def test_random_bytes(stand: Stand) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    draw = random.Random(seed)
    stand.configure()
    agent = stand.start()
    alphabet = bytes(range(256)) + b'\n\n\n{}[]":,mevnt' * 20
    for _ in range(20):
        agent.do(do="raw", data=bytes(draw.choices(alphabet, k=5000)).decode("latin-1"))
        agent.read()
    agent.do(do="raw", data="\n")
    agent.follow(2**40)
    assert agent.wait("settled", change=2**40)["ok"]


def test_a_refused_will_leaves_the_earlier_one(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.will(("127.0.0.1", 9, b"\xf2\x01\x08"))
    agent.will(("127.0.0.1", 9, b"\xf2\x01\x07"))
    assert "RELEASE" in agent.wait("output", hook="guardian")["line"]
    path = stand.runtime / "guardian" / "will.json"
    assert "127.0.0.1" in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_change_that_is_not_new_is_dropped(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.follow(5)
    agent.follow(4)
    assert "not newer" in agent.wait("output", hook="guardian")["line"]
    agent.wait("settled", change=5)
    assert len(stand.lines()) == 2


def test_on_leader_does_not_start_if_it_cannot_be_recorded(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    (stand.runtime / "guardian" / "record.json.new").mkdir()
    agent.lead(1)
    assert not agent.wait("settled", change=1)["ok"]
    assert "record.json" in agent.wait("output", hook="guardian")["line"]
    agent.follow(2)
    agent.wait("settled", change=2)
    assert {line.event for line in stand.lines()} == {"follower"}


def test_the_loss_is_handled_although_the_runtime_directory_is_gone(stand: Stand) -> None:
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.lead(1, span=400 * MS)
    agent.wait("started", change=1)
    shutil.rmtree(stand.runtime)
    agent.wait("settled", change=1, event="follower")
    assert stand.wait_line("end", "follower").reason == "lapsed"


@pytest.mark.parametrize("how", ["file", "link", "mode", "missing"])
def test_a_directory_that_cannot_be_trusted_is_refused(stand: Stand, how: str) -> None:
    stand.configure()
    own = stand.runtime / "guardian"
    match how:
        case "file":
            own.write_text("")
        case "link":
            own.symlink_to(stand.folder)
        case "mode":
            own.mkdir()
            own.chmod(0o755)
        case "missing":
            stand.runtime.rmdir()
    agent = stand.start(wait_ready=False)
    agent.wait("lost")
    agent.wait_guardian_gone()
    assert str(stand.runtime) in agent.stderr.read_text()
    assert "Traceback" not in agent.stderr.read_text()


def test_a_record_that_makes_no_sense(stand: Stand) -> None:
    """Anything may be owed: on_follower is run to be sure."""
    stand.configure()
    own = stand.runtime / "guardian"
    own.mkdir(mode=0o700)
    for text in ("", "{", "[]", '{"last": 1}', '{"owed": true, "last": "leader"}', "\xff"):
        (own / "record.json").write_bytes(text.encode("latin-1"))
        (own / "will.json").write_bytes(text.encode("latin-1"))
        agent = stand.start()
        assert agent.wait("ready")["replayed"] is True
        said = [m["line"] for m in agent.all("output", hook="guardian")]
        assert "record.json makes no sense" in "".join(said)
        agent.do(do="quit")
        agent.wait_guardian_gone()
    rows = [row.split() for row in stand.log.read_text().splitlines()]  # their term is not known
    assert {(row[2], *row[-2:]) for row in rows} == {("follower", "1", "replay")}
    assert len(rows) == 2 * 6


def test_an_idle_guardian_uses_no_processor(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.do(do="renew", span=SECOND, every=200 * MS, stop_timeout=0)
    agent.event("leader", 1, role="leader", term=1)
    agent.wait("settled", change=1)
    agent.follow(2)
    agent.wait("settled", change=2)
    before, until = used(agent.guardian), now() + SECOND // 2
    wait_until(lambda: now() > until, "half a second is over")
    assert used(agent.guardian) - before <= 2


def used(pid: int) -> int:
    """Clock ticks (10 ms) of processor time."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_an_agent_that_reads_nothing_and_sends_a_lot(stand: Stand) -> None:
    """Its answers find no room in the end; its events are still obeyed."""
    stand.configure()
    agent = stand.start()
    agent.do(do="deaf")
    for change in range(1, 3000):
        agent.event("error", 0, role="follower", term=change)
    agent.follow(3001)
    stand.wait_line("end", "follower")
    assert os.path.exists(f"/proc/{agent.guardian}")


def test_nonsense_before_ready_is_nonsense_still(stand: Stand) -> None:
    stand.configure()
    agent = stand.start(wait_ready=False)
    agent.follow(5)
    agent.follow(4)
    agent.follow(6)
    agent.wait("settled", change=6)
    said = [m["line"] for m in agent.all("output", hook="guardian")]
    assert [line for line in said if "change 4 is not newer" in line]


def test_an_agent_that_cannot_be_watched_yet(stand: Stand) -> None:
    """No descriptor is left when it says hello: it is neither dead nor forgotten."""
    stand.configure()
    own = stand.runtime / "guardian"
    own.mkdir(mode=0o700)
    with (own / "lock").open("w") as earlier:
        fcntl.flock(earlier, fcntl.LOCK_EX)
        agent = stand.start(wait_ready=False)
        status = Path(f"/proc/{agent.guardian}/task/{agent.guardian}/children")
        wait_until(lambda: bool(status.read_text()), "it has the configuration read")
        before = resource.prlimit(agent.guardian, resource.RLIMIT_NOFILE)
        resource.prlimit(agent.guardian, resource.RLIMIT_NOFILE, (8, before[1]))
    said = agent.wait("output", hook="guardian")["line"]
    assert "tried again" in said
    assert not agent.is_guardian_gone()
    assert agent.all("ready") == []
    resource.prlimit(agent.guardian, resource.RLIMIT_NOFILE, before)
    assert agent.wait("ready")["replayed"] is False
    agent.lead(1)
    agent.wait("settled", change=1, ok=True)
