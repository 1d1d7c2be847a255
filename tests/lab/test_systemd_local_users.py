"""Local users on a booted machine: what the units, the kernel and systemd itself let them do.

A plain account, one of the group `ftl`, the agents' own user, and an agent that was taken over.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.cluster import Cluster, Election, Plan
from lab.keeper import Keeper
from lab.machines import Machine
from lab.waiting import wait_until

pytestmark = pytest.mark.lab

PLAIN = "setpriv --reuid=4242 --regid=4242 --clear-groups --inh-caps=-all"
IN_GROUP = "setpriv --reuid=4242 --regid=4242 --groups=ftl --inh-caps=-all"
OWN = "setpriv --reuid=ftl --regid=ftl --clear-groups --inh-caps=-all"
KEY = "/etc/ftl/svc.key"
TREASURE = "/srv/treasure"
PROGRAM = Path(__file__).with_name("taken_over.py")

# The agent's unit as it is, but for what it runs.
TAKEN_OVER = f"""[Service]
Type=exec
WatchdogSec=0
Restart=no
ExecStart=
ExecStart=/usr/bin/python3 /usr/local/lib/{PROGRAM.name} evil {TREASURE}
"""
TELL = "#!/bin/sh\n{ printf '<%s>' \"$@\"; echo; env; echo; cat; } >/srv/told\n"
ASK = """
import socket, sys
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect(sys.argv[1])
s.sendall(sys.argv[2].encode() + b"\\n")
print(s.recv(65536).decode(errors="replace"))
"""
# May have groups of its own below its own.
DELEGATED = """[Service]
Type=oneshot
User=ftl
Delegate=yes
ExecStart=/usr/bin/python3 /usr/local/lib/disguised.py
"""
DISGUISED = """
import os, socket
own = open("/proc/self/cgroup").read().split("0::")[1].strip()
place = f"/sys/fs/cgroup{own}/ftl-agent@svc.service"
os.mkdir(place)
open(f"{place}/cgroup.procs", "w").write(str(os.getpid()))
assert open("/proc/self/cgroup").read().strip().endswith("/ftl-agent@svc.service")
s = socket.socket(socket.AF_UNIX)
s.settimeout(20)
s.connect("/run/ftl-guardian/svc.sock")
print("answered", s.recv(10))
"""


@pytest.fixture(scope="module", name="keeper")
def fixture_keeper() -> Iterator[Keeper]:
    # Its systemd 255 gives away what a link leads to; 252 and 257 refuse to start the unit.
    with Keeper(lambda: Cluster([Plan("svc")], releases=("noble",))) as keeper:
        yield keeper


@pytest.fixture(name="svc")
def fixture_svc(keeper: Keeper, request: pytest.FixtureRequest) -> Iterator[Election]:
    with keeper.lend(request) as cluster:
        cluster.rest()
        yield cluster["svc"]


@pytest.fixture(name="machine")
def fixture_machine(svc: Election) -> Machine:
    machine = svc.members[0].machine
    machine.run("rm", "-rf", TREASURE)
    for name in ("role", "leader", "state.json", "below/file"):
        machine.write(f"{TREASURE}/{name}", "root's\n", 0o600)
    return machine


def code(machine: Machine, user: str, command: str) -> int:
    """What a user's command line ends with."""
    return machine.code(*user.split(), *shlex.split(command))


def ask(machine: Machine, user: str, socket: str, request: str) -> str:
    return machine.run(*user.split(), "python3", "-c", ASK, socket, request, check=False)


def owners(machine: Machine) -> set[str]:
    """Of all that is root's own in the treasure, the content included."""
    found = machine.run("find", TREASURE, "-printf", "%u %m %y\n").split("\n")
    content = machine.run("find", TREASURE, "-type", "f", "-exec", "cat", "{}", "+")
    return {*found, content} - {""}


UNTOUCHED = {"root 755 d", "root 600 f", "root's\n" * 4}


def test_a_plain_user_reads_the_state_and_commands_nothing(svc: Election, machine: Machine) -> None:
    for allowed in (
        "ftl-agent status svc",
        "ftl-agent is-leader svc",
        "ftl-agent check svc",
        "cat /run/ftl/svc/role /run/ftl/role /run/ftl/svc/state.json /etc/ftl/svc.yaml",
    ):
        assert code(machine, PLAIN, allowed) == 0, allowed
    for refused in (
        "ls /var/lib/ftl/svc",
        "ls /run/ftl-guardian/svc",
        "touch /run/ftl/mine",
        "touch /run/ftl/svc/leader",
        "ln -s /tmp/mine /run/ftl/other",
        "mv /run/ftl/svc /run/ftl/old",
        "touch /run/ftl-guardian/mine",
        "touch /etc/ftl/svc/on_leader.sh",
        "ftl-agent bind svc cron.service",
        "systemctl --no-ask-password stop ftl-agent@svc",
    ):
        assert code(machine, PLAIN, refused) != 0, refused
    for socket in ("/run/ftl/svc/control.sock", "/run/ftl-guardian/svc.sock"):
        assert "PermissionError" in ask(machine, PLAIN, socket, '{"command":"step-down"}')
    said = ask(machine, PLAIN, "/run/ftl/svc/status.sock", '{"command":"step-down"}')
    assert "unknown command" in said
    for unit in (svc.members[0].agent, svc.members[0].guardian):
        pid = machine.property(unit, "MainPID")
        assert code(machine, PLAIN, f"kill -0 {pid}") != 0
        for hidden in ("environ", "mem", "maps", "fd/0"):
            assert code(machine, PLAIN, f"head -c 1 /proc/{pid}/{hidden}") != 0, hidden
    assert svc.wait_settled() is svc.members[0]
    svc.check()


def test_the_group_commands_and_that_is_all(svc: Election, machine: Machine) -> None:
    answer = ask(machine, IN_GROUP, "/run/ftl/svc/control.sock", '{"command":"resume"}')
    assert json.loads(answer) == {"done": True}
    assert "PermissionError" in ask(machine, IN_GROUP, "/run/ftl-guardian/svc.sock", "{}")
    for refused in ("touch /run/ftl/mine", "touch /run/ftl/svc/leader", "touch /var/lib/ftl/svc/x"):
        assert code(machine, IN_GROUP, refused) != 0, refused
    svc.check()


def test_keys_are_in_their_file_and_nowhere_else(svc: Election, machine: Machine) -> None:
    """Who is in the group may read the file that keygen makes; a credential is root's alone."""
    machine.run("ftl-agent", "keygen", "first", "-o", KEY)
    secret = machine.path(KEY).read_text().split()[-1]
    (member,) = svc.members
    member.configure({"key_file": KEY})
    member.restart()
    svc.wait_settled()
    assert json.loads(machine.run("ftl-agent", "status", "svc", "--json"))["keys"]["protected"]
    assert code(machine, PLAIN, f"cat {KEY}") != 0
    assert code(machine, IN_GROUP, f"cat {KEY}") == 0
    machine.run("systemctl", "kill", "--signal=ABRT", member.agent)  # with a core, if it may
    svc.wait_settled()
    places = "/run/ftl /run/ftl-guardian /var/lib /var/log /run/log /tmp /var/tmp"
    found = machine.run("sh", "-c", f"grep -rlF -e {secret} {places}", check=False)
    assert found == ""
    told = machine.run("sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ | tr '\\0' ' '")
    assert secret not in told
    assert machine.property(member.agent, "LimitCORE") == "0"
    member.configure({})
    member.restart()
    svc.wait_settled()
    svc.check()


def test_what_roots_commands_write_is_roots_whatever_the_umask(
    svc: Election, machine: Machine
) -> None:
    plain = "[Service]\nExecStart=/bin/sleep infinity\n"
    machine.write("/etc/systemd/system/plain.service", plain)
    machine.run("systemctl", "daemon-reload")
    drop_in = "/etc/systemd/system/plain.service.d"
    machine.run(
        "sh", "-ec", f"umask 0; ftl-agent bind svc plain; ftl-agent keygen -o {TREASURE}/key"
    )
    found = machine.run("find", drop_in, f"{TREASURE}/key", "-printf", "%U %m %y\\n")
    assert set(found.split("\n")) == {"0 755 d", "0 644 f", "0 640 f", ""}
    machine.run("ftl-agent", "unbind", "svc", "plain")
    svc.wait_settled()
    svc.check()


def test_what_lies_in_run_ftl_is_nothing_that_root_follows(svc: Election, machine: Machine) -> None:
    """The directory is the agents' user's, who puts a link where another instance will start."""
    assert code(machine, OWN, f"ln -s {TREASURE} /run/ftl/other") == 0
    for place in ("/var/lib/ftl", "/run/ftl-guardian", "/etc/ftl", "/run"):
        assert code(machine, OWN, f"ln -s {TREASURE} {place}/other") != 0, place
    machine.write("/etc/ftl/other.yaml", "role_file: /run/ftl/other.role\n")
    machine.run("systemctl", "start", "ftl-agent@other", check=False)
    assert owners(machine) == UNTOUCHED
    assert code(machine, PLAIN, "ftl-agent is-leader svc") == 0
    machine.run("systemctl", "stop", "ftl-agent@other")
    assert owners(machine) == UNTOUCHED
    assert not machine.path("/run/ftl/other").is_symlink()
    machine.run("systemctl", "start", "ftl-agent@other")  # its directory is its own again
    assert machine.run("stat", "-c", "%U %a %F", "/run/ftl/other") == "ftl 755 directory\n"
    machine.run("systemctl", "stop", "ftl-agent@other")
    machine.run("rm", "/etc/ftl/other.yaml")
    machine.run("systemctl", "reset-failed")
    svc.check()


def test_a_group_of_the_agents_name_is_not_the_agents_unit(svc: Election, machine: Machine) -> None:
    (member,) = svc.members
    member.stop()
    machine.run("systemctl", "start", "ftl-guardian@svc.socket")
    machine.write("/usr/local/lib/disguised.py", DISGUISED)
    machine.write("/etc/systemd/system/disguised.service", DELEGATED)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "disguised.service")
    assert "answered b''\n" in machine.journal(10, "disguised.service")

    def told() -> bool:
        return "unit disguised.service) is refused" in machine.journal(40, member.guardian)

    wait_until(told, 10, "the stranger is named", svc.describe)
    member.start()
    svc.wait_settled()
    svc.check()


def test_an_agent_that_was_taken_over_gets_nothing_of_its_own_run(
    svc: Election, machine: Machine
) -> None:
    """It leads, which is its right; root's hook gets no word of its choice, root's files stay."""
    machine.write(f"/usr/local/lib/{PROGRAM.name}", PROGRAM.read_text())
    machine.write("/etc/systemd/system/ftl-agent@evil.service.d/x.conf", TAKEN_OVER)
    machine.write("/etc/ftl/evil.yaml", "service: web\n")
    machine.write("/etc/ftl/evil/on_leader.sh", TELL, 0o755)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "start", "ftl-agent@evil")

    def is_over() -> bool:
        names = ("ftl-agent@evil.service", "ftl-guardian@evil.service")
        return all(machine.property(name, "MainPID") == "0" for name in names)

    wait_until(is_over, 20, "it has ended, and so has its guardian", svc.describe)
    log = machine.run("journalctl", "-o", "cat", "--no-pager", "-u", "ftl-agent@evil")
    tried = json.loads(next(line for line in log.splitlines() if line.startswith("{")))
    assert len(tried) == 8
    assert [what for what, came in tried.items() if came.startswith("done")] == []
    told = machine.run("cat", "/srv/told").splitlines()
    assert told[0] == "<leader><web><leader><>"
    variables = {line.partition("=")[0] for line in told[1 : told.index("")]}
    ours = {name for name in variables if name.startswith("FTL_")}
    assert variables - ours <= {"PATH", "HOME", "LANG", "PWD", "SHLVL", "_", "OLDPWD"}
    assert "FTL_NODE=" in told
    assert "FTL_REASON=aLD_PRELOAD=/tmp/mine.so" in told
    assert not machine.path("/mine").exists()
    assert owners(machine) == UNTOUCHED
    for path in ("/etc/ftl/evil.yaml", "/etc/systemd/system/ftl-agent@evil.service.d"):
        machine.run("rm", "-r", path)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "reset-failed")
    svc.check()
