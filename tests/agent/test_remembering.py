"""A disk that stalls, and a machine without room for a thread: neither leadership nor end waits.

The disk is a FIFO beside the file, opened before that is written: opening it waits for a reader.
"""

from __future__ import annotations

import asyncio
import os
import stat
import threading
from pathlib import Path

import pytest

from agent.listener import Listener
from agent.stand import PATIENCE, Stand
from followtheleader import remembering
from followtheleader.core.types import Owner
from followtheleader.core.view import MemberView
from followtheleader.host import files, members
from followtheleader.remembering import Remembering
from lab.waiting import wait_until

STALLING = """
import os
from followtheleader.host import files
def write_slowly(path, data, mode, durable, whole=files._write):
    disk = os.path.join(os.path.dirname(path), "disk")
    if path.endswith("/.members.json.new") and os.path.exists(disk):
        with open(disk, "wb") as stalled:
            stalled.write(b"works again")
        os.unlink(disk)
    whole(path, data, mode, durable)
files._write = write_slowly
"""
NO_ROOM = "import threading; threading.stack_size(1 << 50)"


def stall(state: Path) -> Path:
    """Have whoever writes the members wait until somebody reads the path that is returned."""
    fifo = state / "disk"
    os.mkfifo(fifo)
    return fifo


@pytest.fixture(name="stalling")
def fixture_stalling(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same in this process."""
    monkeypatch.setattr(files, "_write", files._write)
    exec(STALLING, {})  # noqa: S102


def writers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "members"]


def let_go(fifo: Path) -> None:
    """The disk works again."""
    assert fifo.read_bytes()


def test_an_agent_leads_and_ends_while_its_disk_stalls(stand: Stand) -> None:
    node = stand.node()
    node.state.mkdir()
    fifo = stall(node.state)
    node.start(code=STALLING).wait_role("leader")
    stand.wait(lambda: stand.begun(node) == ["leader"], "on_leader")
    assert node.stop() == 0
    assert "Traceback" not in node.log
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert not (node.state / "members.json").exists()


def test_who_was_not_heard_for_a_month_is_not_waited_for(stand: Stand) -> None:
    """A start with remembered members that stay silent waits for them; once."""
    node = stand.node()
    node.state.mkdir()
    gone = members.RememberedMember(7, "gone", ("192.0.2.1", 9001), 1_577_836_800_000)
    members.store(str(node.state), None, [gone])
    node.start().wait_role("leader")
    stand.wait(lambda: members.load(str(node.state)).port is not None, "the port is remembered")
    assert node.stop() == 0
    assert members.load(str(node.state)).members == ()


def test_an_agent_leads_and_ends_without_room_for_a_thread(stand: Stand) -> None:
    node = stand.node().start(code=NO_ROOM)
    node.wait_role("leader")
    told = f"{node.state}: members are not remembered: can't start new thread; raise `TasksMax=`"
    assert told in node.problems
    assert node.stop() == 0


@pytest.mark.usefixtures("stalling")
def test_a_writer_that_ends_late_is_not_heard(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "LEAVE_WITHIN_SECONDS", 0.05)
    fifo, listener = stall(tmp_path), Listener()

    async def main() -> None:
        kept = Remembering(str(tmp_path), tuple[MemberView, ...], listener)
        kept.begin(9001)
        async with asyncio.timeout(PATIENCE):
            await kept.close()
        assert writers()
        let_go(fifo)
        wait_until(lambda: not writers(), PATIENCE, "the writer has ended")
        await asyncio.sleep(0)  # what it has handed to the loop comes in its next round

    asyncio.run(main())
    assert (listener.troubles, listener.reliefs) == ([], [])


@pytest.mark.usefixtures("stalling")
def test_who_leaves_waits_for_what_changed_while_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remembering, "LEAVE_WITHIN_SECONDS", PATIENCE)
    fifo, listener = stall(tmp_path), Listener()
    late = MemberView(
        id=5,
        owner=Owner(5, 1),
        name="late",
        address=("10.0.0.5", 9001),
        priority=100,
        witness=False,
        voter=False,
        versions=(1, 1),
        version=1,
        quorum=False,
        other_voters=False,
        doubled=False,
        other_timing=False,
        heard_at=None,
    )
    present: list[MemberView] = []

    async def main() -> None:
        kept = Remembering(str(tmp_path), lambda: present, listener)
        kept.begin(9001)
        present.append(late)
        kept.soon()
        leaving = asyncio.create_task(kept.close())
        await asyncio.sleep(0)
        assert not leaving.done()
        let_go(fifo)
        async with asyncio.timeout(PATIENCE):
            await leaving

    asyncio.run(main())
    assert listener.reliefs == ["members-file"] * 2
    assert [member.name for member in members.load(str(tmp_path)).members] == ["late"]


def test_what_could_not_be_written_is_written_when_the_disk_is_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody joins or leaves meanwhile: it is tried again all the same."""
    monkeypatch.setattr(remembering, "RETRY_SECONDS", 0.05)
    listener, in_the_way = Listener(), tmp_path / ".members.json.new"
    in_the_way.mkdir()

    async def main() -> None:
        kept = Remembering(str(tmp_path), tuple[MemberView, ...], listener)
        kept.begin(9001)
        async with asyncio.timeout(PATIENCE):
            while not listener.troubles:
                await asyncio.sleep(0.005)
            assert not listener.reliefs
            in_the_way.rmdir()
            while not listener.reliefs:
                await asyncio.sleep(0.005)
            await kept.close()

    asyncio.run(main())
    assert {kind for kind, _ in listener.troubles} == {"members-file"}
    assert members.load(str(tmp_path)).port == 9001
