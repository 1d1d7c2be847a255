"""Death of the agent, of the guardian, and of both; the last will."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from guardian.stand import MS, SECOND, Stand, is_alive, now, processes_of, wait_until

RELEASE = b"\xf2\x01\x08" + b"r" * 60


@pytest.fixture
def peer() -> Iterator[socket.socket]:
    """Another member, as far as a last will is concerned."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as endpoint:
        endpoint.bind(("127.0.0.1", 0))
        endpoint.setblocking(False)
        yield endpoint


def heard(peer: socket.socket, seconds: float = 0) -> list[bytes]:
    poll = select.poll()
    poll.register(peer, select.POLLIN)
    got = []
    while poll.poll(seconds * 1000):
        got.append(peer.recv(2048))
        seconds = 0.1 if seconds else 0
    return got


def uptime_of(stand: Stand, what: str, event: str) -> float:
    return stand.wait_line(what, event).uptime


def test_the_agent_is_killed(stand: Stand, peer: socket.socket) -> None:
    stand.configure(leader="sleep 1000", follower="sleep 0.1")
    (stand.runtime / "role").write_text("leader\n")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1, term=7)
    pid = agent.wait("started", change=1)["pid"]
    died_at = agent.kill()
    wait_until(lambda: not (stand.runtime / "role").exists(), "the role file is gone")
    unlinked_at = now()
    line = stand.wait_line("begin", "follower")
    begun_at = now()
    assert not heard(peer), "the will was sent before on_follower had ended"
    assert (line.reason, line.replay, line.term) == ("agent-died", "0", "7")
    assert not is_alive(pid)
    stand.wait_line("end", "follower")
    assert heard(peer, 2) == [RELEASE] * 3
    agent.wait_guardian_gone()
    assert not (stand.runtime / "guardian" / "will.json").exists()
    unlinked, begun = (unlinked_at - died_at) / MS, (begun_at - died_at) / MS
    print(f"death to role file gone {unlinked:.1f} ms, to on_follower's first line {begun:.1f} ms")
    assert begun_at - died_at < 5 * SECOND, "long before the lease ends"


def test_the_agent_is_killed_after_its_job_was_lost(stand: Stand, peer: socket.socket) -> None:
    """A running on_follower is finished, then the will is sent: it was not withdrawn."""
    stand.configure(follower="sleep 0.3")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.follow(1)
    stand.wait_line("begin", "follower")
    agent.kill()
    assert heard(peer, 5) == [RELEASE] * 3
    assert [line.what for line in stand.lines()] == ["begin", "end"]
    agent.wait_guardian_gone()


def test_a_follower_without_a_will_dies(stand: Stand, peer: socket.socket) -> None:
    stand.configure()
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.will()
    agent.follow(1)
    agent.wait("settled", change=1)
    agent.kill()
    agent.wait_guardian_gone()
    assert heard(peer) == []
    assert len(stand.lines()) == 2


def test_a_dead_follower_leaves_no_state_files(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.follow(1)
    agent.wait("settled", change=1)
    (stand.runtime / "role").write_text("follower\n")
    agent.kill()
    agent.wait_guardian_gone()
    assert not (stand.runtime / "role").exists()
    assert len(stand.lines()) == 2, "nothing was owed"


def test_goodbye(stand: Stand, peer: socket.socket) -> None:
    stand.configure(follower="sleep 0.2")
    (stand.runtime / "role").write_text("follower\n")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1)
    agent.wait("settled", change=1)
    agent.follow(2)
    agent.do(do="bye")
    agent.do(do="quit")
    agent.wait_guardian_gone()
    assert [line.what for line in stand.lines()] == ["begin", "end"] * 2
    assert heard(peer) == []
    assert (stand.runtime / "role").exists(), "its files are the agent's own business"
    assert not (stand.runtime / "guardian" / "will.json").exists()


def test_goodbye_just_before_death(stand: Stand, peer: socket.socket) -> None:
    """What the agent said last was true when it died."""
    stand.configure()
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1)
    agent.wait("settled", change=1)
    agent.signal_guardian(signal.SIGSTOP)
    agent.follow(2)
    agent.do(do="bye")
    agent.do(do="quit")
    agent.process.wait()
    agent.signal_guardian(signal.SIGCONT)
    agent.wait_guardian_gone()
    assert heard(peer) == []
    assert [line.event for line in stand.lines() if line.what == "begin"] == ["leader", "follower"]
    assert stand.lines()[-1].reason == "x"


def test_a_leader_that_says_goodbye_and_nothing_else(stand: Stand, peer: socket.socket) -> None:
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1)
    pid = agent.wait("started", change=1)["pid"]
    agent.do(do="bye")
    agent.do(do="quit")
    assert stand.wait_line("end", "follower").reason == "agent-left"
    agent.wait_guardian_gone()
    assert not is_alive(pid)
    assert heard(peer) == []


def test_both_are_killed_and_the_next_guardian_replays(stand: Stand, peer: socket.socket) -> None:
    pid_file = stand.folder / "pid"
    stand.configure(leader=f"setsid sleep 1000 & echo $! > {pid_file}; sleep 1000")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1, term=5)
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text().strip()), "the job runs")
    agent.signal_guardian(signal.SIGKILL)
    agent.wait_guardian_gone()
    agent.kill()
    server = int(pid_file.read_text())
    assert is_alive(server)
    second = stand.start()
    ready = second.wait("ready")
    assert (ready["last"], ready["replayed"]) == ("follower", True)
    line = stand.wait_line("end", "follower")
    assert (line.replay, line.term, line.reason) == ("1", "5", "replay")
    assert not is_alive(server)
    assert processes_of(agent.guardian) == []
    assert heard(peer, 2) == [RELEASE] * 3
    assert second.all("settled") == [], "the second agent never knew of that change"
    second.do(do="quit")
    second.wait_guardian_gone()
    third = stand.start()
    assert third.wait("ready")["replayed"] is False
    assert len([x for x in stand.lines() if (x.what, x.event) == ("begin", "follower")]) == 1


def test_a_daemon_without_a_marker_is_found_by_the_next_guardian(stand: Stand) -> None:
    pid_file = stand.folder / "pid"
    daemon = f"env -i setsid sh -c 'echo $$ > {pid_file}; exec sleep 1000'"
    stand.configure(leader=f"( {daemon} & ) ; while [ ! -s {pid_file} ]; do sleep 0.01; done")
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1)
    server = int(pid_file.read_text())
    record = stand.runtime / "guardian" / "record.json"
    wait_until(lambda: f"[{server}, " in record.read_text(), "the job is written down")
    agent.signal_guardian(signal.SIGKILL)
    agent.wait_guardian_gone()
    agent.kill()
    assert is_alive(server)
    stand.start()
    assert not is_alive(server)


def test_a_daemon_is_written_down_soon_after_it_has_begun(stand: Stand) -> None:
    """Long after its hook has ended, too; then an earlier guardian's death hides nothing."""
    pid_file = stand.folder / "pid"
    daemon = f"env -i setsid sh -c 'sleep 1; echo $$ > {pid_file}; sleep 1000 & wait'"
    stand.configure(leader=f"( {daemon} & )")
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1)
    wait_until(lambda: pid_file.exists() and bool(pid_file.read_text().strip()), "the job runs")
    record = stand.runtime / "guardian" / "record.json"
    wait_until(lambda: len(json.loads(record.read_text())["job"]) == 2, "it is on record", 2.5)


def test_only_the_guardian_is_killed(stand: Stand, peer: socket.socket) -> None:
    """The agent lives: its job is ended by the next guardian, its will is not sent."""
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1)
    pid = agent.wait("started", change=1)["pid"]
    agent.signal_guardian(signal.SIGKILL)
    agent.wait("lost")
    second = stand.start()
    assert second.wait("ready")["replayed"] is True
    assert not is_alive(pid)
    assert stand.wait_line("end", "follower").replay == "1"
    assert heard(peer, 0.1) == []


def test_the_next_guardian_waits_for_the_earlier_one(stand: Stand) -> None:
    stand.configure(leader="sleep 1000", follower="sleep 0.4")
    agent = stand.start()
    agent.lead(1)
    agent.wait("started", change=1)
    agent.kill()
    second = stand.start()
    ready = second.wait("ready")
    assert (ready["last"], ready["replayed"]) == ("follower", False)
    assert [(x.what, x.event) for x in stand.lines()][-1] == ("end", "follower")
    assert agent.is_guardian_gone()


def test_events_sent_before_ready_are_kept(stand: Stand) -> None:
    stand.configure()
    agent = stand.start(wait_ready=False)
    agent.lead(1)
    agent.wait("settled", change=1, ok=True)
    assert [m["m"] for m in agent.messages][:3] == ["pid", "ready", "started"]


def test_sigterm_while_leading(stand: Stand, peer: socket.socket) -> None:
    """Job and on_follower end first; a living agent resigns itself, a dead one by its will."""
    stand.configure(leader="sleep 1000", follower="sleep 0.2")
    (stand.runtime / "role").write_text("leader\n")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1)
    agent.wait("started", change=1)
    agent.signal_guardian(signal.SIGTERM)
    agent.wait("expired")
    agent.wait("settled", change=1, event="follower")
    assert not (stand.runtime / "role").exists()
    assert stand.wait_line("end", "follower").reason == "guardian-stopped"
    agent.follow(2)
    agent.wait("settled", change=2)
    assert heard(peer) == []
    agent.kill()
    assert heard(peer, 5) == [RELEASE] * 3
    agent.wait_guardian_gone()


def test_sigterm_with_an_agent_that_stays(stand: Stand, peer: socket.socket) -> None:
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.will(("127.0.0.1", peer.getsockname()[1], RELEASE))
    agent.lead(1)
    agent.wait("started", change=1)
    agent.signal_guardian(signal.SIGTERM)
    agent.wait_guardian_gone()
    agent.wait("lost")
    assert stand.lines()[-1].what == "end"
    assert heard(peer) == [], "a will must not silence an agent that lives"


def test_sigterm_in_the_middle_of_on_follower(stand: Stand) -> None:
    stand.configure(follower="sleep 0.4")
    agent = stand.start()
    agent.lead(1)
    agent.follow(2)
    stand.wait_line("begin", "follower")
    agent.signal_guardian(signal.SIGTERM)
    agent.kill()
    agent.wait_guardian_gone()
    assert stand.lines()[-1].what == "end"


def test_sigint_is_for_the_agent(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.signal_guardian(signal.SIGINT)
    agent.follow(1)
    agent.wait("settled", change=1)
    ignored = int(field(agent.guardian, "SigIgn"), 16)
    assert ignored >> (signal.SIGINT - 1) & 1


def test_hooks_do_not_inherit_what_the_guardian_ignores(stand: Stand) -> None:
    stand.configure(leader="grep SigIgn /proc/self/status")
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1)
    (line,) = [m["line"] for m in agent.all("output", event="leader")]
    # What every child ignores here: a shell that runs the tests behind its back ignores SIGQUIT.
    anyway = subprocess.check_output(["grep", "SigIgn", "/proc/self/status"], text=True)
    ordinary = (1 << 31) - 1  # beyond are the C library's own
    assert int(line.split()[1], 16) & ~int(anyway.split()[1], 16) & ordinary == 0


def test_memory(stand: Stand) -> None:
    """Printed, not held: what is shared depends on what else runs."""
    stand.configure()
    agent = stand.start()
    agent.will(("127.0.0.1", 9, RELEASE))
    agent.lead(1)
    agent.wait("settled", change=1)
    text = Path(f"/proc/{agent.guardian}/smaps_rollup").read_text()
    print(next(line for line in text.splitlines() if line.startswith("Pss:")))
    modules = Path(f"/proc/{agent.guardian}/maps").read_text()
    assert "_asyncio" not in modules
    assert "_ssl" not in modules
    assert os.path.basename(field(agent.guardian, "Name")) == "ftl-guardian"


def field(pid: int, name: str) -> str:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    raise AssertionError(name)


def test_the_next_guardian_is_no_more_polite_than_the_lease(stand: Stand) -> None:
    """Both died, and the others have waited long enough."""
    asked = stand.folder / "asked"
    # Its output has no reader then: a shell that says "Terminated" would die of that.
    job = (
        f"exec > /dev/null 2>&1; trap 'touch {asked}' TERM; say armed; while :; do sleep 0.01; done"
    )
    stand.configure(leader=job)
    agent = stand.start()
    agent.do(do="renew", span=400 * MS, every=50 * MS, stop_timeout=300 * MS, quorum=True)
    agent.event("leader", 1, role="leader", term=1)
    stand.wait_line("armed", "leader")
    pid = agent.wait("started", change=1)["pid"]
    agent.signal_guardian(signal.SIGKILL)
    agent.wait_guardian_gone()
    died_at = agent.kill()
    wait_until(lambda: now() > died_at + 750 * MS, "deadline and stop_timeout are over")
    assert is_alive(pid)
    second = stand.start()
    assert second.wait("ready")["replayed"] is True
    assert not is_alive(pid)
    assert not asked.exists()


def test_the_record_follows_the_lease(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.do(do="renew", span=10 * SECOND, every=50 * MS, stop_timeout=3, quorum=True)
    agent.event("leader", 1, role="leader", term=1)
    agent.wait("settled", change=1)
    record = stand.runtime / "guardian" / "record.json"
    since = now()

    def is_fresh() -> bool:
        saved = json.loads(record.read_text())
        assert (saved["stop_timeout"], saved["quorum"], saved["owed"]) == (3, True, True)
        return bool(saved["deadline"] > since + 10 * SECOND + 200 * MS)

    wait_until(is_fresh, "a renewed deadline is written down", 5)


def test_a_damaged_record_hides_no_job(stand: Stand) -> None:
    """The job is found by what its environment says; another instance's job is left alone."""
    stand.configure(leader="env -u FTL_EVENT_ID sleep 1000 & sleep 1000")
    other = Stand(stand.folder / "other")
    other.configure(leader="sleep 1000")
    agents = []
    for each in (stand, other):
        agent = each.start()
        agent.lead(1, term=6)
        each.wait_line("begin", "leader")
        agent.signal_guardian(signal.SIGKILL)
        agent.wait_guardian_gone()
        agent.kill()
        agents.append(agent)
    try:
        assert processes_of(agents[0].guardian)
        (stand.runtime / "guardian" / "record.json").write_bytes(b"{")
        second = stand.start()
        assert second.wait("ready")["replayed"] is True
        assert processes_of(agents[0].guardian) == []
        assert processes_of(agents[1].guardian) != []
        line = stand.wait_line("end", "follower")
        assert (line.replay, line.term, line.reason) == ("1", "6", "replay")
    finally:
        other.close()
