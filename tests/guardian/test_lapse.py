"""The deadline: it is kept although the agent is frozen, late, or silent."""

from __future__ import annotations

import os
import select
import signal
from contextlib import suppress
from pathlib import Path

from followtheleader.config.timeline import GUARDIAN_WAKES
from guardian.stand import MS, SECOND, Stand, is_alive, now, wait_until


def state_files(stand: Stand) -> None:
    for name in ("role", "leader", "state.json"):
        (stand.runtime / name).write_text("leader\n")


def test_a_frozen_agent_loses_its_job_at_the_deadline(stand: Stand) -> None:
    stand.configure(leader="sleep 1000")
    state_files(stand)
    agent = stand.start()
    agent.do(do="renew", span=600 * MS, every=50 * MS, stop_timeout=0)
    agent.event("leader", 1, role="leader", term=4)
    pid = agent.wait("started", change=1)["pid"]
    agent.signal(signal.SIGSTOP)
    at = now()
    wait_until(lambda: not (stand.runtime / "role").exists(), "the role file is gone", 5)
    assert 250 * MS < now() - at < 3 * SECOND
    line = stand.wait_line("end", "follower")
    assert (line.reason, line.replay, line.term) == ("lapsed", "0", "4")
    assert not is_alive(pid)
    assert not (stand.runtime / "leader").exists()
    assert not (stand.runtime / "state.json").exists()
    agent.signal(signal.SIGCONT)
    agent.wait("expired")
    assert agent.wait("settled", event="follower")["change"] == 1


def test_the_agent_resumes_and_the_same_loss_is_not_hooked_twice(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.lead(1, span=200 * MS)
    agent.wait("settled", change=1, event="follower")
    agent.follow(2)
    agent.wait("settled", change=2, event="follower")
    agent.event("follower", 3, role="follower", term=3)
    agent.wait("settled", change=3)
    begun = [(x.event, x.reason) for x in stand.lines() if x.what == "begin"]
    assert begun == [("leader", "-"), ("follower", "lapsed"), ("follower", "-")]


def test_the_agent_tells_the_loss_while_on_follower_runs(stand: Stand) -> None:
    stand.configure(follower="sleep 0.3")
    agent = stand.start()
    agent.lead(1, span=100 * MS)
    agent.wait("started", event="follower")
    agent.follow(2)
    agent.wait("settled", change=1, event="follower")
    ended = agent.wait("ended", event="follower")
    assert [(m["change"], m["event"]) for m in agent.all("settled")] == [
        (1, "leader"),
        (2, "follower"),
        (1, "follower"),
    ]
    assert ended["at"] <= agent.wait("settled", change=2)["at"]
    assert len([x for x in stand.lines() if x.what == "begin"]) == 2


def test_a_new_tenure_after_a_lapse(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.lead(1, span=100 * MS)
    agent.wait("settled", change=1, event="follower")
    agent.follow(2)
    agent.lead(3)
    agent.wait("settled", change=3, ok=True)
    agent.follow(4)
    agent.wait("settled", change=4)
    begun = [x.event for x in stand.lines() if x.what == "begin"]
    assert begun == ["leader", "follower", "leader", "follower"]


def test_renewals_keep_the_job_alive(stand: Stand) -> None:
    stand.configure(leader="sleep 1.2")
    agent = stand.start()
    agent.do(do="renew", span=500 * MS, every=50 * MS, stop_timeout=0)
    agent.event("leader", 1, role="leader", term=1)
    assert agent.wait("settled", change=1)["ok"]
    assert agent.all("expired") == []


def test_an_on_leader_never_starts_after_its_lease(stand: Stand) -> None:
    """The hook before it takes longer than the lease lasts."""
    stand.configure(follower="sleep 0.4")
    agent = stand.start()
    agent.follow(1)
    agent.wait("started", change=1)
    agent.lead(2, span=100 * MS)
    agent.wait("expired")
    agent.wait("settled", change=2, event="leader")
    agent.wait("settled", change=2, event="follower")
    assert {line.event for line in stand.lines()} == {"follower"}


def test_a_leader_without_a_lease_does_not_start(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.event("leader", 1, role="leader", term=1)
    agent.wait("expired")
    agent.wait("settled", change=1, event="follower")
    assert {line.event for line in stand.lines()} == {"follower"}


def test_a_second_command_does_not_start_after_the_lease(stand: Stand) -> None:
    stand.hooks["on_leader"] = [
        [stand.script("first", "trap '' TERM; sleep 0.4")],
        [stand.script("second", "say second")],
    ]
    stand.write()
    agent = stand.start()
    agent.lead(1, span=200 * MS)
    agent.wait("settled", change=1, event="follower")
    assert not [line for line in stand.lines() if line.what == "second"]


def test_a_host_that_slept_past_its_lease_kills_at_once(stand: Stand) -> None:
    """The guardian is held too, as all processes of a suspended host are."""
    polite = stand.folder / "polite"
    stand.configure(leader=f"trap 'touch {polite}' TERM; say armed; while :; do sleep 0.01; done")
    agent = stand.start()
    agent.lead(1, span=500 * MS, stop_timeout=200 * MS)
    pid = agent.wait("started", change=1)["pid"]
    stand.wait_line("armed", "leader")
    agent.signal_guardian(signal.SIGSTOP)
    asleep_until = now() + 900 * MS
    wait_until(lambda: now() > asleep_until, "the lease and stop_timeout are over")
    agent.signal_guardian(signal.SIGCONT)
    agent.wait("settled", change=1, event="follower")
    assert not is_alive(pid)
    assert not polite.exists()
    assert agent.wait("ended", change=1)["rc"] == -signal.SIGKILL


def test_a_connection_that_ends_before_its_process(stand: Stand) -> None:
    """Nobody renews any more: the job ends at the deadline, and no will is sent for the living."""
    stand.configure(leader="sleep 1000")
    agent = stand.start()
    agent.lead(1, span=400 * MS)
    agent.wait("started", change=1)
    agent.do(do="close")
    line = stand.wait_line("end", "follower")
    assert line.reason == "lapsed"
    agent.wait_guardian_gone()


def test_state_files_are_not_unlinked_through_a_link(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    elsewhere = stand.folder / "elsewhere"
    os.rename(stand.runtime, elsewhere)
    (elsewhere / "role").write_text("leader\n")
    Path(stand.runtime).symlink_to(elsewhere)
    agent.lead(1, span=100 * MS)
    agent.wait("settled", change=1, event="follower")
    assert (elsewhere / "role").exists()
    (warning,) = [m["line"] for m in agent.all("output", hook="guardian")]
    assert str(stand.runtime) in warning


def test_a_deadline_far_away_is_refused(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.do(do="lease", span=24 * 3600 * SECOND, stop_timeout=0)
    assert "too far" in agent.wait("output", hook="guardian")["line"]


def test_renewals_that_wait_in_the_socket_count(stand: Stand) -> None:
    """The guardian is late, the agent was not."""
    stand.configure(leader="sleep 1000 &")
    agent = stand.start()
    agent.do(do="lease", span=500 * MS, stop_timeout=0)
    agent.do(do="renew", span=500 * MS, every=50 * MS, stop_timeout=0)
    agent.event("leader", 1, role="leader", term=1)
    agent.wait("settled", change=1)
    agent.signal_guardian(signal.SIGSTOP)
    asleep_until = now() + 800 * MS
    wait_until(lambda: now() > asleep_until, "the first lease is over")
    agent.signal_guardian(signal.SIGCONT)
    agent.event("error", 1)
    agent.wait("settled", event="error")
    assert agent.all("expired") == []
    assert {line.event for line in stand.lines()} == {"leader"}


def test_the_job_is_dead_as_soon_as_check_counts_on(stand: Stand) -> None:
    """A busy machine wakes the guardian later; so it is asked for one time of many."""
    stand.configure(leader="exec sleep 1000")
    agent = stand.start()
    late = []
    for change in range(1, 80, 2):
        deadline = now() + 500 * MS + 123_456  # between two milliseconds: `poll` rounds up
        agent.do(do="lease", until=deadline, stop_timeout=0, quorum=True)
        agent.event("leader", change, role="leader", old_role="follower", term=change)
        job = agent.wait("started", event="leader", change=change)["pid"]
        with suppress(ProcessLookupError):
            late.append(end_of(job) - deadline)
            assert late[-1] >= 0, "not before its time"
            if late[-1] <= GUARDIAN_WAKES:
                return
        agent.follow(change + 1)
        agent.wait("settled", change=change + 1, event="follower")
    raise AssertionError(f"at best {min(late)} ns late")


def end_of(pid: int) -> int:
    """Wait for the end of a process; return the instant."""
    process = os.pidfd_open(pid)
    try:
        poll = select.poll()
        poll.register(process, select.POLLIN)
        assert poll.poll(15_000), f"process {pid} does not end"
        return now()
    finally:
        os.close(process)
