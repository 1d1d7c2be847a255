"""Finding members by mDNS, and being found.

Promise: whatever mDNS does (no multicast route, port 5353 taken, interfaces that come and go, names
that others use, nonsense on the wire), the agent goes on, `Discovery` says so once and tries again.
What it finds are suggestions: addresses are told, never taken back.

Each member publishes ``<node>-<id>._ftl-node._udp.local.``; the leader also
``<service>._ftl._udp.local.``. python-zeroconf is imported when discovery starts, not before.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from followtheleader.core.types import Address
from followtheleader.net.interfaces import Interface

if TYPE_CHECKING:
    from followtheleader.net.mdns_session import Session

MEMBER_TYPE = "_ftl-node._udp.local."
LEADER_TYPE = "_ftl._udp.local."
FIRST_RETRY_SECONDS = 5.0
LAST_RETRY_SECONDS = 60.0
_LONGEST_LABEL = 63
_LONGEST_TXT = 200


@dataclass(frozen=True, slots=True)
class Announcement:
    """Who we are, as mDNS tells it; ``port`` is the UDP port of our elections."""

    service: str
    node: str
    id: int
    port: int
    version: str

    @property
    def member_label(self) -> str:
        """``<node>-<id in 16 hex digits>``, at most 63 bytes, without dots."""
        return label(self.node, f"-{self.id:016x}")

    @property
    def leader_label(self) -> str:
        """The service's name, at most 63 bytes, without dots."""
        return label(self.service)

    @property
    def txt(self) -> dict[bytes, bytes]:
        """What the member's record says beside the port and the addresses."""
        return {
            b"service": service_mark(self.service),
            b"node": self.node.encode()[:_LONGEST_TXT],
            b"id": f"{self.id:016x}".encode(),
            b"version": self.version.encode()[:_LONGEST_TXT],
        }


def label(name: str, ending: str = "") -> str:
    """``name`` as one label of a DNS name, cut so that it fits with ``ending``.

    Dots separate labels and most software has no escape for them, so they become hyphens. The
    label is for people; what is compared is in the TXT record.
    """
    plain = "".join("-" if c == "." or not c.isprintable() else c for c in name)
    room = _LONGEST_LABEL - len(ending.encode())
    short = plain.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")
    return f"{short or 'x'}{ending}"


def service_mark(service: str) -> bytes:
    """The service's name as compared between members: itself, or its hash if too long for TXT."""
    raw = service.encode("utf-8", "replace")
    if len(raw) <= _LONGEST_TXT:
        return raw
    return b"blake2s:" + hashlib.blake2s(raw).hexdigest().encode()


class Discovery:
    """Publishes us and finds the other members, for as long as it runs.

    ``interfaces()`` says on which addresses, e.g. ``lambda: usable(names)``. In the loop it calls
    ``on_address(address, node)`` for every address of a member of the same service, possibly again
    and again; ``on_failure(message)`` once when discovery stops working; ``on_recovery()`` when it
    works again; ``on_search()`` whenever the others have just been asked for, or cannot be.
    """

    def __init__(
        self,
        who: Announcement,
        interfaces: Callable[[], list[Interface]],
        on_address: Callable[[Address, str], None],
        on_failure: Callable[[str], None],
        on_recovery: Callable[[], None] | None = None,
        on_search: Callable[[], None] = lambda: None,
    ) -> None:
        self._who = who
        self._interfaces = interfaces
        self._on_address = on_address
        self._on_failure = on_failure
        self._on_recovery = on_recovery
        self._on_search = on_search
        self._task: asyncio.Task[None] | None = None
        self._wake = asyncio.Event()
        self._leading = self._following = False
        self._quiet_until = self._flooded = 0.0
        self._complained = self._told = False
        self.failure: str | None = None
        """Why discovery does not work at present; None while it does (or before it began)."""

    def start(self) -> None:
        """Begin, in the running loop."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    def set_role(self, *, leading: bool, following: bool) -> None:
        """Publish or withdraw the leader's record, soon; whoever follows is announced seldom."""
        changed = leading != self._leading
        self._leading, self._following = leading, following
        if changed:
            self._wake.set()

    def refresh(self) -> None:
        """Interfaces may have changed, or a network healed: look, and announce us again, now."""
        self._wake.set()

    async def close(self) -> None:
        """Say goodbye and stop, within about a second."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        delay = FIRST_RETRY_SECONDS
        while True:
            began = loop.time()
            try:
                failure = await self._work()
            except Exception as error:  # noqa: BLE001 - a library's defect: told, and tried again
                failure = repr(error)
            if failure is None:
                continue
            if loop.time() - began > LAST_RETRY_SECONDS:
                delay = FIRST_RETRY_SECONDS
            self._fail(failure)
            self._on_search()
            await self._pause(delay)
            delay = min(2 * delay, LAST_RETRY_SECONDS)

    async def _work(self) -> str | None:
        """Discover until the interfaces change (None) or something fails (why)."""
        try:
            from followtheleader.net.mdns_session import Session

            # Cleared before looking, here and below: a change after the look wakes us again.
            self._wake.clear()
            chosen = self._interfaces()
        except ImportError as error:
            return f"python-zeroconf cannot be used: {error}; install zeroconf 0.47 or later"
        except OSError as error:
            return str(error)
        if not chosen:
            return "no usable interface has an address yet"
        who, told = self._who, (self._on_address, self._trouble, self._on_search)
        session = Session(who, chosen, *told, self._on_flood)
        try:
            self._complained = False
            failure = await session.open()
            if failure is None:
                if not self._complained:
                    self._recover()
                failure = await self._serve(session, chosen)
        finally:
            await session.close()
        return failure

    async def _serve(self, session: Session, chosen: list[Interface]) -> str | None:
        woken = True
        while True:
            failure = await session.publish(self._leading, following=self._following, woken=woken)
            if failure is not None:
                return failure
            woken = await session.wait(self._wake)
            self._wake.clear()
            now = asyncio.get_running_loop().time()
            if self._flooded and now - self._flooded > LAST_RETRY_SECONDS:
                self._flooded = 0.0
                if not self._complained:
                    self._recover()
            if woken and self._complained:
                return None  # other interfaces, new sockets: they show whether it is over
            try:
                if self._interfaces() != chosen:
                    return None
            except OSError as error:
                return str(error)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass

    def _fail(self, message: str) -> None:
        if message != self.failure:
            self.failure = message
            self._told = True
            cure = "members are found by `peers` and remembered addresses only; trying on"
            self._on_failure(f"mDNS: {message}; {cure}")

    def _trouble(self, message: str) -> None:
        """Something that zeroconf warns of and works on with, such as a send that failed."""
        self._complained = True
        now = asyncio.get_running_loop().time()
        if now >= self._quiet_until:
            self._quiet_until = now + LAST_RETRY_SECONDS
            self._told = True
            self._on_failure(f"mDNS: {message}")

    def _on_flood(self) -> None:
        """More members are announced than can be there; it goes on with those who answer now."""
        calm, self._flooded = not self._flooded, asyncio.get_running_loop().time()
        if calm:
            self._told = True
            self._on_failure(
                "mDNS: somebody floods this network with announcements of members; what was heard "
                "is forgotten again and again, and members are found more slowly"
            )

    def _recover(self) -> None:
        self.failure = None
        if self._told:
            self._told = False
            self._quiet_until = 0.0
            if self._on_recovery is not None:
                self._on_recovery()
