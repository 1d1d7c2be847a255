"""An agent that was taken over has the guardian's channel. What it says gets no program run, no
option into one and no variable of its own; it neither stops the guardian nor makes it grow."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path

import pytest

from followtheleader.guardian import messages, words
from followtheleader.guardian.channel import Channel
from followtheleader.guardian.client import Client
from followtheleader.guardian.post import Post
from followtheleader.guardian.queue import ERRORS_KEPT, Item, Queue
from followtheleader.guardian.runner import environment, words_for
from followtheleader.guardian.voice import Voice
from guardian.stand import SECOND, Stand

OPTION = "--rsh=/tmp/mine"
EVIL = {
    "service": OPTION,
    "role": OPTION,
    "old_role": "leader\nPATH=/tmp",
    "term": OPTION,
    "token": "1; id",
    "node": "n1 $(id)",
    "leader": "../../tmp/mine",
    "leader_address": "10.0.0.1'; id '",
    "reason": "one\nLD_PRELOAD=/tmp/mine.so\x1b[2J\0two",
    "event": "nothing",
    "event_id": "7-7-7",
    "instance": "other",
    "LD_PRELOAD": "/tmp/mine.so",
    "BASH_FUNC_x%%": "() { id; }",
    "path": "/tmp",
}
POST = Post("/etc/ftl/svc.yaml", "svc", "/run/ftl/svc", "/run/ftl-guardian/svc", in_unit=True)
SHOW = """
printf '<%s>' "$@"; echo
tr '\\0' '\\n' < /proc/$$/environ | sort; cat
"""


def test_an_agent_chooses_no_argument_and_no_variable(stand: Stand) -> None:
    """A hook may be any program with options: `rsync`, `logger` as in the manual."""
    stand.hooks["on_leader"] = [stand.script("on_leader", SHOW), "own"]
    stand.write()
    agent = stand.start()
    agent.do(do="lease", span=60 * SECOND, stop_timeout=0, quorum=False)
    agent.do(do="event", event="leader", change=1, facts=EVIL)
    assert agent.wait("settled", change=1)["ok"]
    arguments, *rest = [m["line"] for m in agent.all("output", event="leader")]
    assert arguments == "<own><leader><svc><leader><>"
    state = json.loads(rest.pop())
    assert (state["service"], state["event"], state["change"]) == ("svc", "leader", 1)
    variables = dict(line.split("=", 1) for line in rest)
    told = {key: variables[key] for key in variables if key.startswith("FTL_")}
    assert told.pop("FTL_EVENT_ID").startswith(f"{agent.guardian}-")
    assert told == {
        "FTL_EVENT": "leader",
        "FTL_SERVICE": "svc",
        "FTL_INSTANCE": "svc",
        "FTL_ROLE": "leader",
        "FTL_OLD_ROLE": "",
        "FTL_TERM": "",
        "FTL_TOKEN": "",
        "FTL_NODE": "",
        "FTL_LEADER": "",
        "FTL_LEADER_ADDRESS": "",
        "FTL_REASON": "oneLD_PRELOAD=/tmp/mine.so[2Jtwo",
        "FTL_REPLAY": "0",
        "FTL_RUNTIME_DIR": str(stand.runtime),
    }
    assert set(variables) - set(told) == {"PATH", "HOME", "LANG", "FTL_EVENT_ID"}
    assert variables["PATH"].startswith("/usr/local/sbin:")


def test_what_a_correct_agent_says_is_told_as_it_is() -> None:
    facts: dict[str, object] = {
        "role": "follower",
        "old_role": "candidate",
        "term": 2**64 - 1,
        "token": None,
        "node": "db-1.example.org",
        "leader": "x" * 63,
        "leader_address": "fe80::1%eth0.5@if7",
        "reason": "port 9001 is taken: 100 % of it — «é»",
    }
    assert words.told(facts) == {
        **facts,
        "term": str(2**64 - 1),
        "token": "",
    }


@pytest.mark.parametrize("value", [True, -1, 1.5, [1], {"a": 1}, "", "x" * 100, "1" * 65, "a\n"])
def test_a_fact_of_another_shape_is_told_as_nothing(value: object) -> None:
    keys = ("role", "old_role", "term", "token", "leader_address")
    assert set(words.told(dict.fromkeys(keys, value)).values()) == {""}


def test_the_directory_is_told_as_the_unit_names_it(tmp_path: Path) -> None:
    """Where a link in its place leads is for the agent's user to say."""
    (tmp_path / "svc").symlink_to("/tmp/mine")
    post = Post("/etc/ftl/svc.yaml", "svc", str(tmp_path / "svc"), "/r", in_unit=True)
    item = Item("leader", 1, {}, "1-1-1")
    env = environment(words_for(item, "svc"), item, post)
    assert env[b"FTL_RUNTIME_DIR"] == str(tmp_path / "svc").encode()


AT_ONCE = 512 * 1024
"""Bytes that are read before anything else is done."""


def client_with_much_to_say(tmp_path: Path) -> Client:
    said = tmp_path / "said"
    said.write_bytes(b"{}\n" * AT_ONCE)
    return Client(os.open(said, os.O_RDONLY))


def test_only_so_much_is_read_at_once(tmp_path: Path) -> None:
    client = client_with_much_to_say(tmp_path)
    taken: list[bytes] = []
    client.read(0, taken.append)
    assert len(taken) == AT_ONCE // 3
    assert not client.channel.eof
    os.close(client.channel.fd)


def test_what_comes_after_its_death_is_not_its_word(tmp_path: Path) -> None:
    client = client_with_much_to_say(tmp_path)
    with subprocess.Popen(["true"]) as agent:
        client.watch(agent.pid)
    taken: list[bytes] = []
    client.read(0, taken.append)
    assert len(taken) == AT_ONCE // 3
    assert client.died
    assert client.channel.eof
    client.read(0, taken.append)
    assert len(taken) == AT_ONCE // 3
    os.close(client.channel.fd)


def test_an_heir_of_its_connection_keeps_nothing_up(stand: Stand) -> None:
    """It is dead: who has the connection from it may write for ever, and is not heard."""
    stand.configure(leader="sleep 1000", follower="true")
    agent = stand.start()
    agent.lead(1, term=7)
    pid = agent.wait("started", change=1)["pid"]
    more = messages.encode("lease", deadline=2**62, stop_timeout=0, quorum=False).decode()
    agent.do(do="heir", data=more * 100)
    agent.wait("output", hook="guardian")  # it is heard
    agent.kill()
    assert stand.wait_line("end", "follower").reason == "agent-died"
    agent.wait_guardian_gone()
    assert not Path(f"/proc/{pid}").exists()


def test_a_flood_of_lines_costs_a_bounded_time(stand: Stand) -> None:
    """Nothing is starved by it: the lease ends when it ends."""
    stand.configure(leader="sleep 1000", follower="true")
    agent = stand.start()
    agent.lead(1, span=2 * SECOND, term=7)
    agent.wait("started", change=1)
    agent.do(do="heir", data="{}\n" * 20000)
    agent.wait("output", hook="guardian")
    assert stand.wait_line("end", "follower").reason == "lapsed"


def test_errors_without_end_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """They wait while another hook runs, which may take as long as it is allowed to."""
    monkeypatch.setattr("followtheleader.guardian.queue.ABSORBED_KEPT", 8)
    queue = Queue()
    for change in range(1000):
        queue.push(Item("error", change, {}, ""))
    assert [item.change for item in queue.waiting] == list(range(1000 - ERRORS_KEPT, 1000))
    assert {len(item.absorbed) for item in queue.waiting} == {8}
    assert queue.waiting[-1].absorbed[-1] == (1000 - ERRORS_KEPT - 1, "error")


def test_facts_are_nested_only_so_deep() -> None:
    def event(depth: int) -> bytes:
        inner = '{"a":' * depth + "0" + "}" * depth
        return f'{{"m":"event","event":"error","change":1,"facts":{inner}}}'.encode()

    messages.parse(event(31))
    with pytest.raises(messages.BadMessage, match="nested deeper than 32"):
        messages.parse(event(32))


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_facts_as_deep_as_can_be_read_at_all(stand: Stand, brackets: str) -> None:
    """What is read at one depth of calls is written, to hooks and to the record, at another."""
    stand.configure()
    agent = stand.start()
    first, last = ("[", "]") if brackets == "[]" else ('{"a":', "}")
    for change, depth in enumerate([*range(40, 1100, 53), *range(930, 1000, 2)], 1):
        deep = first * depth + "0" + last * depth
        head = f'{{"m":"event","event":"error","change":{change},"facts":{{"a":'
        agent.do(do="raw", data=f"{head}{deep}}}}}\n")
    agent.do(do="lease", span=60 * SECOND, stop_timeout=0, quorum=False)
    for change, depth in enumerate(range(900, 1000), 1000):
        deep = first * depth + "0" + last * depth
        head = f'{{"m":"event","event":"leader","change":{change},"facts":{{"a":'
        agent.do(do="raw", data=f"{head}{deep}}}}}\n")
    agent.follow(2000)
    assert agent.wait("settled", change=2000)["ok"]
    assert not agent.is_guardian_gone()


def test_descriptors_that_come_along_are_not_kept() -> None:
    ours, its = socket.socketpair(socket.AF_UNIX)
    channel = Channel(its.detach())
    reading, writing = os.pipe()
    with ours:
        for _ in range(300):
            socket.send_fds(ours, [b"{}\n"], [writing] * 3)
            assert channel.read() == [b"{}"]
    os.close(writing)
    os.set_blocking(reading, False)
    assert os.read(reading, 1) == b"", "somebody still has its other end"
    os.close(reading)
    os.close(channel.fd)


def test_what_is_said_on_stderr_steers_no_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    ours, its = socket.socketpair(socket.AF_UNIX)
    ours.close()
    voice = Voice(Channel(its.detach()), "svc")
    voice.deaf = True
    voice.log("one\x1b[2J\ttwo\nthree\x9b")
    assert capfd.readouterr().err == "ftl-guardian[svc]: one?[2J\ttwo\nftl-guardian[svc]: three?\n"
