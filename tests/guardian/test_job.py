"""The end of the job: whatever on_leader has started is gone before on_follower begins."""

from __future__ import annotations

import os
import resource
import signal
import time
from pathlib import Path

import pytest

from guardian.stand import MS, SECOND, Agent, Stand, is_alive, now, wait_until

# Two forks and a session of its own; what follows runs as a daemon that only its pid file betrays.
DAEMON = (
    "( setsid sh -c '( {env} sh -c \"echo \\$\\$ > {pid}; exec sleep 1000\" & ) ' & ) & sleep 0.05"
)


def pid_in(path: Path) -> int:
    wait_until(lambda: path.exists() and path.read_text().strip() != "", f"{path.name} is written")
    return int(path.read_text())


def lead_and_lose(agent: Agent, stop_timeout: int = 0) -> None:
    agent.lead(1, stop_timeout=stop_timeout)
    agent.wait("settled", change=1, event="leader")
    agent.follow(2)
    agent.wait("settled", change=2, event="follower")


@pytest.mark.parametrize("env", ["", "env -i"], ids=["marked", "unmarked"])
def test_a_daemon_does_not_outlive_the_role(stand: Stand, env: str) -> None:
    pid_file = stand.folder / "pid"
    alive_at_follower = stand.folder / "alive"
    stand.configure(
        leader=DAEMON.format(env=env, pid=pid_file),
        # What has ended and is not collected yet can still be signalled.
        follower=f"grep -qs '^State:.[^ZX]' /proc/$(cat {pid_file})/status"
        f" && touch {alive_at_follower}",
    )
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1, ok=True)
    daemon = pid_in(pid_file)
    assert is_alive(daemon)
    agent.follow(2)
    agent.wait("settled", change=2)
    assert not is_alive(daemon)
    assert not alive_at_follower.exists()


def test_a_running_on_leader_is_asked_first(stand: Stand) -> None:
    armed = stand.folder / "armed"
    trap = "trap 'say asked; kill $!; exit 0' TERM"
    stand.configure(leader=f"sleep 1000 & {trap}; touch {armed}; wait")
    agent = stand.start()
    agent.lead(1)
    wait_until(armed.exists, "the hook can be asked")
    agent.follow(2)
    agent.wait("settled", change=2)
    assert [line.what for line in stand.lines()] == ["begin", "asked", "begin", "end"]
    ended = agent.wait("ended", change=1)
    assert (ended["why"], ended["rc"]) == ("lost", 0)
    assert agent.wait("settled", change=1)["ok"]


def test_a_stopped_process_hears_that_it_must_end(stand: Stand) -> None:
    stand.configure(leader="kill -STOP $$")
    agent = stand.start()
    agent.lead(1)
    pid = agent.wait("started", change=1)["pid"]
    wait_until(lambda: ") T" in Path(f"/proc/{pid}/stat").read_text(), "the hook has stopped")
    at = now()
    agent.follow(2)
    assert agent.wait("settled", change=2)["at"] - at < 2 * SECOND, "it had to be killed"


def test_a_job_that_ignores_sigterm_is_killed_after_two_seconds(stand: Stand) -> None:
    deaf = stand.folder / "deaf"
    stand.configure(leader=f"trap '' TERM; touch {deaf}; sleep 1000 & sleep 1000")
    agent = stand.start()
    agent.lead(1)
    wait_until(deaf.exists, "it does not hear SIGTERM any more")
    at = now()
    agent.follow(2)
    settled = agent.wait("settled", change=2)
    assert 2 * SECOND <= settled["at"] - at < 5 * SECOND
    assert agent.wait("ended", change=1)["rc"] == -signal.SIGKILL


def test_a_shorter_stop_timeout_is_kept(stand: Stand) -> None:
    stand.configure(leader="trap '' TERM; say deaf; sleep 1000 & sleep 1000")
    agent = stand.start()
    agent.lead(1, stop_timeout=300 * MS)
    stand.wait_line("deaf", "leader")
    at = now()
    agent.follow(2)
    settled = agent.wait("settled", change=2)
    assert 300 * MS <= settled["at"] - at < 1900 * MS


def test_the_job_is_dead_by_deadline_and_stop_timeout(stand: Stand) -> None:
    """The role is given up shortly before the deadline: not the whole stop_timeout is left."""
    stand.configure(leader="trap '' TERM; sleep 1000 & sleep 1000")
    agent = stand.start()
    at = now()
    agent.lead(1, span=700 * MS, stop_timeout=SECOND)
    pid = agent.wait("started", change=1)["pid"]
    agent.wait("expired")
    wait_until(lambda: not is_alive(pid), "the job is dead")
    assert SECOND + 700 * MS <= now() - at < SECOND + 1600 * MS


def test_a_storm_of_forks_is_ended(stand: Stand) -> None:
    """Every process has a session of its own and a successor before it can be signalled."""
    storm = stand.folder / "storm.py"
    storm.write_text(
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "while True:\n"
        "    if os.fork():\n"
        "        os._exit(0)\n"
        "    os.setsid()\n"
        "    time.sleep(0.001)\n"
    )
    stand.configure(leader=f"for i in 1 2 3; do env -i python3 -S {storm} & done; sleep 0.2")
    agent = stand.start()
    lead_and_lose(agent, stop_timeout=100 * MS)
    living = [entry for entry in os.listdir("/proc") if entry.isdigit()]
    storms = [pid for pid in living if str(storm) in command_of(pid)]
    assert storms == []


def command_of(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def test_what_on_follower_leaves_running_is_not_part_of_the_job(stand: Stand) -> None:
    pid_file = stand.folder / "pid"
    stand.configure(
        follower=f"[ -e {pid_file} ] || {{ {DAEMON.format(env='env -i', pid=pid_file)}; }}"
    )
    agent = stand.start()
    agent.follow(1)
    agent.wait("settled", change=1)
    standby = pid_in(pid_file)
    agent.lead(2)
    agent.wait("settled", change=2)
    agent.follow(3)
    agent.wait("settled", change=3)
    try:
        assert is_alive(standby)
    finally:
        os.kill(standby, signal.SIGKILL)


def test_no_zombie_is_left(stand: Stand) -> None:
    stand.configure(leader="for i in 1 2 3; do (sleep 0.01 &) & done")
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1)
    children = Path(f"/proc/{agent.guardian}/task/{agent.guardian}/children")
    wait_until(lambda: children.read_text() == "", "all children are collected")


def test_what_cannot_be_seen_has_not_ended(stand: Stand) -> None:
    """A guardian without a free descriptor cannot look; it must not conclude that all is well."""
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.lead(1)
    pid = agent.wait("started", change=1)["pid"]
    before = resource.prlimit(agent.guardian, resource.RLIMIT_NOFILE)
    resource.prlimit(agent.guardian, resource.RLIMIT_NOFILE, (8, before[1]))
    agent.follow(2)
    wait_until(lambda: bool(agent.all("output", hook="guardian")), "it says so")
    assert "/proc" in agent.all("output", hook="guardian")[0]["line"]
    assert is_alive(pid)
    assert agent.all("settled") == []
    resource.prlimit(agent.guardian, resource.RLIMIT_NOFILE, before)
    agent.wait("settled", change=2)
    assert not is_alive(pid)
    assert stand.lines()[-1].event == "follower"


def test_a_job_that_may_not_be_signalled(stand: Stand) -> None:
    """The guardian of an ordinary user, and a job that runs as somebody else."""
    if os.geteuid() != 0:
        pytest.skip("needs root to become two users")
    stand.configure(leader="exec setpriv --reuid 65533 --clear-groups sleep 1000")
    agent = stand.start(prefix=("setpriv", "--bounding-set", "-kill", "--inh-caps", "-kill"))
    agent.lead(1)
    pid = agent.wait("started", change=1)["pid"]
    status = Path(f"/proc/{pid}/status")
    wait_until(lambda: "Uid:\t65533\t65533" in status.read_text(), "the job is somebody else's")
    agent.follow(2)
    said = agent.wait("output", hook="guardian")["line"]
    assert str(pid) in said
    assert "may not be signalled" in said
    assert agent.all("settled") == []
    os.kill(pid, signal.SIGKILL)
    agent.wait("settled", change=2)
    assert stand.lines()[-1].event == "follower"


POLITE = "trap 'touch {asked}; kill $!; exit 0' TERM; sleep 1000 & wait"


@pytest.mark.parametrize("how", ["lapse", "stop"])
def test_a_quorum_without_stop_timeout_is_not_polite(stand: Stand, how: str) -> None:
    """Others may lead at once, and count on the job's end."""
    asked = stand.folder / "asked"
    stand.configure(leader=POLITE.format(asked=asked))
    agent = stand.start()
    agent.lead(1, span=SECOND if how == "lapse" else 60 * SECOND, quorum=True)
    stand.wait_line("begin", "leader")
    if how == "stop":
        agent.follow(2)
    agent.wait("settled", event="follower")
    assert agent.wait("ended", change=1)["rc"] == -signal.SIGKILL
    assert not asked.exists()


def test_a_job_gets_the_whole_stop_timeout(stand: Stand) -> None:
    stand.configure(
        leader="trap 'sleep 2.3; say stopped; exit 0' TERM; say armed; while :; do sleep 0.01; done"
    )
    agent = stand.start()
    agent.lead(1, span=SECOND, stop_timeout=10 * SECOND, quorum=True)
    stand.wait_line("armed", "leader")
    asked_at = agent.wait("expired")["at"]
    assert agent.wait("settled", event="follower")["at"] - asked_at > 2 * SECOND
    said = [line.what for line in stand.lines() if line.event == "leader"]
    assert said == ["begin", "armed", "stopped"]


def test_a_reload_at_the_moment_of_a_loss(stand: Stand) -> None:
    """The reader of the configuration is a child too; it is not of the job."""
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.lead(1)
    stand.wait_line("begin", "leader")
    fresh = stand.folder / "fresh"
    stand.configure(leader="sleep 1000", follower=f"touch {fresh}")
    stand.hooks["on_follower"] = [[stand.script("on_follower_2", f"touch {fresh}")]]
    stand.write()
    readers: list[str] = []
    asked = [0.0]

    def reader_runs() -> bool:
        # It lives for a tenth of a second, and it may be us who stood still for so long.
        if time.monotonic() - asked[0] > 1:
            agent.do(do="reload")
            asked[0] = time.monotonic()
        children = Path(f"/proc/{agent.guardian}/task/{agent.guardian}/children").read_text()
        readers[:] = [pid for pid in children.split() if "config.hooks" in command_of(pid)]
        return bool(readers)

    wait_until(reader_runs, "the configuration is read")
    os.kill(int(readers[0]), signal.SIGSTOP)
    agent.follow(2)
    agent.wait("settled", change=2)
    os.kill(int(readers[0]), signal.SIGCONT)
    agent.lead(3)
    wait_until(lambda: not is_alive(int(readers[0])), "the configuration has been read")
    agent.wait("started", change=3)
    agent.follow(4)
    agent.wait("settled", change=4)
    hook = agent.wait("ended", change=4, event="follower")["hook"]
    assert hook.endswith("on_follower_2")
    assert not [m for m in agent.all("output", hook="guardian") if "not reloaded" in m["line"]]
