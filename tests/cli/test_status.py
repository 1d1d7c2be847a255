"""``status``: one screen, and what may stand on it."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.command import COMMAND, clean_environment, ftl_agent
from cli.golden import assert_golden
from cli.stand_in import RawStandIn, StandIn, leave_stale_socket, listen, member, status_of_leader
from followtheleader.cli.status import ODD as ODDITIES
from followtheleader.cli.status import render
from followtheleader.cli.terminal import Paint

WALL_NOW = 1_767_323_230.0
KEYS = st.sampled_from(
    [
        *("role", "term", "instance", "node", "service", "leader", "id", "members", "quorum"),
        *("keys", "last_hook", "problems", "interfaces", "since_ms", "lease_left_ms", "reason"),
        *("sits_out_ms", "name", "address", "direct", "voters", "support", "needed", "priority"),
        *("mode", "signs_with", "accepts", "protected", "event", "hook", "why", "rc", "ms", "at"),
        *("heard_ms_ago", "alive", "witness", "version", "pid", "port", "leaving"),
    ]
)


@pytest.fixture(autouse=True)
def everywhere_the_same_hour(monkeypatch: pytest.MonkeyPatch) -> None:
    """Golden screens hold local times."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def screen(**changes: Any) -> str:
    return render({**status_of_leader(), **changes}, Paint(on=False), WALL_NOW) + "\n"


def test_a_leader_of_a_quorum_group() -> None:
    assert_golden("status-leader.txt", screen())


def test_a_follower_of_an_open_group() -> None:
    leader = {"name": "h2", "id": "00000000000000a2", "address": "10.0.0.2", "direct": False}
    text = screen(
        service="svc",
        role="follower",
        leader=leader,
        members=[member("h2", "00000000000000a2", "10.0.0.2:9001", heard_ms_ago=120)],
        quorum=None,
        lease_left_ms=None,
        last_hook=None,
        problems=[],
        interfaces=[],
    )
    assert_golden("status-follower.txt", text)


def test_a_candidate_without_a_quorum() -> None:
    quorum = {"voters": ["h1", "h2", "w"], "needed": 2, "support": 1, "quarantined": True}
    hook = {"event": "follower", "hook": "/bin/x", "rc": None, "ms": 30_000.0, "why": "timeout"}
    text = screen(
        role="candidate", leader=None, members=[], quorum=quorum, lease_left_ms=None, last_hook=hook
    )
    assert_golden("status-candidate.txt", text)


def test_a_group_on_its_way_from_one_key_to_another() -> None:
    keys = {"mode": "sign", "signs_with": "new", "accepts": ["new", "old"], "protected": False}
    ids = [f"00000000000000a{number}" for number in range(2, 6)]
    signed = dict(zip(ids, ("new", "old", None, "new"), strict=True))
    others = [member(f"h{id[-1]}", id, f"10.0.0.{id[-1]}:9001") for id in ids]
    text = screen(members=others, quorum=None, keys={**keys, "members": signed})
    assert_golden("status-keys.txt", text)


@pytest.mark.parametrize(
    ("mode", "signs", "accepts", "protected", "told"),
    [
        ("none", None, [], False, "none: whoever is on this network can move roles"),
        ("accept", None, ["a"], False, "sends unsigned, accepts a, unsigned still counts"),
        ("sign", "a", ["a"], False, "signs with a, unsigned still counts"),
        ("require", "b", ["b", "a"], True, "signs with b, accepts also a, nothing unsigned counts"),
    ],
)
def test_what_is_signed(
    mode: str, signs: str | None, accepts: list[str], protected: bool, told: str
) -> None:
    keys = {"mode": mode, "signs_with": signs, "accepts": accepts, "protected": protected}
    assert f"       Keys: {told}\n" in screen(keys=keys)


def test_an_answer_that_holds_little_is_shown_as_far_as_it_goes() -> None:
    """Of an agent of another version, say."""
    text = render({"role": "follower"}, Paint(on=False), WALL_NOW)
    assert "follower" in text
    assert "none known" in text


def test_what_others_say_cannot_steer_the_terminal() -> None:
    nasty = "h2\x1b]0;owned\x07\n\x9b31m"
    others = [member(nasty, "00000000000000a2", nasty)]
    leader = {"name": nasty, "id": "00000000000000a2", "address": nasty}
    text = screen(members=others, leader=leader, reason=nasty, problems=[nasty])
    assert "owned" in text
    assert all(character.isprintable() or character == "\n" for character in text)
    assert len(text.splitlines()) == len(screen(members=others[:1]).splitlines())


def test_the_answer_is_asked_for_and_shown(place: str) -> None:
    with StandIn(place, status=status_of_leader()) as agent:
        result = ftl_agent("status", "svc", "--runtime-dir", place)
    assert result.code == 0
    assert result.err == ""
    assert result.out.startswith("● svc on h1 (service web): leader, term 7, since ")
    assert [json.loads(request) for request in agent.requests] == [{"command": "status"}]


def test_json_is_the_answer_itself(place: str) -> None:
    with StandIn(place, status=status_of_leader()):
        result = ftl_agent("status", "--json", "--runtime-dir", place)
    assert (result.code, result.err) == (0, "")
    assert json.loads(result.out) == status_of_leader()


@pytest.mark.parametrize("agent", ["absent", "dead", "frozen"])
def test_no_answer(agent: str, place: str) -> None:
    listener = None
    if agent == "dead":
        leave_stale_socket(place)
    elif agent == "frozen":
        listener = listen(place)
    result = ftl_agent("status", "svc", "--runtime-dir", place)
    as_json = ftl_agent("status", "svc", "--runtime-dir", place, "--json")
    if listener is not None:
        listener.close()
    assert (result.code, result.out) == (3, "")
    assert f"{place}/status.sock: no " in result.err
    assert as_json.code == 3
    answer = json.loads(as_json.out)
    assert answer["instance"] == "svc"
    assert answer["error"] in result.err


def test_an_agent_that_refuses_is_no_answer(place: str) -> None:
    with StandIn(place, status={"error": "too many clients at once; try again"}):
        result = ftl_agent("status", "--runtime-dir", place)
    assert result.code == 3
    assert "too many clients at once; try again" in result.err


@pytest.mark.parametrize(
    ("key", "odd"),
    [
        ("leader", True),
        ("members", [1]),
        ("since_ms", "x"),
        ("since_ms", 1e300),
        ("lease_left_ms", float("inf")),
        ("quorum", {"n": 1}),
    ],
)
def test_an_answer_of_another_shape_is_no_answer(key: str, odd: object, place: str) -> None:
    """Another build's, or another program's."""
    with StandIn(place, status={**status_of_leader(), key: odd}):
        result = ftl_agent("status", "--runtime-dir", place)
    assert (result.code, result.out) == (3, "")
    assert "the answer is not of this version of ftl-agent" in result.err


@pytest.mark.parametrize("json_too", [(), ("--json",)])
@pytest.mark.parametrize("depth", [300, 100_000])
def test_an_answer_without_end_is_no_traceback(
    depth: int, json_too: tuple[str, ...], place: str
) -> None:
    """Whoever has the socket, root looks at it."""
    with RawStandIn(place, '{"role":"leader","leader":' + "[" * depth + "]" * depth + "}"):
        result = ftl_agent("status", "--runtime-dir", place, *json_too)
    assert result.code in (0, 3)
    assert "Traceback" not in result.err


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    pairs = enumerate(value) if isinstance(value, list) else value.items()
    for key, each in pairs:
        if isinstance(each, list | dict):
            yield from leaves(each, (*path, key))
        else:
            yield (*path, key)


@pytest.mark.parametrize("path", list(leaves(status_of_leader())), ids=str)
def test_no_word_of_an_answer_can_steer_the_terminal(path: tuple[Any, ...]) -> None:
    """An agent that was taken over answers root, too, and not only in what are texts by right."""
    answer = json.loads(json.dumps(status_of_leader()))
    place = answer
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = "\x1b]0;\x07\x9b2J\u202e"
    try:
        text = render(answer, Paint(on=False), WALL_NOW)
    except ODDITIES:
        return
    assert all(line.isprintable() for line in text.split("\n"))


ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(KEYS, ODD, max_size=12))
def test_whatever_is_answered_is_shown_or_refused_and_steers_nothing(odd: dict[str, Any]) -> None:
    try:
        text = render({**status_of_leader(), **odd}, Paint(on=False), WALL_NOW)
    except ODDITIES:
        return
    assert all(line.isprintable() for line in text.split("\n"))


@pytest.mark.parametrize(
    ("quorum", "marks"),
    [
        ({"voters": ["h2", "w"], "needed": 2, "support": 2}, "leader, not a voter"),
        ({"voters": ["h1", "h2"], "needed": 2, "support": 2}, "leader"),
        (None, "leader"),
    ],
)
def test_this_node_is_marked_as_others_mark_it(quorum: object, marks: str) -> None:
    """One that was taken out of the voters sees so where it runs."""
    (own,) = (row for row in screen(quorum=quorum).splitlines() if "this node  " in row)
    assert own.endswith(f"this node   {marks}")


def test_one_that_sits_out_says_so() -> None:
    assert "Sits out: does not claim for 42 s more" in screen(sits_out_ms=42_000)
    assert "Sits out" not in screen(sits_out_ms=0)


@pytest.mark.parametrize(
    ("env", "coloured"), [({"TERM": "xterm"}, True), ({"TERM": "xterm", "NO_COLOR": "1"}, False)]
)
def test_colour_only_on_a_terminal_that_wants_it(
    env: dict[str, str], coloured: bool, place: str
) -> None:
    with StandIn(place, status=status_of_leader()):
        assert "\x1b" not in ftl_agent("status", "--runtime-dir", place, env=env).out
        assert ("\x1b[" in on_a_terminal("status", "--runtime-dir", place, env=env)) == coloured


def on_a_terminal(*words: str, env: dict[str, str]) -> str:
    """What the command shows where its output is a terminal."""
    ours, its = pty.openpty()
    command = subprocess.Popen([*COMMAND, *words], stdout=its, env=clean_environment(env))
    os.close(its)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # how a terminal says that nobody holds its other side any more
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert command.wait() == 0
    return shown.decode()
