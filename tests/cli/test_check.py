"""``check``, ``example-config`` and ``schema``: faults, promises, a file to start from."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cli.command import COMMAND, ftl_agent
from cli.golden import assert_golden
from followtheleader.cli.check import link_warnings
from followtheleader.config import load

QUORUM = "node: h1\nservice: web\nvoters: [h1, h2]\n"
THREE = "node: h1\nservice: web\nvoters: [h1, h2, h3]\n"


def write(folder: Path, text: str, name: str = "svc.yaml") -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


def test_a_sound_file_shows_what_it_promises(tmp_path: Path) -> None:
    write(tmp_path, QUORUM)
    result = ftl_agent("check", "./svc.yaml", cwd=str(tmp_path))
    assert (result.code, result.err) == (0, "")
    assert_golden("check-quorum.txt", result.out)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("open", ""),
        ("open-that-waits", "stop_timeout: 1s\n"),
        ("one-voter", "voters: [h1]\n"),
        ("three-voters", "voters: [h1, h2, h3]\n"),
        ("no-time-to-kill", "voters: [h1, h2, h3]\ntiming: fast\nstop_timeout: 0s\n"),
        ("long-times", "heartbeat_interval: 10s\n"),
        ("witness", "voters: [h1, h2, h3]\nwitness: true\n"),
    ],
)
def test_what_other_groups_can_and_cannot_have(name: str, text: str, tmp_path: Path) -> None:
    write(tmp_path, f"node: h1\n{text}")
    result = ftl_agent("check", "./svc.yaml", cwd=str(tmp_path))
    assert (result.code, result.err) == (0, "")
    assert_golden(f"check-{name}.txt", result.out)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("voters: [h1, H1]\n", "2:9: voters: 'h1' and 'H1' differ in case only"),
        ("voters: [h1, h2, h1]\n", "2:18: voters: 'h1' is named twice"),
        ("voters: [h1]\nwitness: true\n", "3:10: witness: this node is the only voter"),
    ],
)
def test_voters_that_cannot_be_meant_are_refused(text: str, fault: str, tmp_path: Path) -> None:
    path = write(tmp_path, f"node: h1\n{text}")
    result = ftl_agent("check", path)
    assert result.code == 2
    assert result.out.startswith(f"{path}:{fault}"), result.out


@pytest.mark.parametrize("mode", ["accept", "sign", "require"])
def test_it_says_how_far_the_way_to_signed_has_come(mode: str, tmp_path: Path) -> None:
    key = tmp_path / "svc.key"
    key.touch(0o600)
    key.write_text("new Zk3vX9q_4LmT8rB1yWc7HdJ0uEaNfPgSoKiVhCxQ2A5\nold " + "0123456789abcdef" * 2)
    path = write(tmp_path, f"{THREE}key_file: {key}\nkey_mode: {mode}\n")
    shown = " ".join(ftl_agent("check", path).out.split())
    number = ("accept", "sign", "require").index(mode) + 1
    assert f"key new, accepts also old; key_mode: {mode} (step {number} of 3): " in shown
    assert ("Nothing is protected yet" in shown) is (mode != "require")
    assert ("while nobody on the network forges datagrams" in shown) is (mode != "require")
    (file,) = json.loads(ftl_agent("check", path, "--json").out)["files"]
    assert (file["keys"]["mode"], file["keys"]["names"]) == (mode, ["new", "old"])


def test_every_fault_is_told_at_its_place(tmp_path: Path) -> None:
    write(tmp_path, "prioritty: 100\nheartbeat_interval: 250\nwitness: on\n")
    result = ftl_agent("check", "svc.yaml", cwd=str(tmp_path))
    assert (result.code, result.err) == (2, "")
    assert_golden("check-faults.txt", result.out)


def test_json_of_a_sound_file(tmp_path: Path) -> None:
    path = write(tmp_path, THREE)
    result = ftl_agent("check", path, "--json")
    answer = json.loads(result.out)
    (file,) = answer["files"]
    assert (result.code, answer["ok"], file["ok"]) == (0, True, True)
    assert (file["path"], file["instance"], file["service"]) == (path, "svc", "web")
    assert (file["node"], file["group"], file["faults"]) == ("h1", "quorum", [])
    assert file["warnings"] == []
    assert "failover" not in file, "one timeline"
    timeline = file["timeline"]
    steps = {step["step"]: (step["ms"], round(step["worst_ms"], 1)) for step in timeline["steps"]}
    assert steps == {
        "last_heartbeat": (0, 0),
        "lease_end": (800, 898.9),
        "job_ended_by": (2802, 3148.1),
        "earliest_takeover": (3500, 3153.2),
        "latest_takeover": (3740, 4202.2),
    }
    assert all(step["explanation"] for step in timeline["steps"])
    assert timeline["case"] == "the leader's host dies, freezes or is cut off"
    assert timeline["job_ends_in_time"] is True
    assert timeline["reserve_ms"] == 698
    assert 5 < timeline["worst_reserve_ms"] < 5.1
    assert timeline["clocks_differ_percent"] == 11
    assert [wait["wait"] for wait in file["waits"]] == ["stop", "crash", "restart"]
    assert all(wait["ms"] and wait["label"] and wait["explanation"] for wait in file["waits"])


def test_json_of_groups_that_are_not_safe_or_have_no_takeover(tmp_path: Path) -> None:
    """What a program is told is what a person reads."""

    def told(text: str) -> dict[str, Any]:
        path = write(tmp_path, f"node: h1\n{text}")
        (file,) = json.loads(ftl_agent("check", path, "--json").out)["files"]
        timeline: dict[str, Any] = file["timeline"]
        return timeline

    late = told("heartbeat_interval: 10s\n")
    assert (late["job_ends_in_time"], late["reserve_ms"]) == (False, 5998)
    assert late["worst_reserve_ms"] < -2000
    assert "may run beside the next leader's for up to 2.17s" in late["verdict"]
    for text in ("voters: [h1]\n", "voters: [h1, h2]\n"):
        alone = told(text)
        assert (alone["reserve_ms"], alone["worst_reserve_ms"]) == (None, None)
        assert alone["job_ends_in_time"] is True
        assert alone["verdict"].startswith("Nobody takes over")


def test_json_of_a_faulty_file(tmp_path: Path) -> None:
    path = write(tmp_path, "prioritty: 100\nport: 0x\n")
    result = ftl_agent("check", path, "--json")
    answer = json.loads(result.out)
    (file,) = answer["files"]
    assert (result.code, answer["ok"], file["ok"]) == (2, False, False)
    assert len(file["faults"]) == 2
    assert file["faults"][0].startswith(f"{path}:1:1: prioritty: ")


def test_faults_come_first_and_hook_warnings_are_not_hidden(tmp_path: Path) -> None:
    path = write(tmp_path, "prioritty: 100\nhooks:\n  on_leader: /no/hook\n  timeout: 30\n")
    result = ftl_agent("check", path)
    first, second, *rest = result.out.splitlines()
    assert (result.code, result.err) == (2, "")
    assert first.startswith(f"{path}:1:1: prioritty: ")
    assert second.startswith(f"{path}:4:12: hooks.timeout: ")
    assert " ".join(" ".join(rest).split()) == (
        "warning: hooks.on_leader: /no/hook does not exist, nor does the directory /no, create it "
        "or correct the path"
    )
    (file,) = json.loads(ftl_agent("check", path, "--json").out)["files"]
    assert len(file["faults"]) == 2
    assert len(file["warnings"]) == 1


def test_a_name_that_the_locale_cannot_show(tmp_path: Path) -> None:
    path = write(tmp_path, "node: h1\n", "s\udcffc.yaml")
    result = ftl_agent("check", path, env={"PYTHONUTF8": "1"})
    assert "Traceback" not in result.err
    assert "s\\udcffc.yaml:1:1: instance: " in result.out
    status = ftl_agent("help", env={"PYTHONIOENCODING": "ascii"})
    assert (status.code, status.err) == (0, "")
    assert "usage: ftl-agent COMMAND [INSTANCE] \\u2026" in status.out


def test_a_missing_file_is_a_fault(tmp_path: Path) -> None:
    result = ftl_agent("check", f"{tmp_path}/none.yaml")
    assert result.code == 2
    assert "none.yaml:1:1: file: there is no such file, create it" in result.out


def test_a_bare_name_is_an_instance() -> None:
    result = ftl_agent("check", "no-such-instance-here")
    assert result.code == 2
    assert result.out.startswith("/etc/ftl/no-such-instance-here.yaml:1:1: file: ")


def test_a_bare_name_may_be_an_existing_file(tmp_path: Path) -> None:
    write(tmp_path, "node: h1\n", "svc")
    assert ftl_agent("check", "svc", cwd=str(tmp_path)).code == 0


def test_what_is_neither_file_nor_instance() -> None:
    result = ftl_agent("check", "web server")
    assert result.code == 2
    assert "'web server' is not the name of an instance" in result.err
    assert "not an existing file" in result.err


@pytest.mark.parametrize(
    ("primaries", "says"),
    [
        ("-", None),
        ("p-", None),
        ("--", "nobody makes /run/ftl/role; choose one"),
        ("pp", "primary: i0 and i1 both claim /run/ftl/role"),
        ("-o", None),
        ("oo", "role_file: i0 and i1 all name /run/other-role"),
    ],
)
def test_somebody_must_make_the_role_link(primaries: str, says: str | None, tmp_path: Path) -> None:
    """p: primary, -: not, o: with a role file of its own."""
    lines = {"p": "primary: true", "-": "", "o": "role_file: /run/other-role"}
    paths = [
        write(tmp_path, f"node: h1\n{lines[kind]}\n", f"i{number}.yaml")
        for number, kind in enumerate(primaries)
    ]
    told = list(link_warnings([load(path) for path in paths]).values())
    assert told == [] if says is None else says in told[0]


def test_the_example_is_sound(tmp_path: Path) -> None:
    printed = ftl_agent("example-config")
    assert (printed.code, printed.err) == (0, "")
    path = write(tmp_path, printed.out)
    assert ftl_agent("check", path).code == 0


def test_the_example_goes_to_a_new_file_only(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    assert ftl_agent("example-config", "-o", str(path)) == (0, "", "")
    assert path.read_text() == ftl_agent("example-config").out
    path.write_text("mine")
    again = ftl_agent("example-config", "--output", str(path))
    assert again.code == 2
    assert f"{path} exists; remove it, or choose another name" in again.err
    assert path.read_text() == "mine"


def test_half_an_example_is_not_left_behind(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    limited = ["sh", "-c", 'ulimit -f 1; exec "$@"', "sh", *COMMAND]
    done = subprocess.run(
        [*limited, "example-config", "-o", str(path)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert f"{path} cannot be written: File too large" in done.stderr
    assert not path.exists()


def test_an_example_that_cannot_be_written(tmp_path: Path) -> None:
    result = ftl_agent("example-config", "-o", f"{tmp_path}/none/svc.yaml")
    assert result.code == 2
    assert "cannot be written: No such file or directory" in result.err


def test_schema_is_printed_as_json() -> None:
    result = ftl_agent("schema")
    assert (result.code, result.err) == (0, "")
    schema = json.loads(result.out)
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "priority" in schema["properties"]
    wrong = ftl_agent("schema", "svc")
    assert (wrong.code, wrong.out) == (2, "")
    assert "takes no 'svc'" in wrong.err
