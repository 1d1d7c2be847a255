"""The unit's door: who is let in is known by the kernel's word alone."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from followtheleader.guardian.door import Door, NoDoor, unit_of
from followtheleader.guardian.post import Post

POST = Post("/etc/ftl/svc.yaml", "svc", "/run/ftl/svc", "/run/ftl-guardian/svc", in_unit=True)

# As systemd does: the listening socket as descriptor 3. Says what the door says of one guest.
INSIDE = """
import os, socket, sys
from followtheleader.guardian import door
from followtheleader.guardian.post import Post
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
listening.listen()
os.dup2(listening.fileno(), 3)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
door.unit_of = lambda pid: sys.argv[2]
it = door.Door(Post("/etc/ftl/svc.yaml", "svc", "/r", "/h", in_unit=True))
print(it.enter(0), flush=True)
print(it.enter(10_000), flush=True)
"""


def guest(path: Path, unit: str) -> tuple[list[str], bytes, int]:
    with subprocess.Popen(
        [sys.executable, "-c", INSIDE, str(path), unit], stdout=subprocess.PIPE, text=True
    ) as inside:
        assert inside.stdout is not None
        nobody = inside.stdout.readline().strip()
        with socket.socket(socket.AF_UNIX) as ours:
            ours.settimeout(10)
            ours.connect(str(path))
            said = inside.stdout.readline().strip()
            return [nobody, said], ours.recv(1), os.getpid()


def test_a_process_of_the_agents_unit_comes_in(tmp_path: Path) -> None:
    (nobody, said), _, me = guest(tmp_path / "door", "ftl-agent@svc.service")
    assert nobody == "None"
    fd, pid = said.strip("()").split(", ")
    assert int(fd) > 3
    assert int(pid) == me


@pytest.mark.parametrize("unit", ["ftl-agent@other.service", "user@1000.service", ""])
def test_others_are_sent_away_with_a_line_that_names_them(tmp_path: Path, unit: str) -> None:
    (_, said), end, me = guest(tmp_path / "door", unit)
    assert end == b""
    assert f"process {me} (uid {os.getuid()}, unit {unit or 'unknown'}) is refused" in said
    assert said.endswith("only ftl-agent@svc.service may come in")


def test_no_door_without_a_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_FDS", "1")
    monkeypatch.setenv("LISTEN_PID", "1")
    with pytest.raises(NoDoor, match=r"start ftl-guardian@INSTANCE\.socket instead"):
        Door(POST)


@pytest.mark.parametrize(
    ("told", "unit"),
    [
        ("0::/system.slice/system-ftl.slice/ftl-agent@svc.service\n", "ftl-agent@svc.service"),
        ("0::/user.slice/user-0.slice/session-1.scope\n", "session-1.scope"),
        ("4:memory:/x.service\n1:name=systemd:/a.service\n0::/\n", "a.service"),
        ("1:name=systemd:/\n0::/system.slice/b.service/inner\n", "b.service"),
        ("4:memory:/x.service\n0::/\n", ""),
        ("0::/init.scope\n", "init.scope"),
        ("0::/elsewhere/ftl-agent@svc.service\n", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("root", ["/", "/docker/1f.scope"])
def test_the_unit_is_read_off_systemds_own_tree(
    monkeypatch: pytest.MonkeyPatch, told: str, unit: str, root: str
) -> None:
    in_tree(monkeypatch, told, root)
    assert unit_of(42) == unit


@pytest.mark.parametrize(
    "named",
    [
        "user.slice/user-9.slice/user@9.service/app.slice/ftl-agent@svc.service",
        "user.slice/user-9.slice/user@9.service/ftl-agent@svc.service/x.scope",
        "machine.slice/a.scope/system.slice/ftl-agent@svc.service",
        "ftl-agent@other.service/ftl-agent@svc.service",
    ],
)
def test_a_group_that_a_user_has_named_is_not_a_unit(
    monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whoever has a manager of its own, or a unit with Delegate=, names what is below it."""
    in_tree(monkeypatch, f"0::/{named}\n", "/")
    unit = unit_of(42)
    assert unit in ("user@9.service", "a.scope", "ftl-agent@other.service")


def in_tree(monkeypatch: pytest.MonkeyPatch, told: str, root: str) -> None:
    """/proc as it is where systemd's tree begins at ``root``."""
    root = root.rstrip("/")
    words = {
        "/proc/1/cgroup": f"0::{root}/init.scope\n",
        "/proc/42/cgroup": told.replace(":/", f":{root}/"),
    }
    monkeypatch.setattr("followtheleader.guardian.proc.read_text", words.__getitem__)


def peer_pidfd_is_known() -> bool:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        try:
            os.close(int.from_bytes(one.getsockopt(socket.SOL_SOCKET, 77, 4), sys.byteorder))
        except OSError:
            return False
    return True


@pytest.mark.skipif(not peer_pidfd_is_known(), reason="needs SO_PEERPIDFD (Linux 6.5)")
def test_who_has_ended_is_not_known_by_its_number(tmp_path: Path) -> None:
    """Its number may be another's by now, of the right unit: it left its connection to somebody."""
    path = tmp_path / "door"
    knock = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); "
    pass_on = "import os; os.fork() and sys.exit(); os.close(1); s.settimeout(10); s.recv(1)"
    inside = INSIDE.replace("print(it.enter(0), flush=True)", "print(flush=True), input()")
    with subprocess.Popen(
        [sys.executable, "-c", inside, str(path), "ftl-agent@svc.service"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        subprocess.run([sys.executable, "-c", knock + pass_on, str(path)], check=True, timeout=20)
        said, _ = process.communicate("\n", timeout=20)
    assert "unit unknown) is refused" in said
