"""The agent's UDP port: one socket for IPv4, and one for IPv6 where the host speaks it.

Promise: `Endpoint.send` and the receiving side never raise and never wait. The sockets are bound
once and survive changes of addresses; datagrams of interfaces that were not chosen are dropped
before anybody sees them.

Two sockets, and not one for both: what comes by IPv4 costs what it would cost alone.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from followtheleader.core.addresses import ANYWHERE, is_link_local, show
from followtheleader.core.types import Address
from followtheleader.errors import AddressError
from followtheleader.net.hosts import SixAddress, canonical, six_address, zone_of
from followtheleader.net.sieve import Sieve

DEFAULT_PORT = 9001
_PORTS_TRIED = 100
_LARGEST = 2048
_PER_WAKE = 64
_BUSY_SECONDS = 0.005
_MOST_DRAINED = 512
_RECEIVE_BUFFER = 1 << 20
# Not in Python's socket module before 3.12: <linux/in.h>, struct in_pktinfo.
_IP_PKTINFO = 8
# Not in it at all: <linux/in6.h> (RFC 5014).
_IPV6_ADDR_PREFERENCES, _PREFER_SRC_PUBLIC = 72, 0x2
_PKTINFO = struct.Struct("=i4s4s")
_PKTINFO6 = struct.Struct("=16si")
_INDEX = struct.Struct("=i")
_ANCILLARY = socket.CMSG_SPACE(max(_PKTINFO.size, _PKTINFO6.size))
_INDEX6_AT = _PKTINFO6.size - _INDEX.size
_MOST_TARGETS = 1024
# As it stands in the socket module it is an enumeration, slow to compute with.
_MSG_TRUNC = int(socket.MSG_TRUNC)


@dataclass(frozen=True, slots=True)
class SendFailure:
    """Datagrams of one kind of failure: errno's name, how many, and the last in words."""

    kind: str
    count: int
    last: str


class Endpoint:
    """A bound UDP port. Make it with `bind`, then `start` it in a running loop."""

    def __init__(
        self, host: str, four: socket.socket | None, six: socket.socket | None, note: str | None
    ) -> None:
        self._four = four
        self._six = six
        self._sockets = [bound for bound in (four, six) if bound is not None]
        self.sieve = Sieve(four, six)
        """What the kernel is told to drop."""
        self.note = note
        """What to tell the operator about the port chosen; None if it is the expected one."""
        self.host = host
        """The address bound to; 0.0.0.0 is every one, of both families."""
        self.port: int = self._sockets[0].getsockname()[1]
        self.foreign = 0
        """How many datagrams were dropped: by interfaces not chosen, or longer than any of ours."""
        self._accepted: frozenset[bytes] | None = None
        self._failures: dict[str, SendFailure] = {}
        self._drained_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_datagram: Callable[[bytes, Address], None] = _ignore
        self._on_batch: Callable[[], None] = _nothing
        # Names and numbers of interfaces, and addresses as the kernel takes them.
        self._zones: dict[int, str] = {}
        self._targets: dict[Address, SixAddress] = {}

    @classmethod
    def bind(
        cls, host: str = "0.0.0.0", port: int | None = None, last: int | None = None
    ) -> Endpoint:
        """Bind to ``host``, and to ``port`` or else the first free of ``last``, 9001, 9002, ….

        0.0.0.0 or ``::`` is every address of both families; where one family does not exist it is
        left out. Raises `AddressError` with the cure.
        """
        if port is not None:
            return cls(*_bind(host, port), None)
        wanted = last or DEFAULT_PORT
        for candidate in (wanted, *range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)):
            try:
                bound = _bind(host, candidate)
            except _PortTaken:
                continue
            if candidate == wanted:
                return cls(*bound, None)
            hint = "name it where other members list this one in `peers`, or set `port`"
            return cls(*bound, f"port {wanted} is taken; listening on {candidate}: {hint}")
        span = f"{DEFAULT_PORT} to {DEFAULT_PORT + _PORTS_TRIED - 1}"
        raise AddressError(f"port: none of {span} is free on {host}; set `port` to one that is")

    def accept(self, indexes: Iterable[int] | None) -> None:
        """Take datagrams only from interfaces with these ifindexes, and from this host itself.

        None takes all. Without meaning when bound to one address: the kernel chooses then. Call
        it again when interfaces change: their names are asked anew.
        """
        self._zones.clear()
        self._targets.clear()
        if indexes is None or self.host not in ANYWHERE:
            self._accepted = None
            return
        # What a host sends to an address of its own arrives by lo.
        self._accepted = frozenset(map(_INDEX.pack, (*indexes, *_loopback())))

    def start(
        self,
        on_datagram: Callable[[bytes, Address], None],
        on_batch: Callable[[], None] | None = None,
    ) -> None:
        """Call ``on_datagram(data, (host, port))`` for each datagram as it comes.

        ``on_batch()`` is called after the last of each wake, so that work can be done once for all.
        """
        self._on_datagram = on_datagram
        self._on_batch = on_batch or _nothing
        self._loop = asyncio.get_running_loop()
        for bound in self._sockets:
            self._loop.add_reader(bound, self._on_readable, bound)

    def drain(self, most: int = _MOST_DRAINED) -> int:
        """Read now what is buffered, at most ``most`` datagrams of each family; return how many
        were passed on.

        ``on_datagram`` is called as usual, ``on_batch`` is not.
        """
        return sum(self._read(bound, most) for bound in self._sockets)

    def _read(self, bound: socket.socket, most: int) -> int:
        is_six = bound is self._six
        passed = 0
        for _ in range(most):
            try:
                data, ancillary, flags, sender = bound.recvmsg(_LARGEST, _ANCILLARY)
            except BlockingIOError:
                break
            except OSError:
                # An ICMP error of an earlier datagram: it proves nothing, anybody can forge it.
                continue
            accepted = self._accepted is None or _interface(ancillary) in self._accepted
            if not accepted or flags & _MSG_TRUNC:
                self.foreign += 1
                continue
            passed += 1
            self._on_datagram(data, self._source(sender) if is_six else sender)
        return passed

    def _source(self, sender: SixAddress) -> Address:
        host, port, _, scope = sender
        return (f"{host}%{self._zone(scope)}" if scope else host), port

    def _zone(self, scope: int) -> str:
        zone = self._zones.get(scope)
        if zone is None:
            zone = self._zones[scope] = zone_of(scope)
        return zone

    def send(self, data: bytes, to: Address) -> bool:
        """Send one datagram to a literal address; False (and counted) if it cannot leave."""
        try:
            # A name would make sendto() ask a name server, and wait for it.
            if ":" in to[0]:
                _existing(self._six).sendto(data, self._target(to))
            else:
                socket.inet_pton(socket.AF_INET, to[0])
                _existing(self._four).sendto(data, to)
        except (OSError, OverflowError) as error:
            self._failed(to, error)
            return False
        return True

    def _target(self, to: Address) -> SixAddress:
        target = self._targets.get(to)
        if target is None:
            target = six_address(*to)
            if len(self._targets) >= _MOST_TARGETS:
                self._targets.clear()
            self._targets[to] = target
        return target

    def take_failures(self) -> list[SendFailure]:
        """The failures of `send` since the last call, by kind; for the log."""
        failures, self._failures = list(self._failures.values()), {}
        return failures

    def close(self) -> None:
        """Close the port; nothing is called afterwards."""
        for bound in self._sockets:
            if self._loop is not None and bound.fileno() >= 0:
                self._loop.remove_reader(bound)
            bound.close()

    def _on_readable(self, bound: socket.socket) -> None:
        # Looking for a second datagram costs as much as the first, and seldom finds one; but under
        # load they come together. Bounded, so that a flood leaves the loop its timers.
        busy = time.monotonic() - self._drained_at < _BUSY_SECONDS
        if self._read(bound, _PER_WAKE if busy else 1):
            self._on_batch()
        self._drained_at = time.monotonic()

    def _failed(self, to: Address, error: OSError | OverflowError) -> None:
        number = (error.errno if isinstance(error, OSError) else None) or errno.EINVAL
        kind = errno.errorcode.get(number, str(number))
        before = self._failures.get(kind)
        reason = error.strerror if isinstance(error, OSError) and error.errno else str(error)
        last = f"to {show(to)}: {reason}{_HINTS.get(number, '')}"
        self._failures[kind] = SendFailure(kind, before.count + 1 if before else 1, last)


class _PortTaken(AddressError):
    """The port is in use; another one may not be."""


class _NoFamily(AddressError):
    """The host has no IPv4, or no IPv6."""


_HINTS = {
    errno.EPERM: " (a firewall of this host drops it)",
    errno.EACCES: " (a broadcast address, or a firewall of this host)",
    errno.ENETUNREACH: " (no route; is an interface up?)",
    errno.EHOSTUNREACH: " (no route, or nobody has that address)",
    errno.EAFNOSUPPORT: " (`host` is of the other family, or this host does not speak it)",
}


def _existing(bound: socket.socket | None) -> socket.socket:
    if bound is None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported")
    return bound


Bound = tuple[str, socket.socket | None, socket.socket | None]


def _bind(host: str, port: int) -> Bound:
    """Return the host in the program's form, and a socket for each family that it stands for."""
    if host in ANYWHERE:
        return _bind_everywhere(port)
    literal = canonical(host)
    if literal is None:
        raise _cannot_bind(host, port, OSError())
    if ":" not in literal:
        return literal, _bind_one(socket.AF_INET, literal, port), None
    if is_link_local(literal) and "%" not in literal:
        raise AddressError(f"host: {host} is of one link, name its interface: {host}%eth0")
    return literal, None, _bind_one(socket.AF_INET6, literal, port)


def _bind_everywhere(port: int) -> Bound:
    """A port that is free in one family and taken in the other is taken."""
    four = None
    try:
        four = _bind_one(socket.AF_INET, ANYWHERE[0], port)
    except _NoFamily:
        pass
    try:
        return ANYWHERE[0], four, _bind_one(socket.AF_INET6, ANYWHERE[1], port)
    except _NoFamily:
        if four is None:
            raise
        return ANYWHERE[0], four, None
    except AddressError:
        if four is not None:
            four.close()
        raise


def _bind_one(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    try:
        bound = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        # EAFNOSUPPORT: the kernel was told ipv6.disable=1, or a sandbox leaves the family out.
        raise _cannot_bind(host, port, error) from None
    try:
        bound.setblocking(False)
        # The kernel gives what it allows (net.core.rmem_max); a frozen agent wakes to a full one.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        if family == socket.AF_INET:
            bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
            bound.bind((host, port))
        else:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            _prefer_lasting(bound)
            bound.bind(six_address(host, port))
    except OSError as error:
        bound.close()
        raise _cannot_bind(host, port, error) from None
    return bound


def _prefer_lasting(six: socket.socket) -> None:
    """Speak from the address that others may remember, not from one made for a day of privacy."""
    try:
        six.setsockopt(socket.IPPROTO_IPV6, _IPV6_ADDR_PREFERENCES, _PREFER_SRC_PUBLIC)
    except OSError:
        pass  # then they hear from another address now and then


def _cannot_bind(host: str, port: int, error: OSError) -> AddressError:
    if error.errno == errno.EADDRINUSE:
        return _PortTaken(
            f"port: {port} is taken on {host}; stop what holds it "
            f"(`ss -lunp sport = :{port}` names it), or set another `port`"
        )
    if error.errno == errno.EACCES:
        return AddressError(f"port: {port} is for root only; set `port` to 1024 or above")
    if error.errno == errno.EAFNOSUPPORT:
        return _NoFamily(
            f"host: this host does not speak the family of {host}; set another, or 0.0.0.0 for all"
        )
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV, None):
        # It may come later: from DHCP, or when IPv6 has tested it.
        return AddressError(
            f"host: {host} is not an address of this host; set one that is, or 0.0.0.0 for all",
            passing=True,
        )
    where = show((host, port))
    return AddressError(f"host: cannot listen on {where}: {error.strerror}; set another")


def _interface(ancillary: list[tuple[int, int, bytes]]) -> bytes | None:
    """The ifindex that a datagram came by, as its bytes; IPv6 puts the address before it."""
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return value[: _INDEX.size]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return value[_INDEX6_AT:]
    return None


def _loopback() -> tuple[int, ...]:
    try:
        return (socket.if_nametoindex("lo"),)
    except OSError:
        return ()


def _ignore(data: bytes, sender: Address) -> None: ...


def _nothing() -> None: ...
