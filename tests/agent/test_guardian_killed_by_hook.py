"""A hook that kills its guardian: that on_leader has failed, and counts as failed."""

from __future__ import annotations

from agent.stand import Stand, never_leads_twice

KILLS = "kill -9 $PPID; sleep 300"


def test_the_leadership_moves_on(stand: Stand) -> None:
    calm = "250ms"  # a lease that a busy machine does not miss
    a, b = stand.group("ab", heartbeat_interval=calm)
    a.configure(leader=KILLS, heartbeat_interval=calm)
    b.start().wait_role("leader")
    a.start()
    assert stand.wait_one_leader() is b
    stand.wait(lambda: stand.begun(a) == ["follower"], "a follows")
    assert b.ask("step-down") == {"done": True}
    stand.wait(lambda: stand.begun(b) == ["leader", "follower", "leader"], "b leads again")
    assert stand.wait_one_leader() is b
    assert stand.begun(a) == ["follower", "leader", "follower"]
    assert stand.lines(a)[-1].replay == "1"
    assert "the guardian was killed while it ran" in a.log
    assert "on_leader failed: stepping down, and not claiming for 1 s" in a.log
    assert a.status()["last_hook"]["event"] in ("leader", "follower")
    assert a.role == "follower"
    assert never_leads_twice(stand.begun(a))


def test_alone_it_is_tried_ever_more_calmly(stand: Stand) -> None:
    node = stand.node(leader=KILLS).start()
    stand.wait(lambda: "not claiming for 2 s" in node.log, "the second time")
    events = stand.begun(node)
    assert events.count("leader") >= 2
    assert never_leads_twice(events)
    assert node.log.index("not claiming for 1 s") < node.log.index("not claiming for 2 s")


def test_one_that_is_to_be_tried_again(stand: Stand) -> None:
    once = f"[ -e $0.ran ] || {{ touch $0.ran; {KILLS}; }}"
    node = stand.node(leader=once, hooks={"on_failure": "retry"}).start()
    node.wait_role("leader")
    change = node.status()["change"]
    stand.wait(lambda: len(stand.lines(node)) == 5, "tried again")
    assert stand.begun(node) == ["leader", "follower", "leader"]
    assert (node.role, node.status()["change"]) == ("leader", change)
