"""What a guardian that is killed by force has left running is ended before another begins.

The daemons here keep nothing that tells where they come from: no environment, no session, no
parent. Their command line names the test's folder, so that no failure leaves one behind.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agent.stand import Node, Stand, never_leads_twice
from guardian.stand import is_alive
from lab.waiting import holds_for

DAEMON = """
import os, signal, sys, time
name, every = sys.argv[1], float(sys.argv[2])
end = time.monotonic() + 120  # nobody else may be left who ends it
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
if "deaf" in name:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(name + ".new", "w") as file:
    file.write(str(os.getpid()))
os.rename(name + ".new", name)
while time.monotonic() < end:
    time.sleep(every or 120)
    if os.fork():
        os._exit(0)
    os.setsid()
"""


class Daemons:
    """What starts daemons in this folder, and finds them."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self.program = stand.folder / "daemon.py"
        self.program.write_text(DAEMON)

    def start(self, name: str, every: float = 0) -> str:
        """The shell's words to start one; it forks itself anew ``every`` so many seconds."""
        place = self.stand.folder / name
        return f"env -i {sys.executable} -I -S {self.program} {place} {every}"

    def wait(self, name: str) -> int:
        """Wait until that one runs; its first pid."""
        place = self.stand.folder / name
        self.stand.wait(place.exists, f"{name} runs")
        return int(place.read_text())

    def living(self, name: str) -> list[int]:
        return self.stand.processes(os.fsencode(self.stand.folder / name))


@pytest.fixture(name="daemons")
def fixture_daemons(stand: Stand) -> Daemons:
    return Daemons(stand)


def begins_again(stand: Stand, node: Node) -> None:
    """The job has been made good, and is begun anew here."""
    expected = ["leader", "follower", "leader"]
    stand.wait(lambda: stand.begun(node) == expected, "hooks in order")
    assert never_leads_twice(stand.begun(node))


@pytest.mark.parametrize("name", ["polite", "deaf"])
def test_a_daemon_that_has_just_begun(stand: Stand, daemons: Daemons, name: str) -> None:
    """No guardian has seen it yet. One that is deaf is killed; both before on_follower."""
    go, late = stand.folder / "go", stand.folder / "late"
    program = daemons.program
    node = stand.node(
        leader=f"[ ! -e {late} ] || exit 0\nwhile [ ! -e {go} ]; do sleep 0.01; done\n"
        f"{daemons.start(name)}\nsleep 1000",
        follower=f"pgrep -f {program} > {late}; true",
        stop_timeout="500ms",
    ).start()
    stand.wait(lambda: stand.begun(node) == ["leader"], "on_leader")
    go.touch()
    pid = daemons.wait(name)
    old = node.guardian
    os.kill(old, signal.SIGKILL)
    begins_again(stand, node)
    assert late.read_text() == "", "on_follower began while it lived"
    assert not is_alive(pid)
    stand.wait(lambda: not node.problems, "all is well again")
    assert zombies(node.pid) == []


def zombies(pid: int) -> list[str]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for child in found if Path(f"/proc/{child}/cmdline").read_bytes() == b""]


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hangs"])
def test_one_that_forks_itself_anew(stand: Stand, daemons: Daemons, how: signal.Signals) -> None:
    """Every 3 ms another process in a session of its own; a guardian that hangs is replaced."""
    late = stand.folder / "late"
    node = stand.node(
        leader=f"[ -e {late} ] || {daemons.start('deaf', every=0.003)}",
        follower=f"pgrep -f {daemons.program} > {late}; true",
        stop_timeout="300ms",
    ).start()
    daemons.wait("deaf")
    stand.wait(lambda: "exit status 0" in node.log, "on_leader has ended")
    os.kill(node.guardian, how)
    begins_again(stand, node)
    assert late.read_text() == ""
    holds_for(lambda: not daemons.living("deaf"), 0.2, "nothing of it is left")


def test_what_is_not_the_jobs_is_left_alone(stand: Stand, daemons: Daemons) -> None:
    """What on_follower left running, marked or not, and what was there before the agent."""
    company = stand.folder / "company.sh"
    # Only once the agent runs do such orphans come to it.
    wait = f"while [ ! -e {stand.folder}/standby ]; do sleep 0.1; done"
    company.write_text(f"{wait}\n{daemons.start('company')}\nexec sleep 999")
    before = ("sh", "-c", f'sh {company} & exec "$@"', "sh")
    marked = daemons.start("marked", every=0.3).replace("env -i", "")
    once = f"[ -e {stand.folder}/standby ] || {{ {marked}; {daemons.start('standby')}; }}"
    a, b = stand.group("ab", leader=daemons.start("job"), stop_timeout="300ms")
    a.start()
    a.wait_role("leader")
    b.configure(leader=daemons.start("job"), follower=once, stop_timeout="300ms")
    b.start(prefix=before)
    alone = [daemons.wait(name) for name in ("company", "standby")]
    daemons.wait("marked")
    first = daemons.wait("job")
    assert a.stop() == 0
    assert not is_alive(first)
    b.wait_role("leader")
    assert parent(alone[0]) == b.pid
    for _ in range(2):
        another_guardian(stand, daemons, b)
    assert [is_alive(pid) for pid in alone] == [True, True]
    stand.wait(lambda: daemons.living("marked"), "what another hook has marked lives")
    assert parent(alone[1]) == b.pid
    assert len(zombies(b.pid)) == 0
    assert b.stop() == 0
    assert not daemons.living("job")
    assert [is_alive(pid) for pid in alone] == [True, True]


def another_guardian(stand: Stand, daemons: Daemons, node: Node) -> None:
    """Kill the guardian by force, and see the job end."""
    stand.wait(lambda: stand.begun(node)[-1:] == ["leader"] and not node.problems, "it leads")
    stand.wait(lambda: len(daemons.living("job")) == 1, "its job runs")
    job = int((stand.folder / "job").read_text())
    time.sleep(1.5)  # longer than it takes to look for company
    old = node.guardian
    os.kill(old, signal.SIGKILL)
    stand.wait(lambda: not is_alive(job), "the job has ended")
    stand.wait(lambda: node.guardian not in (0, old) and not node.problems, "another guardian")


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
