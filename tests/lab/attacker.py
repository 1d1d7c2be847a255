"""One more host on the switch, and whoever sits at it: sees everything, says anything, in any name.

    attacker = Attacker(group.network, "h4")      # a host without an agent
    attacker.record() … attacker.recorded

It is stronger than most: whatever any host says or hears is recorded (a mirrored port), and each
datagram may bear any source. It has no key unless a test gives it one. All its sockets are made in
that host's network namespace and go nowhere else.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from types import TracebackType
from typing import TypeVar

from followtheleader.core import messages as say
from followtheleader.core.messages import Header, Message
from followtheleader.core.types import MS, Owner, Rank
from followtheleader.wire import NO_KEYS, Codec, KeyRing
from followtheleader.wire.layout import HEADER, MAGIC, MIN_DATAGRAM, election_hash
from lab.net import NETNS, Network

_CLONE_NEWNET = 0x40000000
_ETH_P_IP = 0x0800
_IP = struct.Struct(">BBHHHBBH4s4s")
_UDP = struct.Struct(">HHHH")
_Made = TypeVar("_Made")


@dataclass(frozen=True)
class Frame:
    """A datagram that was seen on its way. ``packet``: with its IP header."""

    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes
    packet: bytes


class Attacker:
    """Sits at host ``name`` of ``network``; a context."""

    def __init__(self, network: Network, name: str) -> None:
        self._network = network
        self.name = name
        self.address = network.address(name)
        self.recorded: list[Frame] = []
        self._recorder: threading.Thread | None = None
        self._over = threading.Event()
        self._raw = self._here(_raw)
        self._plain = self._here(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM))

    def __enter__(self) -> Attacker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        if self._recorder is not None:
            self._recorder.join()
        self._raw.close()
        self._plain.close()

    # -- what it hears

    def record(self, hosts: Iterable[str]) -> None:
        """From now on note what comes to, or goes from, these hosts by UDP."""
        taps = [self._in(host, _tap) for host in hosts]
        self._recorder = threading.Thread(target=self._keep_recording, args=(taps,))
        self._recorder.start()

    def _keep_recording(self, taps: list[socket.socket]) -> None:
        with contextlib.ExitStack() as opened:
            for tap in taps:
                opened.enter_context(tap)
                tap.settimeout(0.05)
            while not self._over.is_set():
                for tap in taps:
                    self._take(tap)

    def _take(self, tap: socket.socket) -> None:
        for _ in range(64):
            try:
                packet = tap.recv(65536)
            except TimeoutError:
                return
            part = int.from_bytes(packet[6:8], "big") & 0x1FFF
            if packet[9] != socket.IPPROTO_UDP or part:
                continue
            size = (packet[0] & 15) * 4
            source_port, target_port, _, _ = _UDP.unpack_from(packet, size)
            source, target = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
            data = packet[size + _UDP.size :]
            self.recorded.append(Frame((source, source_port), (target, target_port), data, packet))

    def heard(self, service: str) -> list[Frame]:
        """What it has recorded of the members of that service, each once."""
        of = election_hash(service)
        frames = {
            frame.data: frame
            for frame in list(self.recorded)
            if len(frame.data) >= MIN_DATAGRAM and frame.data[0] == MAGIC
            if HEADER.unpack_from(frame.data)[6] == of
        }
        return list(frames.values())

    # -- what it says

    def send(self, data: bytes, to: tuple[str, int], source: tuple[str, int]) -> None:
        """One UDP datagram from any source."""
        self._raw.sendto(_packet(data, source, to), (to[0], 0))

    def send_big(self, data: bytes, to: tuple[str, int]) -> None:
        """One of any size, in fragments, from here."""
        self._plain.sendto(data, to)

    def send_icmp(self, kind: int, code: int, about: Frame, source: str, extra: bytes) -> None:
        """ICMP to the sender of ``about``, which it quotes; ``extra``: the header's last four."""
        body = struct.pack(">BBH", kind, code, 0) + extra + about.packet[: 20 + 8]
        body = body[:2] + struct.pack(">H", _checksum(body)) + body[4:]
        to = about.source[0]
        self._raw.sendto(_ip(body, source, to, socket.IPPROTO_ICMP), (to, 0))

    # -- where its sockets are made

    def _here(self, make: Callable[[], _Made]) -> _Made:
        return self._in(self.name, make)

    def _in(self, host: str, make: Callable[[], _Made]) -> _Made:
        """Make something in the network namespace of ``host``; it stays there."""
        made: list[_Made] = []

        def work() -> None:
            libc = ctypes.CDLL(None, use_errno=True)
            fd = os.open(NETNS / self._network.netns(host), os.O_RDONLY)
            try:
                if libc.setns(fd, _CLONE_NEWNET):
                    raise OSError(ctypes.get_errno(), "setns")
                made.append(make())
            finally:
                os.close(fd)

        worker = threading.Thread(target=work)  # a thread of its own: it is never here again
        worker.start()
        worker.join()
        return made[0]


@dataclass(frozen=True)
class Stolen:
    """What whoever listens knows of a group: names, numbers, addresses. Nothing is encrypted."""

    service: str
    members: dict[str, Owner]
    """By host."""
    addresses: dict[str, tuple[str, int]]
    leader: str
    term: int


def learned(frames: Iterable[Frame], service: str, leader: str, term: int) -> Stolen:
    """Read it off what was recorded. ``leader``: the address of the host that leads."""
    members: dict[str, Owner] = {}
    addresses: dict[str, tuple[str, int]] = {}
    for frame in frames:
        sender, incarnation = HEADER.unpack_from(frame.data)[7:9]
        host = frame.source[0]
        if host not in members or members[host].incarnation < incarnation:
            members[host] = Owner(sender, incarnation)
        addresses[host] = frame.source
    return Stolen(service, members, addresses, leader, term)


def forged(stolen: Stolen, ring: KeyRing = NO_KEYS) -> Iterator[bytes]:
    """Words of every kind that would move something, in the name of each member and of a stranger,
    of its present life and of a newer one."""
    stranger = Owner(0xBAD, 1)
    for owner in [*stolen.members.values(), stranger]:
        codec = Codec(stolen.service, owner.id, ring)
        for life in (owner, Owner(owner.id, owner.incarnation + 1_000_000)):
            for count, message in enumerate(_words(stolen)):
                header = Header(life, 2**40 + count, 0, 255)
                yield codec.encode(header, message)


def _words(stolen: Stolen) -> Iterator[Message]:
    """One of each kind at least, with the numbers that would do most harm."""
    leader = stolen.members[stolen.leader]
    term = stolen.term
    beat = say.Heartbeat(term + 1000, 2**30, 1, 99, True, 250 * MS, 800 * MS, 0)
    greeting = say.Hello(False, 7, 7, 2**53, "evil", False, 0, 0, False, (1, 1), None, ())
    notice = say.Notice(2**31, leader.id, 86_400_000 * MS)
    yield beat
    yield replace(beat, term=term, seq=2**40)
    yield replace(greeting, members=((leader.id, ("10.77.0.250", 9001)),))
    yield replace(greeting, ack=True)
    yield say.Prepare(term + 1000, (leader, term))
    yield say.Promise(term)
    yield say.Nack(term, term + 1_000_000, contended=False)
    yield say.Busy(0, leader, ("10.77.0.250", 9001), term + 1, 1, 800 * MS, Rank(99, 0, 255, 1))
    yield say.Release(term)
    yield say.Ack(term, 1, leader.incarnation)
    yield say.Challenge(7, beat)
    yield say.Refute(leader, term)
    yield say.Ask(7)
    yield say.Bye()
    yield say.Handover(0, preempts=False)
    yield say.Pause(notice, holder=0, term=term + 1)


# -- packets


def _raw() -> socket.socket:
    return socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)


def _tap() -> socket.socket:
    # Without the Ethernet header.
    tap = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
    tap.bind(("eth0", _ETH_P_IP))
    return tap


def _packet(data: bytes, source: tuple[str, int], to: tuple[str, int]) -> bytes:
    udp = _UDP.pack(source[1], to[1], _UDP.size + len(data), 0) + data  # no checksum: 0
    return _ip(udp, source[0], to[0], socket.IPPROTO_UDP)


def _ip(content: bytes, source: str, to: str, protocol: int) -> bytes:
    ends = socket.inet_aton(source), socket.inet_aton(to)
    head = _IP.pack(0x45, 0, _IP.size + len(content), 0, 0, 64, protocol, 0, *ends)
    return head + content  # the kernel fills in the header's checksum


def _checksum(data: bytes) -> int:
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data[: len(data) // 2 * 2]))
    total += (data[-1] << 8) if len(data) % 2 else 0
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
