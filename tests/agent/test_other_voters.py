"""Who has other voters is shown, with the cure, for as long as it is there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from agent.listener import Listener
from agent.stand import Node, Stand
from followtheleader.core.types import NANOSECONDS, Owner
from followtheleader.core.view import MemberView
from followtheleader.other_voters import MOST_NAMED, UNCHANGED_FOR, OtherVoters


def member(number: int, *, quorum: bool = True, other: bool = True) -> MemberView:
    return MemberView(
        number,
        Owner(number, 1),
        f"m{number:03}",
        ("10.0.0.2", 9001),
        100,
        witness=False,
        voter=False,
        versions=(1, 1),
        version=1,
        quorum=quorum,
        other_voters=other,
        doubled=False,
        other_timing=False,
        heard_at=0,
    )


def alarms(node: Node) -> Path:
    return node.folder / "alarms"


def told_by_hook(node: Node) -> str:
    """What its on_error was told."""
    return alarms(node).read_text() if alarms(node).exists() else ""


def told(*members: MemberView, quorum: bool = True) -> str:
    """The one text of what is told when these are there."""
    listener = Listener()
    assert OtherVoters(listener, quorum=quorum).look(members, 0)
    ((kind, text),) = listener.troubles
    assert kind == "voters-list"
    return text


def test_lists_and_kinds_are_told_apart() -> None:
    one, two = member(1), member(2, quorum=False)
    at = "at 10.0.0.2:9001"
    assert told(one).startswith(f"m001 {at} has other `voters` than this node: neither followed ")
    assert told(two, one).startswith(f"m001 {at} has other `voters` than this node; m002 {at} has ")
    assert told(two).startswith(f"m002 {at} has no `voters`: ")
    assert told(one, quorum=False).startswith(f"m001 {at} has `voters`, and this node none: ")
    assert "give every member the same list (README, Changing the voters)" in told(one)


def test_a_crowd_of_strangers_is_one_bounded_text_that_seldom_changes() -> None:
    """Without a key anybody may join, under any name and again and again."""
    listener = Listener()
    watch = OtherVoters(listener, quorum=True)
    for turn in range(1000):
        crowd = [member(number) for number in range(turn % 500 + 1)]
        assert watch.look(crowd, turn)
    assert [text for _, text in listener.troubles] == [told(member(0))]
    assert watch.look([member(n) for n in range(MOST_NAMED + 492)], UNCHANGED_FOR)
    assert "492 more have other `voters`" in listener.troubles[-1][1]
    assert len(listener.troubles[-1][1]) < 1000


def test_it_is_over_when_they_are_gone_or_have_our_list() -> None:
    for later in ([], [member(1, other=False)], [replace(member(1), heard_at=None)]):
        listener = Listener()
        watch = OtherVoters(listener, quorum=True)
        assert not watch.look([member(1, other=False)], 0)
        assert watch.look([member(1)], 0)
        assert not watch.look(later, UNCHANGED_FOR)
        assert not watch.look(later, UNCHANGED_FOR + 1)
        assert listener.reliefs == ["voters-list"]
    silent = OtherVoters(Listener(), quorum=True)
    assert not silent.look([member(1)], 60 * NANOSECONDS)


def test_two_lists_that_lead_beside_each_other(stand: Stand) -> None:
    """What a change by two names at once may lead to; and its end."""
    a, b = stand.node("a"), stand.node("b")
    for node in (a, b):
        said = f'echo "$FTL_REASON" >> {alarms(node)}'
        node.configure(voters=[node.name], hooks={"on_error": [["/bin/sh", "-c", said]]})
        node.start()
    for node, other in ((a, b), (b, a)):
        node.wait_role("leader")
        text = f"{other.name} at 127.0.0.1:{other.port} has other `voters` than this node"
        stand.wait(lambda n=node, t=text: t in n.problems, f"{node.name} shows the other list")
        assert f"warning {node.name}: {text}" in node.log
        leads = f"error {node.name}: {other.name} at 127.0.0.1:{other.port} leads by other `voters`"
        stand.wait(lambda n=node, t=leads: t in n.log, f"{node.name} tells of the other leader")
        assert node.log.count(leads) == 1
        stand.wait(lambda n=node: "leads by other" in told_by_hook(n), f"{node.name} runs on_error")
        assert [m["other_voters"] for m in node.status()["members"]] == [True]

    assert b.stop() == 0
    stand.wait(lambda: a.problems == "", "nothing is left to complain of")
    b.configure(voters=["a"])
    b.start()
    stand.wait(lambda: [m["other_voters"] for m in a.status()["members"]] == [False], "one list")
    assert a.problems == b.problems == ""
