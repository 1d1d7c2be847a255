"""``python3 -I -m followtheleader.config.hooks``: what the guardian reads."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the program as the guardian does."""
    command = [sys.executable, "-I", "-m", "followtheleader.config.hooks", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)


def test_hooks_as_one_json_object(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    path.write_text("hooks:\n  on_leader: [/bin/echo, ü]\n  on_error: []\n  timeout: 1.5s\n")
    done = run(str(path))
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "commands": {
            "leader": [["/bin/echo", "ü"]],
            "follower": None,
            "reelection": None,
            "error": [],
        },
        "timeout": 1_500_000_000,
        "on_failure": "step-down",
        "default_dir": str(tmp_path / "svc"),
        "service": "svc",
    }
    assert len(done.stdout.splitlines()) == 1
    named = json.loads(run(str(path), "--instance", "other").stdout)
    assert named["default_dir"] == str(tmp_path / "other")
    assert named["service"] == "other"


def test_faults_on_stderr_and_78(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    path.write_text("hooks:\n  on_leader: true\nport: x\n")
    done = run(str(path))
    assert (done.returncode, done.stdout) == (78, "")
    lines = done.stderr.splitlines()
    assert [line.rpartition(str(path))[2].split(": ")[0] for line in lines] == [":2:14", ":3:7"]


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_wrong_command_line(arguments: list[str]) -> None:
    assert run(*arguments).returncode == 2


def test_settings_do_not_import_yaml() -> None:
    program = (
        "import sys, followtheleader.config.settings, followtheleader.hook_files\n"
        "sys.exit('yaml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-I", "-c", program], check=False).returncode == 0
