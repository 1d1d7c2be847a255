"""What one hook gets, and what happens when it misbehaves."""

from __future__ import annotations

import json

import pytest

from guardian.stand import SECOND, Stand, is_alive, now, processes_of, wait_until


def test_a_hook_gets_argv_environment_and_state(stand: Stand) -> None:
    probe = stand.script("probe", 'echo "argv $*"; cat; env | grep -v PWD | sort')
    stand.hooks["on_leader"] = [[probe, "extra word"]]
    stand.write()
    agent = stand.start()
    agent.do(do="lease", span=60 * SECOND, stop_timeout=0)
    agent.event(
        "leader",
        1,
        role="leader",
        old_role="candidate",
        term=9,
        token=9,
        leader="n1",
        leader_address="10.0.0.1:9001",
        reason="elected",
        members=["n1", "n2"],
    )
    agent.wait("settled", change=1, ok=True)
    output = [m["line"] for m in agent.all("output", event="leader")]
    assert output[0] == "argv extra word leader svc leader 9"
    state = json.loads(output[1])
    assert state["members"] == ["n1", "n2"]
    assert state["term"] == 9
    names = dict(line.split("=", 1) for line in output[2:] if not line.startswith("_="))
    event_id = names.pop("FTL_EVENT_ID")
    assert event_id.startswith(f"{agent.guardian}-")
    assert event_id == state["event_id"]
    assert {key: names[key] for key in names if key.startswith("FTL_")} == {
        "FTL_EVENT": "leader",
        "FTL_SERVICE": "svc",
        "FTL_RUNTIME_DIR": str(stand.runtime),
        "FTL_INSTANCE": "svc",
        "FTL_ROLE": "leader",
        "FTL_OLD_ROLE": "candidate",
        "FTL_TERM": "9",
        "FTL_TOKEN": "9",
        "FTL_NODE": "n1",
        "FTL_LEADER": "n1",
        "FTL_LEADER_ADDRESS": "10.0.0.1:9001",
        "FTL_REASON": "elected",
        "FTL_REPLAY": "0",
    }
    assert {key for key in names if not key.startswith("FTL_")} == {"PATH", "HOME", "LANG"}


def test_facts_can_hold_anything(stand: Stand) -> None:
    stand.configure(leader="cat > /dev/null")
    agent = stand.start()
    agent.do(do="lease", span=60 * SECOND, stop_timeout=0)
    facts = {"role": "a\0b", "term": None, "leader": "\ud800", "service": [1, {"x": "ü\n"}]}
    agent.do(do="event", event="leader", change=1, facts={**facts, "token": True})
    assert agent.wait("settled", change=1)["ok"]


def test_a_state_larger_than_a_pipe_does_not_hold_anything_up(stand: Stand) -> None:
    stand.configure(leader="sleep 0.05")
    agent = stand.start()
    agent.do(do="lease", span=60 * SECOND, stop_timeout=0)
    # Each of these characters grows from two to six bytes in the state that the hook gets.
    line = '{"m":"event","event":"leader","change":1,"facts":{"notes":"' + "ü" * 30000 + '"}}\n'
    agent.do(do="raw", data=line.encode().decode("latin-1"))
    assert agent.wait("settled", change=1)["ok"]


@pytest.mark.parametrize(
    ("first", "mode", "words"),
    [
        ("#!/bin/sh", 0o644, "chmod +x"),
        ("#!/no/such/interpreter", 0o755, "interpreter"),
        ("no first line", 0o755, "must name the interpreter"),
    ],
)
def test_a_hook_that_cannot_be_started(stand: Stand, first: str, mode: int, words: str) -> None:
    stand.configure()
    stand.script("on_leader", "", mode, first)
    agent = stand.start()
    agent.lead(1)
    ended = agent.wait("ended", change=1)
    assert ended["why"] == "spawn"
    assert ended["rc"] is None
    assert words in ended["error"]
    assert not agent.wait("settled", change=1)["ok"]


def test_a_missing_hook(stand: Stand) -> None:
    stand.configure()
    stand.folder.joinpath("on_leader").unlink()
    agent = stand.start()
    agent.lead(1)
    error = agent.wait("ended", change=1, why="spawn")["error"]
    assert "No such file" in error
    assert "create it or correct the path" in error
    agent.follow(2)
    assert agent.wait("settled", change=2)["ok"]
    assert [line.event for line in stand.lines()] == ["follower", "follower"]


def test_a_directory_as_a_hook(stand: Stand) -> None:
    stand.configure()
    script = stand.folder.joinpath("on_leader")
    script.unlink()
    script.mkdir()
    agent = stand.start()
    agent.lead(1)
    error = agent.wait("ended", change=1, why="spawn")["error"]
    assert "is a directory" in error
    assert "chmod" not in error


def test_a_failing_on_leader_stops_the_rest(stand: Stand) -> None:
    stand.hooks["on_leader"] = [
        [stand.script("first", "exit 3")],
        [stand.script("second", "")],
    ]
    stand.write()
    agent = stand.start()
    agent.lead(1)
    assert not agent.wait("settled", change=1)["ok"]
    (ended,) = agent.all("ended")
    assert (ended["rc"], ended["why"]) == (3, "exit")
    assert "3" in ended["error"]


def test_a_failing_on_leader_that_is_ignored(stand: Stand) -> None:
    stand.hooks["on_leader"] = [
        [stand.script("first", "exit 3")],
        [stand.script("second", "")],
    ]
    stand.options["on_failure"] = "ignore"
    stand.write()
    agent = stand.start()
    agent.lead(1)
    assert agent.wait("settled", change=1)["ok"]
    assert [m["rc"] for m in agent.all("ended")] == [3, 0]


def test_a_failing_on_leader_that_is_tried_again(stand: Stand) -> None:
    flag = stand.folder / "flag"
    stand.configure(leader=f"[ -e {flag} ] || {{ touch {flag}; exit 1; }}", on_failure="retry")
    agent = stand.start()
    agent.lead(1)
    assert agent.wait("settled", change=1)["ok"]
    assert [m["rc"] for m in agent.all("ended", change=1)] == [1, 0]
    first, second = (line.uptime for line in stand.lines() if line.what == "begin")
    assert second - first > 0.98, "a second, in hundredths"


def test_the_role_lost_between_two_tries(stand: Stand) -> None:
    stand.hooks["on_error"] = [stand.script("on_error", "")]
    stand.configure(leader="exit 1", on_failure="retry")
    agent = stand.start()
    agent.lead(1)
    agent.wait("ended", change=1, rc=1)
    agent.event("error", 1, term=1)
    agent.wait("settled", change=1, event="error", seconds=0.9)
    agent.follow(2)
    agent.wait("settled", change=2)
    assert agent.all("settled", change=1, event="leader")
    assert [line.event for line in stand.lines() if line.what == "begin"] == [
        "leader",
        "error",
        "follower",
    ]


def test_an_on_follower_that_fails_does_not_keep_the_next_from_running(stand: Stand) -> None:
    stand.hooks["on_follower"] = [
        [stand.script("first", "exit 3")],
        [stand.script("second", "")],
    ]
    stand.write()
    agent = stand.start()
    agent.follow(1)
    assert not agent.wait("settled", change=1)["ok"]
    assert [m["rc"] for m in agent.all("ended")] == [3, 0]


def test_a_hook_that_hangs_is_ended_with_all_it_has_started(stand: Stand) -> None:
    stand.configure(follower="setsid sleep 1000 & sleep 1000", timeout="300ms")
    agent = stand.start()
    agent.follow(1)
    ended = agent.wait("ended", change=1)
    assert ended["why"] == "timeout"
    assert 300 <= ended["ms"] < 2300
    assert "0.3 s" in ended["error"]
    assert not agent.wait("settled", change=1)["ok"]
    assert processes_of(agent.guardian) == []


def test_a_hook_that_ignores_sigterm_is_killed(stand: Stand) -> None:
    stand.configure(follower="trap '' TERM; while :; do sleep 1; done", timeout="100ms")
    agent = stand.start()
    agent.follow(1)
    ended = agent.wait("ended", change=1)
    assert (ended["why"], ended["rc"]) == ("timeout", -9)
    assert 2000 <= ended["ms"] < 6000


def test_a_timeout_spares_what_other_hooks_have_left(stand: Stand) -> None:
    pid_file = stand.folder / "pid"
    stand.hooks["on_error"] = [stand.script("on_error", "sleep 1000")]
    stand.configure(leader=f"sleep 1000 & echo $! > {pid_file}", timeout="200ms")
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1, ok=True)
    server = int(pid_file.read_text())
    agent.event("error", 1)
    agent.wait("ended", event="error", why="timeout")
    assert is_alive(server)
    agent.follow(2)
    agent.wait("settled", change=2)
    assert not is_alive(server)


def test_only_its_own_timeout_ends_an_on_follower(stand: Stand) -> None:
    stand.configure(follower="sleep 0.3")
    agent = stand.start()
    agent.follow(1)
    agent.wait("started", change=1)
    agent.lead(2)
    agent.follow(3)
    agent.lead(4)
    agent.wait("settled", change=4)
    ended = agent.wait("ended", change=1)
    assert (ended["why"], ended["rc"]) == ("exit", 0)
    assert ended["ms"] >= 300


def test_a_flood_of_output_is_thinned_out_and_counted(stand: Stand) -> None:
    stand.configure(follower="yes 0123456789012345678901234567890123456789 | head -n 200000")
    agent = stand.start()
    agent.follow(1)
    assert agent.wait("settled", change=1, seconds=30)["ok"]
    lines = [m["line"] for m in agent.all("output", event="follower")]
    notices = [line for line in lines if "lines dropped" in line]
    dropped = sum(int(line.split()[1]) for line in notices)
    assert dropped + len(lines) - len(notices) == 200_000
    assert len(lines) < 5000


def test_a_flood_does_not_hold_up_the_lease(stand: Stand) -> None:
    stand.configure(leader="yes")
    agent = stand.start()
    agent.lead(1, span=500 * 10**6)
    expired = agent.wait("expired")
    assert expired["at"] - expired["deadline"] < 2 * 10**9
    agent.wait("settled", event="follower")


def test_an_agent_that_does_not_read_holds_nothing_up(stand: Stand) -> None:
    stand.configure(leader="yes | head -n 100000", follower="")
    agent = stand.start()
    agent.do(do="deaf")
    agent.lead(1, span=400 * 10**6)
    stand.wait_line("end", "follower")


def test_long_lines_are_cut_and_the_last_needs_no_newline(stand: Stand) -> None:
    stand.configure(follower="head -c 10000 /dev/zero | tr '\\0' x; echo; echo; printf last")
    agent = stand.start()
    agent.follow(1)
    agent.wait("settled", change=1)
    lines = [m["line"] for m in agent.all("output", event="follower")]
    assert [len(line) for line in lines] == [4096, 4096, 1808, 0, 4]


def test_output_comes_before_the_end_of_its_hook(stand: Stand) -> None:
    stand.configure(follower="for i in 1 2 3 4 5; do echo $i; done")
    agent = stand.start()
    agent.follow(1)
    agent.wait("settled", change=1)
    kinds = [m["m"] for m in agent.messages if m["m"] in ("output", "ended", "settled")]
    assert kinds == ["output"] * 5 + ["ended", "settled"]


def test_what_a_hook_leaves_running_can_go_on_to_speak(stand: Stand) -> None:
    stand.configure(leader="(sleep 0.2; echo from the server; sleep 1000) &")
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1, ok=True)
    agent.wait("output", line="from the server")


def test_default_scripts_run_in_the_order_of_their_names(stand: Stand) -> None:
    folder = stand.folder / "svc" / "on_leader.d"
    folder.mkdir(parents=True)
    stand.write()
    stand.script("svc/on_leader.sh", "echo 0")
    for name in ("20-b", "10-a", "30-c~", ".hidden"):
        stand.script(f"svc/on_leader.d/{name}", f"echo {name}")
    stand.script("svc/on_leader.d/README", "echo no", mode=0o644)
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1)
    assert [m["line"] for m in agent.all("output", event="leader")] == ["0", "10-a", "20-b"]


def test_hooks_are_read_again_on_request_and_a_fault_changes_nothing(stand: Stand) -> None:
    stand.configure(follower="echo old")
    agent = stand.start()
    stand.config.write_text("hooks: [")
    agent.do(do="reload")
    assert "svc.yaml" in agent.wait("output", hook="guardian")["line"]
    agent.follow(1)
    agent.wait("output", line="old")
    stand.configure(follower="echo new")
    stand.hooks["on_follower"] = [stand.script("other", "echo other")]
    stand.write()
    agent.do(do="reload")
    change = 1

    def has_changed() -> bool:
        nonlocal change
        change += 1
        agent.follow(change)
        agent.wait("settled", change=change)
        return bool(agent.all("output", line="other"))

    wait_until(has_changed, "the new hooks")


def test_a_faulty_configuration_at_the_start(stand: Stand) -> None:
    stand.config.write_text("hooks: {on_leader: 7}")
    at = now()
    agent = stand.start(wait_ready=False)
    agent.wait("lost")
    agent.wait_guardian_gone()
    assert now() - at < 10 * SECOND
    assert "svc.yaml" in agent.stderr.read_text()
