"""Hooks run one at a time and in order, and end in the state of the role."""

from __future__ import annotations

import random
import select

from guardian.stand import SECOND, Line, Stand


def check(lines: list[Line]) -> None:
    """The promise, from the log alone."""
    running: Line | None = None
    last_role = ""
    for line in lines:
        if line.what == "begin":
            assert running is None or running.event == "leader", f"{line} began during {running}"
            if line.event == "leader":
                assert last_role != "leader", f"no on_follower before {line}"
            last_role = line.event
            running = line
        else:
            assert running is not None
            assert running[2:5] == line[2:5], f"{line} ended during {running}"
            running = None


def drive(stand: Stand, changes: int, seed: int) -> str:
    """Send this many role changes, mostly at once; return the last role."""
    agent = stand.start()
    agent.do(do="renew", span=60 * SECOND, every=SECOND, stop_timeout=0)
    draw = random.Random(seed)
    pause = select.poll()
    role = ""
    for change in range(1, changes + 1):
        role = "leader" if change % 2 else "follower"
        agent.event(role, change, role=role, term=change)
        if draw.random() < 0.25:
            pause.poll(draw.choice([1, 3, 10, 20]))
        agent.read()
    agent.wait("settled", change=changes, event=role, seconds=60)
    settled = [(m["change"], m["event"]) for m in agent.all("settled")]
    assert len(settled) == changes, "every event is settled"
    assert len(set(settled)) == changes, "and once"
    return role


def test_a_thousand_fast_role_changes(stand: Stand) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    stand.configure(leader="sleep 0.004", follower="sleep 0.002")
    role = drive(stand, 1000, seed)
    assert role == "follower"
    lines = stand.lines()
    check(lines)
    begun = [line for line in lines if line.what == "begin"]
    assert (begun[-1].event, begun[-1].term) == ("follower", "1000")
    assert lines[-1].what == "end"
    assert len([line for line in begun if line.event == "leader"]) > 10, "hooks did run meanwhile"


def test_the_last_hook_is_the_hook_of_the_last_role_leader(stand: Stand) -> None:
    stand.configure(leader="sleep 0.004", follower="sleep 0.002")
    drive(stand, 101, seed=7)
    begun = [line for line in stand.lines() if line.what == "begin"]
    assert (begun[-1].event, begun[-1].term) == ("leader", "101")


def test_several_commands_run_one_after_the_other(stand: Stand) -> None:
    stand.hooks["on_leader"] = [
        [stand.script("first", "sleep 0.02")],
        [stand.script("second", "")],
    ]
    stand.write()
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1, ok=True)
    assert [line.what for line in stand.lines()] == ["begin", "end", "begin", "end"]
    assert [[m["hook"]] for m in agent.all("ended")] == stand.hooks["on_leader"]


def test_error_and_reelection_hooks_run_in_their_place(stand: Stand) -> None:
    gate = stand.folder / "gate"
    stand.hooks["on_error"] = [stand.script("on_error", "")]
    stand.hooks["on_reelection"] = [stand.script("on_reelection", "")]
    stand.configure(follower=f"while [ ! -e {gate} ]; do sleep 0.01; done")
    agent = stand.start()
    agent.follow(1)
    agent.wait("started", change=1)
    agent.event("error", 1, term=1)
    agent.event("reelection", 2, term=2)
    agent.event("error", 2, term=2)
    agent.event("follower", 3, term=3)
    agent.do(do="raw", data="all has been read\n")
    agent.wait("output", hook="guardian")
    gate.touch()
    agent.wait("settled", change=3)
    begun = [(x.event, x.term) for x in stand.lines() if x.what == "begin"]
    assert begun == [("follower", "1"), ("error", "1"), ("error", "2"), ("follower", "3")]


def test_two_leader_events_have_an_on_follower_between_them(stand: Stand) -> None:
    stand.configure()
    agent = stand.start()
    agent.lead(1)
    agent.wait("settled", change=1, event="leader")
    agent.lead(2)
    agent.wait("settled", change=2, event="leader")
    begun = [line.event for line in stand.lines() if line.what == "begin"]
    assert begun == ["leader", "follower", "leader"]
