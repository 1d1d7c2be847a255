"""What a supervisor hears: sd_notify over a real socket, at every stage of an agent's life."""

from __future__ import annotations

import re
import signal
import time

from agent.stand import Stand
from agent.supervisor import Supervisor
from lab.waiting import holds_for


def test_ready_watchdog_reload_freeze_and_stopping(stand: Stand, supervisor: Supervisor) -> None:
    node = stand.node()
    node.start(env=supervisor.environment)
    assert "\nSTATUS=" in supervisor.wait("READY=1")
    assert re.fullmatch(r"leader, term \d+, 1 member", supervisor.wait_status("leader"))
    # Three locks of 0.3 s are less than the least.
    supervisor.wait("WATCHDOG_USEC=2000000")
    beats = supervisor.count("WATCHDOG=1")
    supervisor.wait("WATCHDOG=1", times=beats + 1)

    before, change = time.monotonic_ns() // 1000, node.status()["change"]
    node.send(signal.SIGHUP)
    reloading = supervisor.wait("RELOADING=1")
    told = int(re.findall(r"^MONOTONIC_USEC=(\d+)$", reloading, re.MULTILINE)[0])
    assert before <= told <= time.monotonic_ns() // 1000
    supervisor.wait("READY=1", times=2)
    assert node.status()["change"] == change
    assert node.role == "leader"

    node.send(signal.SIGSTOP)
    beats = supervisor.count("WATCHDOG=1") + 1  # one may have been under way
    holds_for(lambda: supervisor.count("WATCHDOG=1") <= beats, 0.7, "no beat while frozen")
    node.send(signal.SIGCONT)
    supervisor.wait("WATCHDOG=1", times=beats + 1)

    assert node.stop() == 0
    supervisor.wait("STOPPING=1")


def test_status_of_a_quorum_group(stand: Stand, supervisor: Supervisor) -> None:
    a, b, c = stand.group("abc", voters=["a", "b", "c"], stop_timeout="0s")
    a.start(env=supervisor.environment)
    # Listening is over: whoever starts us goes on, although no majority is there.
    ready = supervisor.wait("READY=1")
    assert "STATUS=candidate, no quorum: 1 of 3, 1 member" in ready
    b.start()
    c.start()
    leader = stand.wait_one_leader()
    if leader is a:
        supervisor.wait_status("leader, term ")
        assert a.stop() == 0
        supervisor.wait("STATUS=handing over")
    else:
        supervisor.wait_status(f"follower of {leader.name}, term ")
        supervisor.until(lambda: supervisor.status.endswith(", 3 members"), "3 members")
