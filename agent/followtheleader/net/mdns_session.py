"""One life of python-zeroconf, on one set of interfaces; imported only while discovery runs.

Every method ends within a bounded time, and says what went wrong instead of raising. Only calls
that python-zeroconf has had since 0.47 are used.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from collections.abc import Callable

from zeroconf import DNSQuestionType, Error, IPVersion, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from followtheleader.core.addresses import is_link_local, is_unicast
from followtheleader.core.types import Address
from followtheleader.net.hosts import canonical
from followtheleader.net.interfaces import Interface
from followtheleader.net.mdns import (
    LEADER_TYPE,
    MEMBER_TYPE,
    Announcement,
    service_mark,
)
from followtheleader.net.mdns_sieve import MdnsSieve

ANNOUNCE_SECONDS = 60.0
"""How often whoever does not follow announces itself again: two parts of a network that has healed
may never have heard of each other, and one of each part is enough for them to meet."""
SELDOM_SECONDS = 600.0
"""The same for a follower: everybody hears every announcement, so it must not be everybody's."""
_LEAST_SECONDS = 2.0
"""Between two announcements; one that is due earlier waits."""
CLOSE_SECONDS = 1.0
_EMPTY_SECONDS = 5.0
"""Between two times that all that was heard is forgotten."""
_START_SECONDS = 5.0
_RESOLVE_MS = 3000
_RESOLVERS = 4
_MOST_PENDING = 256
_MOST_ADDRESSES = 16
# RuntimeError and AssertionError: zeroconf closing under our feet, in its older releases.
_FAULTS = (OSError, Error, RuntimeError, AssertionError)


class Session:
    """Opened once, then `publish` and `wait` in turn until something fails, then closed."""

    def __init__(
        self,
        who: Announcement,
        interfaces: list[Interface],
        on_address: Callable[[Address, str], None],
        on_trouble: Callable[[str], None],
        on_search: Callable[[], None] = lambda: None,
        on_flood: Callable[[], None] = lambda: None,
    ) -> None:
        self._who = who
        self._interfaces = interfaces
        self._on_flood = on_flood
        self._emptying: asyncio.Task[None] | None = None
        self._emptied = 0.0
        self._sieve = MdnsSieve(self._fill)
        self._addresses = [interface.address for interface in interfaces]
        self._told = list(dict.fromkeys(interface.plain for interface in interfaces))
        self._on_address = on_address
        self._on_trouble = on_trouble
        self._on_search = on_search
        self._log = _LogReader(on_trouble)
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._found: asyncio.Queue[str] = asyncio.Queue(_MOST_PENDING)
        self._pending: set[str] = set()
        self._unresolved: set[str] = set()
        self._announced = 0.0
        self._owed = False
        self._resolvers: list[asyncio.Task[None]] = []
        self._member = self._member_info()
        self._leader: ServiceInfo | None = None

    async def open(self) -> str | None:
        """Take the sockets, publish the member's record, browse; None, or why not.

        By both families if the interfaces have both; where that fails, by the one that works.
        """
        failure = await self._open(self._interfaces)
        for six in (False, True):
            part = [i for i in self._interfaces if i.is_six == six]
            if failure is None or not part or len(part) == len(self._interfaces):
                break
            await self.close()
            if await self._open(part) is None:
                works, fails = ("IPv6", "IPv4") if six else ("IPv4", "IPv6")
                self._on_trouble(f"by {works} only, with {fails}: {failure}")
                return None
        return failure

    async def _open(self, interfaces: list[Interface]) -> str | None:
        try:
            self._zeroconf = AsyncZeroconf(
                interfaces=_sockets(interfaces), ip_version=_version(interfaces)
            )
            async with asyncio.timeout(_START_SECONDS):
                await self._zeroconf.zeroconf.async_wait_for_start()
            self._sieve.place(self._zeroconf)
            self._browser = self._browse(self._zeroconf)
            self._log.attach()
            loop = asyncio.get_running_loop()
            self._resolvers = [loop.create_task(self._keep_resolving()) for _ in range(_RESOLVERS)]
            await self._register(self._member, self._on_search)
        except _FAULTS as error:
            return _explain(error)
        return None

    async def publish(self, leading: bool, *, following: bool, woken: bool) -> str | None:
        """Bring what is published up to date, and announce us if it is time; None, or why not.

        ``woken``: not by time but by a change, so that others may have missed us.
        """
        if self._zeroconf is None:
            return "not open"
        silent = asyncio.get_running_loop().time() - self._announced
        try:
            if leading and self._leader is None:
                self._leader = self._leader_info()
                await self._register(self._leader)
            elif not leading and self._leader is not None:
                gone, self._leader = self._leader, None
                await (await self._zeroconf.async_unregister_service(gone))
            elif (woken or self._owed) and silent < _LEAST_SECONDS:
                self._owed = True
            elif woken or self._owed:
                self._announced = asyncio.get_running_loop().time()
                self._owed = False
                await (await self._zeroconf.async_update_service(self._member))
            elif not following or silent >= SELDOM_SECONDS:
                self._announced = asyncio.get_running_loop().time()
                zeroconf = self._zeroconf.zeroconf
                zeroconf.async_send(zeroconf.generate_service_broadcast(self._member, None))
        except _FAULTS as error:
            return _explain(error)
        return None

    async def wait(self, wake: asyncio.Event) -> bool:
        """Until ``wake`` is set (True), or it may be time to announce us again (False)."""
        for name in sorted(self._unresolved):
            self._enqueue(name)
        self._unresolved.clear()
        try:
            async with asyncio.timeout(_LEAST_SECONDS if self._owed else ANNOUNCE_SECONDS):
                await wake.wait()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Say goodbye and give everything back, within `CLOSE_SECONDS`."""
        self._log.detach()
        self._sieve.close()
        tasks = [*self._resolvers, *([self._emptying] if self._emptying else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        zeroconf, self._zeroconf = self._zeroconf, None
        browser, self._browser = self._browser, None
        if zeroconf is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if browser is not None:
                    await browser.async_cancel()
                await zeroconf.async_close()
        except _FAULTS:
            # Without a goodbye the records run out by themselves; only the sockets must go.
            zeroconf.zeroconf.close()

    async def _register(
        self, info: ServiceInfo, on_first: Callable[[], None] = lambda: None
    ) -> None:
        """Announce ``info`` several times; ``on_first`` is called at the first."""
        if self._zeroconf is not None:
            self._announced = asyncio.get_running_loop().time()
            # Cooperating: our names are unique, and probing for others would take 1.2 s.
            said = await self._zeroconf.async_register_service(info, cooperating_responders=True)
            on_first()
            await said

    def _member_info(self) -> ServiceInfo:
        return ServiceInfo(
            MEMBER_TYPE,
            f"{self._who.member_label}.{MEMBER_TYPE}",
            port=self._who.port,
            properties=dict(self._who.txt),
            # Not the host's own name: avahi answers for that one, and our goodbye would end it.
            server=f"ftl-{self._who.id:016x}.local.",
            parsed_addresses=self._told[:_MOST_ADDRESSES],
        )

    def _leader_info(self) -> ServiceInfo:
        return ServiceInfo(
            LEADER_TYPE,
            f"{self._who.leader_label}.{LEADER_TYPE}",
            port=self._who.port,
            properties={},
            server=f"ftl-{self._who.id:016x}-leader.local.",
            parsed_addresses=self._told[:1],
        )

    def _browse(self, zeroconf: AsyncZeroconf) -> AsyncServiceBrowser:
        return AsyncServiceBrowser(
            zeroconf.zeroconf,
            MEMBER_TYPE,
            handlers=[self._on_change],
            # A unicast reply to port 5353 would reach only one of the programs that share it.
            question_type=DNSQuestionType.QM,
        )

    def _fill(self) -> None:
        self._emptying = asyncio.get_running_loop().create_task(self._empty())
        self._on_flood()

    async def _empty(self) -> None:
        """Forget all, and ask again: whoever is really there answers."""
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(self._emptied + _EMPTY_SECONDS - loop.time(), 0))
        self._emptied = loop.time()
        zeroconf, browser = self._zeroconf, self._browser
        if zeroconf is None or browser is None:
            return
        try:
            await browser.async_cancel()
            self._sieve.empty()
            self._browser = self._browse(zeroconf)
        except _FAULTS as error:
            self._on_trouble(_explain(error))

    def _on_change(
        self,
        zeroconf: Zeroconf,
        service_type: str,
        name: str,
        state_change: ServiceStateChange,
    ) -> None:
        # Called from inside zeroconf's packet handling: enqueue only. A removal means nothing.
        if state_change is not ServiceStateChange.Removed:
            self._enqueue(name)

    def _enqueue(self, name: str) -> None:
        # Our own name too: a clone of this host announces itself under it, at another address.
        if name in self._pending:
            return
        if not self._found.full():
            self._pending.add(name)
            self._found.put_nowait(name)
        elif len(self._unresolved) < _MOST_PENDING:
            self._unresolved.add(name)

    async def _keep_resolving(self) -> None:
        while True:
            name = await self._found.get()
            self._pending.discard(name)
            if not await self._resolve(name) and len(self._unresolved) < _MOST_PENDING:
                self._unresolved.add(name)

    async def _resolve(self, name: str) -> bool:
        """Tell the addresses behind a name; False if they could not be learned yet."""
        if self._zeroconf is None:
            return False
        try:
            info = AsyncServiceInfo(MEMBER_TYPE, name)
            zeroconf = self._zeroconf.zeroconf
            if not await info.async_request(zeroconf, _RESOLVE_MS, DNSQuestionType.QM):
                return False
            self._tell(info)
        except _FAULTS:
            pass  # a name that breaks the rules, or we are closing: nothing to ask again
        return True

    def _tell(self, info: ServiceInfo) -> None:
        """The addresses of a member of our service, as its records say."""
        addresses = info.parsed_scoped_addresses(IPVersion.All)[:_MOST_ADDRESSES]
        port, texts = info.port, info.properties
        if texts.get(b"service") != service_mark(self._who.service) or not port:
            return
        node = (texts.get(b"node") or b"").decode("utf-8", "replace")
        for text in addresses:
            # A link-local address that came by IPv4 has no zone, and says nothing.
            address = canonical(text) or text, port
            if is_unicast(address) and address not in self._own():
                self._on_address(address, node)

    def _own(self) -> list[Address]:
        return [(address, self._who.port) for address in self._addresses]


def _version(interfaces: list[Interface]) -> IPVersion:
    families = {interface.is_six for interface in interfaces}
    if len(families) == 2:
        return IPVersion.All
    return IPVersion.V6Only if families == {True} else IPVersion.V4Only


def _sockets(interfaces: list[Interface]) -> list[str | int]:
    """One for each interface and family: several on one link would hear everything twice.

    For IPv6 the link-local address: what is sent from it says to its receiver which link it came
    by. Where two interfaces have the same one (a VLAN and what it lies on), their numbers.
    """
    chosen: dict[tuple[str, bool], Interface] = {}
    for interface in interfaces:
        key = (interface.name, interface.is_six)
        before = chosen.get(key)
        if before is None or is_link_local(interface.address) > is_link_local(before.address):
            chosen[key] = interface
    count = Counter(interface.plain for interface in chosen.values())
    # The numbers mean IPv6 only; an IPv4 address that two interfaces share is one socket.
    return list(
        dict.fromkeys(
            i.index if i.is_six and count[i.plain] > 1 else i.plain for i in chosen.values()
        )
    )


class _LogReader(logging.Handler):
    """Hears what zeroconf only logs, such as sends that fail, as one line without a traceback."""

    def __init__(self, on_trouble: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._on_trouble = on_trouble

    def attach(self) -> None:
        logging.getLogger("zeroconf").addHandler(self)

    def detach(self) -> None:
        logging.getLogger("zeroconf").removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._on_trouble(" ".join(record.getMessage().split()))


def _explain(error: BaseException) -> str:
    number = error.errno if isinstance(error, OSError) else None
    if number == errno.EADDRINUSE:
        return (
            "UDP port 5353 is held by a program that does not share it; "
            "for avahi set disallow-other-stacks=no in avahi-daemon.conf"
        )
    if number in (errno.ENETUNREACH, errno.ENODEV, errno.EADDRNOTAVAIL):
        return f"no multicast on these interfaces ({error})"
    if isinstance(error, TimeoutError):
        return "zeroconf did not start in time"
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
