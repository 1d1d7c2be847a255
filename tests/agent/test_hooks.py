"""Hooks through the whole chain: agent, guardian, script and back."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

from agent.stand import Node, Stand, never_leads_twice
from lab.waiting import holds_for


def test_three_ways_to_take_a_failing_on_leader(stand: Stand) -> None:
    once = "[ -e $0.ran ] && { say end; exit 0; }; touch $0.ran; exit 4"
    ignoring = stand.node("i", service="i", leader="exit 5", hooks={"on_failure": "ignore"})
    retrying = stand.node("r", service="r", leader=once, hooks={"on_failure": "retry"})
    stepping = stand.node("s", service="s", leader="exit 3", follower="sleep 0.3")
    for node in (stepping, ignoring, retrying):
        node.start()
    steps_down_and_sits_out(stand, stepping)

    stand.wait(lambda: "exit status 5" in ignoring.log, "the failure is logged")
    stand.wait(lambda: "exit status 4" in retrying.log, "the failure is logged")
    stand.wait(lambda: len(stand.begun(retrying)) == 2, "tried again")
    stand.wait(lambda: retrying.status()["last_hook"]["rc"] == 0, "this time it works")
    assert stand.begun(retrying) == ["leader", "leader"]
    assert stand.begun(ignoring) == ["leader"]
    assert (ignoring.role, retrying.role) == ("leader", "leader")


def steps_down_and_sits_out(stand: Stand, node: Node) -> None:
    stand.wait(lambda: (node.status().get("last_hook") or {}).get("rc") == 3, "last_hook: rc 3")
    hook = str(node.folder / "on_leader.hook")
    assert node.status()["last_hook"]["hook"] == hook
    assert node.role == "follower"
    stand.wait(lambda: "not claiming for 1 s" in node.log, "a first pause")
    stand.wait(lambda: "not claiming for 2 s" in node.log, "a longer pause")
    failed = next(line for line in node.log.splitlines() if hook in line)
    assert "error" in failed
    assert "exit status 3" in failed
    assert "hook_rc=3" in failed
    assert never_leads_twice(stand.begun(node))


def test_a_stop_ends_a_running_on_leader(stand: Stand) -> None:
    node = stand.node(leader="sleep 300").start()
    stand.wait(lambda: stand.begun(node) == ["leader"], "on_leader")
    assert node.stop() == 0
    phases = [(line.event, line.phase) for line in stand.lines(node)]
    assert phases == [("leader", "begin"), ("follower", "begin"), ("follower", "end")]
    assert "ended, the role was lost" in node.log
    assert stand.lines(node)[-1].reason == "stopped"


def test_default_hooks_are_told_everything(stand: Stand) -> None:
    node = stand.node()
    settings = json.loads(node.config.read_text())
    del settings["hooks"]
    node.config.write_text(json.dumps(settings))
    beside = node.folder / "a"
    (beside / "on_leader.d").mkdir(parents=True)
    tell = 'env > "$0.env"; cat > "$0.stdin"; echo "$@" > "$0.argv"'
    script = beside / "on_leader.sh"
    script.write_bytes(b"")
    for path, name in ((script, "default"), (beside / "on_leader.d" / "10-next", "next")):
        made = node.script(name, tell if path is script else "")
        path.write_text(Path(made).read_text())
        path.chmod(0o755)
    (beside / "on_leader.d" / "20-old.bak").write_text("not run")

    node.start().wait_role("leader")
    stand.wait(lambda: len(stand.lines(node)) == 4, "both hooks ran")
    status = node.status()
    told = dict(row.split("=", 1) for row in Path(f"{script}.env").read_text().splitlines())
    event_id = told["FTL_EVENT_ID"]
    assert event_id
    assert {name: told[name] for name in sorted(told) if name.startswith("FTL_")} == {
        "FTL_EVENT": "leader",
        "FTL_EVENT_ID": event_id,
        "FTL_INSTANCE": "a",
        "FTL_LEADER": "a",
        "FTL_LEADER_ADDRESS": "127.0.0.1",
        "FTL_NODE": "a",
        "FTL_OLD_ROLE": "candidate",
        "FTL_REASON": "elected",
        "FTL_REPLAY": "0",
        "FTL_ROLE": "leader",
        "FTL_RUNTIME_DIR": str(node.runtime),
        "FTL_SERVICE": "test",
        "FTL_TERM": str(status["term"]),
        "FTL_TOKEN": str(status["token"]),
    }
    assert Path(f"{script}.argv").read_text() == f"leader test leader {status['term']}\n"
    (line,) = Path(f"{script}.stdin").read_text().splitlines()
    state = json.loads(line)
    same = ("instance", "service", "node", "id", "priority", "role", "term", "token", "change")
    assert {key: state[key] for key in same} == {key: status[key] for key in same}
    assert (state["members"], state["event"], state["event_id"]) == ([], "leader", event_id)


def test_reload_applies_hooks_and_refuses_faults(stand: Stand) -> None:
    node = stand.node().start()
    stand.wait(lambda: node.role == "leader" and stand.lines(node)[1:], "on_leader ended")
    good = node.config.read_text()

    node.config.write_text("service: x\nhokks: {}\n")
    node.send(signal.SIGHUP)
    stand.wait(lambda: f"{node.config}:2:1: hokks: is unknown" in node.log, "the fault is logged")
    assert "the old one stays" in node.log
    answer = node.ask("reload")
    assert answer["done"] is False
    assert f"{node.config}:2:1: hokks" in answer["error"]

    mark = node.folder / "new-hook-ran"
    settings = json.loads(good)
    settings["hooks"]["on_follower"] = [[node.script("new", f"touch {mark}")]]
    settings["heartbeat_interval"] = "80ms"
    node.config.write_text(json.dumps(settings))
    hooks, restart = ["hooks.on_follower"], ["heartbeat_interval"]
    assert node.ask("reload") == {"done": True, "applied": [], "hooks": hooks, "restart": restart}
    warning = "heartbeat_interval: changed, but applied only by a restart"
    stand.wait(lambda: warning in node.log, "a warning")
    stand.wait(lambda: "hooks read again: hooks.on_follower" in node.log, "the guardian has them")
    assert node.ask("step-down") == {"done": True}
    stand.wait(mark.exists, "the new hook")
    assert never_leads_twice(stand.begun(node))


def test_hooks_are_read_when_the_guardian_says_so(stand: Stand) -> None:
    a, b = stand.pair()
    stand.wait(lambda: [line.phase for line in stand.lines(b)][-1:] == ["end"], "b is at rest")
    os.kill(b.guardian, signal.SIGSTOP)
    assert b.ask("reload")["done"] is True
    holds_for(lambda: "hooks read again" not in b.log, 0.5, "not before it is so")
    os.kill(b.guardian, signal.SIGCONT)
    stand.wait(lambda: "hooks read again" in b.log, "it is so")

    os.kill(b.guardian, signal.SIGSTOP)
    assert b.ask("reload")["done"] is True
    b.config.write_text("hooks: {on_leader: 7}")  # broken after the agent has looked
    os.kill(b.guardian, signal.SIGCONT)
    stand.wait(lambda: "hooks not read again" in b.log, "the fault is told")
    assert b.log.count("hooks read again") == 1
    assert a.role == "leader"
