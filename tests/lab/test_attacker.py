"""An attacker on the network: everything that can be said is said, in any name.

With keys nothing comes of it: no role changes, no lease is missed, the job runs on. Without, roles
do move, for whoever is on the network may speak as anybody; but nothing crashes, spins or grows,
and when it is over the group is whole again by itself.
"""

from __future__ import annotations

import dataclasses
import functools
import random
import secrets
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.process import cpu_seconds
from followtheleader.config.keyfile import parse_keys
from followtheleader.core.types import Owner
from followtheleader.net.mdns import LEADER_TYPE
from followtheleader.wire import Key, KeyRing
from followtheleader.wire.layout import HEADER, Type
from lab import mdns_words
from lab.attacker import Attacker, Stolen, forged, learned
from lab.group import Group
from lab.hosts import Host
from lab.net import Network, run
from lab.stories import LAUNCH, changes_since
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

KINDS = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
MDNS = "224.0.0.251", 5353
REDIRECT = 5
PORT = 9001
PACE_SECONDS = 0.0005
"""Between two datagrams: what a flood of them does is told elsewhere (test_floods.py)."""
STRANGERS_PACE_SECONDS = 0.004
LINES = 80
"""Of the log that an attack may cost: ten of what is dropped in each minute, and what changes."""
MOST_CPU = 0.6
"""Of a processor."""


class Scene:
    """Three agents and an attacker on the fourth host."""

    def __init__(self, group: Group, attacker: Attacker) -> None:
        self.group = group
        self.attacker = attacker
        self.hosts = group.hosts[:3]
        self.rng = random.Random(1)

    def begin(self) -> None:
        """All is well, and the attacker has seen it all from the start."""
        self.attacker.record(host.name for host in self.hosts)
        self.group.start(self.hosts)
        self.settle()

    def settle(self) -> Host:
        """Wait until one leads, all vote and all know all; note how it is."""
        leader = self.group.wait_one_leader(self.hosts, LAUNCH + self.group.timing.patience)
        self.group.wait_all_vote()
        wait_until(self._all_know_all, 10, "all know all", self.group.describe)
        # A voter that has begun anew refuses its leader's term once, and the term is raised.
        wait_until(Calm(leader).is_so, 10, "its term is raised no more", self.group.describe)
        self.leader = leader
        # Not later: what is forged bears the members' addresses, too.
        self.heard = self.attacker.heard(self.group.service)
        address = self.group.network.address(leader.name)
        self.stolen = learned(self.heard, self.group.service, address, leader.status()["term"])
        self.at = self.group.log.note("-", "fault", "attack")
        self.before = {host.name: Had.of(host) for host in self.hosts}
        return leader

    def _all_know_all(self) -> bool:
        return all(len(host.alive()) == 2 for host in self.hosts)

    def describe(self) -> str:
        """The log, and what each agent says of itself."""
        told = [f"{host}: {host.status()}" for host in self.hosts]
        return "\n".join([self.group.describe(), *told])

    # -- what is said

    def say(self, data: Iterable[bytes]) -> None:
        """Each of them to each host, in another member's name."""
        for datagram in data:
            for place, host in enumerate(self.hosts):
                self._send(datagram, host, self.hosts[place - 1].name)
                time.sleep(PACE_SECONDS)

    def say_as_itself(self, data: Iterable[bytes]) -> None:
        """From its own address: slower, for a strange host is heard 200 times a second."""
        for datagram in data:
            for host in self.hosts:
                self._send(datagram, host, self.attacker.name)
                time.sleep(STRANGERS_PACE_SECONDS)

    def _send(self, datagram: bytes, to: Host, source: str) -> None:
        address = self.group.network.address
        self.attacker.send(datagram, (address(to.name), PORT), (address(source), PORT))

    def damaged(self) -> Iterator[bytes]:
        """What is no datagram of ours, or not any more."""
        frames = self.rng.choices(self.heard, k=40)
        for frame in frames:
            whole = frame.data
            yield whole[: self.rng.randrange(len(whole))]
            place, bit = self.rng.randrange(len(whole)), 1 << self.rng.randrange(8)
            yield whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :]
            yield whole + bytes(self.rng.randrange(1, 300))
            yield self.rng.randbytes(self.rng.randrange(1400))
        yield b""
        yield from (bytes(size) for size in (1, 63, 64, 65, 160, 1024, 1200, 1201, 1400))

    def send_oversize(self) -> None:
        for host in self.hosts:
            to = self.group.network.address(host.name), PORT
            for size in (1_473, 9_000, 65_507):
                self.attacker.send_big(self.heard[0].data.ljust(size, b"\xf2"), to)

    def say_icmp(self) -> None:
        """Nobody is there, the way is too long, go by way of me: of every pair of hosts."""
        pairs = {(frame.source, frame.target): frame for frame in self.heard}
        me = socket.inet_aton(self.attacker.address)
        for frame in pairs.values():
            for kind, code in ((3, 1), (3, 3), (3, 4), (11, 0), (5, 1)):
                extra = me if kind == REDIRECT else bytes(4)
                self.attacker.send_icmp(kind, code, frame, frame.target[0], extra)
                time.sleep(PACE_SECONDS)

    def say_mdns(self) -> None:
        """Members and the leader are elsewhere, or gone, or nonsense."""
        away = socket.inet_aton("10.77.0.250")
        service = f"service={self.group.service}".encode()
        names = {self.group.network.address(host.name): host.name for host in self.hosts}
        for source, owner in self.stolen.members.items():
            node = names[source]
            label, server = f"{node}-{owner.id:016x}", f"ftl-{owner.id:016x}.local."
            txt = mdns_words.texts(service, f"node={node}".encode(), b"version=1")
            for words in (
                mdns_words.announcement(label, server, away, txt),
                mdns_words.announcement(label, server, socket.inet_aton(source), txt, ttl=0),
                mdns_words.announcement(label, server, away, txt, port=0),
                mdns_words.announcement(label, server, away, b"\xff" + bytes(8000)),
                mdns_words.announcement(label, server, away, b"\x05ab"),
                mdns_words.announcement("x" * 63, server, bytes(3), txt),
                mdns_words.announcement(self.group.service, server, away, b"", kind=LEADER_TYPE),
                mdns_words.announcement(
                    self.group.service, server, away, b"", kind=LEADER_TYPE, ttl=0
                ),
                mdns_words.announcement(label, server, away, txt)[:60],
            ):
                self._shout(words)
        self._shout(bytes(12))
        self._shout(self.rng.randbytes(400))

    def _shout(self, words: bytes) -> None:
        for sender in (self.attacker.address, self.group.network.address(self.leader.name)):
            if len(words) <= 1400:
                self.attacker.send(words, MDNS, (sender, 5353))
        time.sleep(PACE_SECONDS)

    # -- what must be

    def is_unmoved(self) -> None:
        """No role has changed, no lease was missed, nothing has grown."""
        assert changes_since(self.group, self.at) == []
        assert self.group.leaders(self.hosts) == [self.leader]
        jobs = [record.phase for record in self.group.records(self.at) if record.what == "job"]
        assert set(jobs) <= {"tick"}, "it neither ended nor began"
        now = self.leader.status()
        was = self.before[self.leader.name]
        assert (now["term"], now["token"], now["since"]) == (was.term, was.token, was.since)
        self.has_not_grown()

    def has_not_grown(self) -> None:
        for host in self.hosts:
            was, has = self.before[host.name], Had.of(host)
            assert has.agent == was.agent, "it was restarted"
            assert has.descriptors <= was.descriptors + 2
            assert has.members <= was.members + 2
            assert has.lines - was.lines < LINES
            log = host.output.read_text(errors="replace")
            assert "Traceback" not in log


class Calm:
    """Has a leader's term been the same for longer than a voter is silent at its start?"""

    SECONDS = 2.0

    def __init__(self, leader: Host) -> None:
        self._leader = leader
        self._term = 0
        self._since = 0.0

    def is_so(self) -> bool:
        term, now = self._leader.status()["term"], time.monotonic()
        if term != self._term:
            self._term, self._since = term, now
        return now - self._since > self.SECONDS


@dataclasses.dataclass(frozen=True)
class Had:
    """What an agent is and has."""

    agent: int
    descriptors: int
    members: int
    lines: int
    term: int
    token: int
    since: str

    @classmethod
    def of(cls, host: Host) -> Had:
        pid, status = host.agent_pid, host.status()
        return cls(
            pid,
            len(list(Path("/proc", str(pid), "fd").iterdir())),
            len(status["members"]),
            len(host.output.read_text(errors="replace").splitlines()),
            status["term"],
            status["token"],
            status["since"],
        )


@pytest.fixture(name="scene")
def fixture_scene(build: Callable[..., Group]) -> Iterator[Callable[..., Scene]]:
    opened: list[Attacker] = []

    def scene(*, quorum: bool, key: bool, **settings: Any) -> Scene:
        if quorum:
            settings["voters"] = ["h1", "h2", "h3"]
        group = build(4, quorum=quorum, settings=settings)
        for host in group.hosts[:3]:
            group.network.switch_ipv6_off(host.name)
            obey_no_redirects(group.network, host.name)
            if key:
                group.configure(host, key_file=give_key(host))
        attacker = Attacker(group.network, "h4")
        opened.append(attacker)
        return Scene(group, attacker)

    yield scene
    for attacker in opened:
        attacker.__exit__(None, None, None)


def obey_no_redirects(network: Network, host: str) -> None:
    """As README advises: else the kernel sends a host's traffic wherever an ICMP message says."""
    for scope in ("all", "eth0"):
        setting = f"net.ipv4.conf.{scope}.accept_redirects=0"
        run("ip", "netns", "exec", network.netns(host), "sysctl", "-qw", setting)


SECRET = secrets.token_urlsafe(32)


def give_key(host: Host, *lines: str) -> str:
    path = host.directory / "svc.key"
    path.touch(0o600)
    path.write_text("".join(f"{line}\n" for line in lines or (f"old {SECRET}",)))
    return str(path)


def attack(scene: Scene, words: list[bytes]) -> None:
    """Everything, in every name."""
    scene.say_as_itself(words)
    scene.say(words)
    scene.say(scene.damaged())
    scene.send_oversize()
    scene.say_icmp()
    scene.say_mdns()


def dropped(host: Host) -> dict[str, int]:
    counters: dict[str, int] = host.status()["counters"]
    start = "rejected-"
    return {key.removeprefix(start): n for key, n in counters.items() if key.startswith(start)}


def test_every_kind_of_word_is_forged() -> None:
    at = "10.77.0.1"
    stolen = Stolen("svc", {at: Owner(1, 2)}, {at: (at, 9001)}, at, 7)
    assert {HEADER.unpack_from(data)[2] for data in forged(stolen)} == set(Type)


@KINDS
def test_with_keys_nothing_that_an_attacker_says_moves_anything(
    scene: Callable[..., Scene], quorum: bool
) -> None:
    """Forged words of every kind unsigned, what was said before (also in earlier lives of a member
    that was restarted, and to other members than these), what is damaged, ICMP and mDNS."""
    play = scene(quorum=quorum, key=True)
    play.begin()
    restarted = play.group.hosts[1] if play.leader is not play.group.hosts[1] else play.hosts[2]
    restarted.crash()
    play.group.wait_one_leader([host for host in play.hosts if host is not restarted])
    restarted.start()
    play.settle()

    attack(play, list(forged(play.stolen)))
    replayed = [frame.data for frame in play.heard]
    play.say_as_itself(replayed)
    play.say(replayed)
    holds_for(lambda: play.group.leaders(play.hosts) == [play.leader], 1, "it leads on")
    play.is_unmoved()
    for host in play.hosts:
        reasons = dropped(host)
        assert reasons.keys() >= {"unsigned", "replayed", "own", "other-receiver", "bad-tag"}
    assert "stale-incarnation" in dropped(play.leader)

    # A receiver that begins anew knows nothing of what was heard before.
    restarted.crash()
    at = play.group.log.note(restarted.name, "fault", "again")
    restarted.start()
    play.say(replayed)
    wait_until(lambda: len(restarted.alive()) == 2, 20, "it is back", play.group.describe)
    play.group.wait_one_leader(play.hosts)
    assert changes_since(play.group, at) == []
    play.group.check()


@KINDS
def test_what_a_removed_key_has_signed_counts_no_more(
    scene: Callable[..., Scene], quorum: bool
) -> None:
    """Somebody has the old key, and the group has another since; nor does a word of another service
    of the same key file."""
    play = scene(quorum=quorum, key=True)
    play.begin()
    old = play.leader.status()["keys"]
    assert old["protected"] is True
    ring = ring_of(SECRET)
    new = secrets.token_urlsafe(32)
    for lines in (
        (f"old {SECRET}", f"new {new}"),
        (f"new {new}", f"old {SECRET}"),
        (f"new {new}",),
    ):
        for host in play.hosts:
            play.group.configure(host, key_file=give_key(host, *lines))
            assert host.ask("reload")["done"]
        time.sleep(0.5)
    play.settle()
    stolen = play.stolen
    play.say(forged(stolen, ring))
    elsewhere = dataclasses.replace(stolen, service="another")
    play.say(forged(elsewhere, ring_of(new, "new")))
    play.is_unmoved()
    for host in play.hosts:
        assert dropped(host).keys() >= {"unknown-key", "foreign-election"}
    play.group.check()


def ring_of(secret: str, name: str = "old") -> KeyRing:
    """The ring of whoever holds that key."""
    keys = tuple(
        Key(k.id, k.name, k.secret) for k in parse_keys(f"{name} {secret}\n".encode(), "x")
    )
    return KeyRing(keys, signs=True, unsigned=False)


@KINDS
def test_without_a_key_roles_move_and_nothing_breaks(
    scene: Callable[..., Scene], quorum: bool
) -> None:
    """Who is on the network may speak as anybody. Nobody crashes, spins or grows by it, and when it
    is over the group has one leader again by itself."""
    play = scene(quorum=quorum, key=False)
    play.begin()
    began, spent = time.monotonic(), {h.name: cpu_seconds(h.agent_pid) for h in play.hosts}
    words = list(forged(play.stolen))
    attack(play, words)
    seconds = time.monotonic() - began
    for host in play.hosts:
        assert cpu_seconds(host.agent_pid) - spent[host.name] < MOST_CPU * seconds, "it spins"
    # A pause is the one thing that lasts for longer than who ordered it.
    for host in play.hosts:
        assert host.ask("resume")["done"]
    whole = functools.partial(is_whole, play)
    wait_until(whole, 60, "one leads, and all follow", play.describe)
    play.has_not_grown()


def is_whole(play: Scene) -> bool:
    if len(play.group.leaders(play.hosts)) != 1:
        return False
    leader = play.group.leaders(play.hosts)[0].name
    leaders = {(host.status().get("leader") or {}).get("name") for host in play.hosts}
    return leaders == {leader}
