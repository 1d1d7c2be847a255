"""The last will: datagrams that the agent deposits, sent when it has died and its job has ended.

The guardian cannot make such a datagram (it has no keys) and does not trust what it is given: a
will is kept only if every datagram is a RELEASE of at most 160 bytes, for at most 64 addresses that
need no name service. The copy on disk (0600) is for a guardian that cleans up after both died, and
names the agent that deposited it: a will must never be sent while its agent lives.
"""

from __future__ import annotations

import binascii
import json
import select
import socket

from followtheleader.guardian import files, proc
from followtheleader.guardian.home import Home

FILE = "will.json"
MAGIC = 0xF2
# The wire's number of the message RELEASE; a test holds it equal to the codec's.
RELEASE_TYPE = 8
DATAGRAM_LIMIT = 160
ADDRESS_LIMIT = 64
SEND_AT_MS = (0, 5, 20)

Datagram = tuple[str, int, bytes]


class BadWill(ValueError):
    """A will that is not kept; the text says why."""


def check(value: object) -> list[Datagram]:
    """The (host, port, data) of a deposited will. Raise `BadWill`."""
    if not isinstance(value, list):
        raise BadWill("datagrams must be a list")
    if len(value) > ADDRESS_LIMIT:
        raise BadWill(f"{len(value)} addresses: at most {ADDRESS_LIMIT} are allowed")
    return [_datagram(entry) for entry in value]


def _datagram(entry: object) -> Datagram:
    if not isinstance(entry, dict):
        raise BadWill("a datagram must be an object")
    to, data = entry.get("to"), entry.get("data")
    if not isinstance(to, list) or len(to) != 2 or not isinstance(to[0], str):
        raise BadWill("to must be [address, port]")
    host, port = to
    if type(port) is not int or not 0 < port < 65536:
        raise BadWill(f"port {str(port)[:20]!r}: 1 to 65535")
    _family(host)
    return host, port, _payload(data)


def _payload(data: object) -> bytes:
    try:
        payload = binascii.a2b_base64(data if isinstance(data, str) else "*", strict_mode=True)
    except ValueError:
        raise BadWill("data must be base64") from None
    if len(payload) > DATAGRAM_LIMIT:
        raise BadWill(f"a datagram of {len(payload)} bytes: at most {DATAGRAM_LIMIT} are allowed")
    if len(payload) < 3 or payload[0] != MAGIC or payload[2] != RELEASE_TYPE:
        raise BadWill("a datagram that is not a RELEASE")
    return payload


def _family(host: str) -> socket.AddressFamily:
    """The family of a literal address, which may carry a scope (fe80::1%eth0). Raise `BadWill`."""
    for family, text in ((socket.AF_INET, host), (socket.AF_INET6, host.partition("%")[0])):
        try:
            socket.inet_pton(family, text)
        except (OSError, ValueError):
            continue
        return family
    raise BadWill(f"address {host[:60]!r}: must be an IPv4 or IPv6 address, not a name")


class LastWill:
    """The will that is deposited now, in memory and on file, and the one that was found there."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.datagrams: list[Datagram] = []
        self.inherited: list[Datagram] = []

    def deposit(self, datagrams: list[Datagram], agent: tuple[int, int]) -> None:
        """Keep a checked will of the process ``agent`` (pid, start). Raise `OSError`: only in
        memory."""
        self.datagrams = datagrams
        if not datagrams:
            files.remove(self._home.fd, FILE)
            return
        entries = [
            {"to": [host, port], "data": binascii.b2a_base64(data, newline=False).decode()}
            for host, port, data in datagrams
        ]
        text = json.dumps({"agent": agent, "datagrams": entries})
        files.write_atomic(self._home.fd, FILE, text.encode())

    def inherit(self) -> str:
        """Take over the will on file if its agent is gone. Return what is wrong with it.

        Raise `proc.Blind` if that cannot be seen now.
        """
        try:
            data = files.read_small(self._home.fd, FILE)
            if data is None:
                return ""
            saved = json.loads(data)
            pid, start = saved["agent"]
            if proc.is_alive(int(pid), int(start)):
                return ""
            self.inherited = check(saved["datagrams"])
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            if isinstance(error, OSError):
                proc.tell_blind(error, FILE)
            return f"{FILE} is not readable ({error}): not sent"
        return ""

    def send_inherited(self) -> str:
        """Send what an earlier guardian could not. Return what failed."""
        datagrams, self.inherited = self.inherited, []
        faults = _send_all(datagrams)
        if not self.datagrams:
            self.drop()
        return faults

    def send(self) -> str:
        """Send it, then forget it. Return what failed."""
        faults = _send_all(self.datagrams)
        self.drop()
        return faults

    def drop(self) -> None:
        """Forget it, on file too."""
        self.datagrams = []
        try:
            files.remove(self._home.fd, FILE)
        except OSError:
            pass  # it names its agent and its term: sent once more it frees nothing new


def _send_all(datagrams: list[Datagram]) -> str:
    """Every datagram three times within 20 ms: one may be lost, and they cost nothing."""
    faults: set[str] = set()
    sent_ms = 0
    for at_ms in SEND_AT_MS:
        select.poll().poll(at_ms - sent_ms)
        sent_ms = at_ms
        for datagram in datagrams:
            faults |= _send(*datagram)
    return "; ".join(sorted(faults))


def _send(host: str, port: int, data: bytes) -> set[str]:
    try:
        # Bytes, or the resolver would load the codec for international names.
        flags = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
        found = socket.getaddrinfo(host.encode(), port, type=socket.SOCK_DGRAM, flags=flags)
        with socket.socket(found[0][0], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as endpoint:
            endpoint.sendto(data, found[0][4])
    except OSError as error:
        return {f"{host} port {port}: {error.strerror}"}
    return set()
