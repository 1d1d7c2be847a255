"""State files that cannot be unlinked: written over where that can be, and said where it cannot."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from guardian.stand import MS, Stand

BOUND = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--")
CANNOT_OVERRIDE = BOUND if os.geteuid() == 0 else ()


def write_state_files(stand: Stand) -> None:
    for name, text in (("role", "leader\n"), ("leader", ""), ("state.json", '{"role":"leader"}\n')):
        (stand.runtime / name).write_text(text)


@pytest.mark.parametrize("how", ["lapse", "death"])
def test_a_directory_that_is_not_writable_any_more(stand: Stand, how: str) -> None:
    stand.configure()
    agent = stand.start(prefix=CANNOT_OVERRIDE)
    write_state_files(stand)
    stand.runtime.chmod(0o555)
    try:
        agent.lead(1, span=1500 * MS)
        agent.wait("started", change=1)
        if how == "death":
            agent.kill()
        stand.wait_line("end", "follower")
        if how == "lapse":
            agent.wait("settled", change=1, event="follower")  # and whatever was said before
        assert (stand.runtime / "role").read_text() == "follower\n"
        assert json.loads((stand.runtime / "state.json").read_text()) == {"role": "follower"}
        agent.read()
        said = agent.stderr.read_text() + str(agent.all("output", hook="guardian"))
        assert f"{stand.runtime}/leader: cannot be unlinked: Permission denied" in said
        assert "make the directory writable and remove it" in said
        assert "/role:" not in said
    finally:
        stand.runtime.chmod(0o755)


def test_nothing_is_written_through_a_link(stand: Stand) -> None:
    stand.configure()
    agent = stand.start(prefix=CANNOT_OVERRIDE)
    write_state_files(stand)
    elsewhere = stand.folder / "elsewhere"
    elsewhere.write_text("leader\n")
    (stand.runtime / "role").unlink()
    (stand.runtime / "role").symlink_to(elsewhere)
    stand.runtime.chmod(0o555)
    try:
        agent.lead(1, span=1500 * MS)
        agent.wait("settled", change=1, event="follower")
        assert elsewhere.read_text() == "leader\n"
        said = str(agent.all("output", hook="guardian"))
        assert f"{stand.runtime}/role: cannot be unlinked" in said
    finally:
        stand.runtime.chmod(0o755)


READ_ONLY = """
import sys
from followtheleader.guardian.files import unlink_state_files
print(*unlink_state_files(sys.argv[1]), sep="\\n")
"""


def test_a_file_system_that_is_read_only(stand: Stand) -> None:
    """Nothing can be done about it but to say so, with the cure."""
    write_state_files(stand)
    mount = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--mount"] if os.geteuid() == 0 else ["unshare", "-r", "--mount"]
    command += ["sh", "-c", mount, "-", str(stand.runtime), sys.executable, READ_ONLY]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    faults = done.stdout.splitlines()
    assert len(faults) == 3
    for name, fault in zip(("role", "leader", "state.json"), faults, strict=True):
        assert f"{stand.runtime}/{name}: cannot be unlinked: Read-only file system" in fault
