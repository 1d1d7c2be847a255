"""The agent's one UDP socket.

Promise: `Endpoint.send` and the receiving side never raise and never wait. The socket is bound once
and survives changes of addresses; datagrams of interfaces that were not chosen are dropped before
anybody sees them.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from followtheleader.errors import AddressError

Address = tuple[str, int]

DEFAULT_PORT = 9001
_PORTS_TRIED = 100
_LARGEST = 2048
_PER_WAKE = 64
_BUSY_SECONDS = 0.005
_MOST_DRAINED = 512
_RECEIVE_BUFFER = 1 << 20
# Not in Python's socket module before 3.12: <linux/in.h>, struct in_pktinfo.
_IP_PKTINFO = 8
_PKTINFO = struct.Struct("=i4s4s")
_INDEX = struct.Struct("=i")
_ANCILLARY = socket.CMSG_SPACE(_PKTINFO.size)
# As it stands in the socket module it is an enumeration, slow to compute with.
_MSG_TRUNC = int(socket.MSG_TRUNC)


@dataclass(frozen=True, slots=True)
class SendFailure:
    """Datagrams of one kind of failure: errno's name, how many, and the last in words."""

    kind: str
    count: int
    last: str


class Endpoint:
    """A bound UDP socket. Make it with `bind`, then `start` it in a running loop."""

    def __init__(self, bound: socket.socket, note: str | None) -> None:
        self._socket = bound
        self.note = note
        """What to tell the operator about the port chosen; None if it is the expected one."""
        host, port = bound.getsockname()
        self.host: str = host
        self.port: int = port
        self.foreign = 0
        """How many datagrams were dropped: by interfaces not chosen, or longer than any of ours."""
        self._accepted: frozenset[bytes] | None = None
        self._failures: dict[str, SendFailure] = {}
        self._drained_at = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_datagram: Callable[[bytes, Address], None] = _ignore
        self._on_batch: Callable[[], None] = _nothing

    @classmethod
    def bind(
        cls, host: str = "0.0.0.0", port: int | None = None, last: int | None = None
    ) -> Endpoint:
        """Bind to ``host``, and to ``port`` or else the first free of ``last``, 9001, 9002, ….

        Raises `AddressError` with the cure.
        """
        if port is not None:
            return cls(_bind(host, port), None)
        wanted = last or DEFAULT_PORT
        for candidate in (wanted, *range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED)):
            try:
                bound = _bind(host, candidate)
            except _PortTaken:
                continue
            if candidate == wanted:
                return cls(bound, None)
            hint = "name it where other members list this one in `peers`, or set `port`"
            return cls(bound, f"port {wanted} is taken; listening on {candidate}: {hint}")
        span = f"{DEFAULT_PORT} to {DEFAULT_PORT + _PORTS_TRIED - 1}"
        raise AddressError(f"port: none of {span} is free on {host}; set `port` to one that is")

    def accept(self, indexes: Iterable[int] | None) -> None:
        """Take datagrams only from interfaces with these ifindexes, and from this host itself.

        None takes all. Without meaning when bound to one address: the kernel chooses then.
        """
        if indexes is None or self.host != "0.0.0.0":
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
        self._loop.add_reader(self._socket, self._on_readable)

    def drain(self, most: int = _MOST_DRAINED) -> int:
        """Read now what is buffered, at most ``most`` datagrams; return how many were passed on.

        ``on_datagram`` is called as usual, ``on_batch`` is not.
        """
        passed = 0
        for _ in range(most):
            try:
                data, ancillary, flags, sender = self._socket.recvmsg(_LARGEST, _ANCILLARY)
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
            self._on_datagram(data, sender)
        return passed

    def send(self, data: bytes, to: Address) -> bool:
        """Send one datagram to a literal IPv4 address; False (and counted) if it cannot leave."""
        try:
            # A name would make sendto() ask a name server, and wait for it.
            socket.inet_pton(socket.AF_INET, to[0])
            self._socket.sendto(data, to)
        except (OSError, OverflowError) as error:
            self._failed(to, error)
            return False
        return True

    def take_failures(self) -> list[SendFailure]:
        """The failures of `send` since the last call, by kind; for the log."""
        failures, self._failures = list(self._failures.values()), {}
        return failures

    def close(self) -> None:
        """Close the socket; nothing is called afterwards."""
        if self._loop is not None and self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
        self._socket.close()

    def _on_readable(self) -> None:
        # Looking for a second datagram costs as much as the first, and seldom finds one; but under
        # load they come together. Bounded, so that a flood leaves the loop its timers.
        busy = time.monotonic() - self._drained_at < _BUSY_SECONDS
        if self.drain(_PER_WAKE if busy else 1):
            self._on_batch()
        self._drained_at = time.monotonic()

    def _failed(self, to: Address, error: OSError | OverflowError) -> None:
        number = (error.errno if isinstance(error, OSError) else None) or errno.EINVAL
        kind = errno.errorcode.get(number, str(number))
        before = self._failures.get(kind)
        reason = error.strerror if isinstance(error, OSError) and error.errno else str(error)
        last = f"to {to[0]}:{to[1]}: {reason}{_HINTS.get(number, '')}"
        self._failures[kind] = SendFailure(kind, before.count + 1 if before else 1, last)


class _PortTaken(AddressError):
    """The port is in use; another one may not be."""


_HINTS = {
    errno.EPERM: " (a firewall of this host drops it)",
    errno.EACCES: " (a broadcast address, or a firewall of this host)",
    errno.ENETUNREACH: " (no route; is an interface up?)",
    errno.EHOSTUNREACH: " (no route, or nobody has that address)",
}


def _bind(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        bound.setblocking(False)
        bound.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        # The kernel gives what it allows (net.core.rmem_max); a frozen agent wakes to a full one.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        socket.inet_pton(socket.AF_INET, host)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise _cannot_bind(host, port, error) from None
    return bound


def _cannot_bind(host: str, port: int, error: OSError) -> AddressError:
    if error.errno == errno.EADDRINUSE:
        return _PortTaken(
            f"port: {port} is taken on {host}; stop what holds it "
            f"(`ss -lunp sport = :{port}` names it), or set another `port`"
        )
    if error.errno == errno.EACCES:
        return AddressError(f"port: {port} is for root only; set `port` to 1024 or above")
    if error.errno in (errno.EADDRNOTAVAIL, None):
        return AddressError(
            f"host: {host} is not an IPv4 address of this host; set one that is, or 0.0.0.0 for all"
        )
    return AddressError(f"host: cannot listen on {host}:{port}: {error.strerror}; set another")


def _interface(ancillary: list[tuple[int, int, bytes]]) -> bytes | None:
    """The ifindex that a datagram came by, as its bytes."""
    for level, kind, value in ancillary:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            return value[: _INDEX.size]
    return None


def _loopback() -> tuple[int, ...]:
    try:
        return (socket.if_nametoindex("lo"),)
    except OSError:
        return ()


def _ignore(data: bytes, sender: Address) -> None: ...


def _nothing() -> None: ...
