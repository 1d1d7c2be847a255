"""Who may be out there: interfaces, static peers, mDNS.

Promise: whatever is found here is posted as a suggestion (`AddressFound`) and never taken back,
except a peer that the configuration names no longer; what does not work is told as trouble, and the
election goes on without it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from followtheleader import __version__
from followtheleader.core.addresses import ANYWHERE, is_loopback, show
from followtheleader.core.events import AddressDropped, AddressFound, LinkChanged, SearchBegun
from followtheleader.core.types import NANOSECONDS, Address, Role
from followtheleader.core.view import MemberView
from followtheleader.host.clock import boottime
from followtheleader.net.bucket import Bucket
from followtheleader.net.interfaces import (
    Interface,
    existing,
    has_carrier,
    holding,
    missing,
    usable,
)
from followtheleader.net.mdns import Announcement, Discovery
from followtheleader.net.resolver import Resolver
from followtheleader.net.udp import DEFAULT_PORT, Endpoint
from followtheleader.net.watch import InterfaceWatch
from followtheleader.observer import Observer, Profile

ISOLATED_AFTER_SECONDS = 10.0
MOST_ANNOUNCED = 32
NAMED_ANNOUNCED = 4
LOOK_SECONDS = 10.0
"""Between two looks at the interfaces where the kernel tells of no changes, or did not answer."""


class Lookout:
    """Looks for the others, and at our own interfaces. Call everything from the loop's thread."""

    def __init__(
        self,
        profile: Profile,
        endpoint: Endpoint,
        observer: Observer,
        post: Callable[[AddressFound | AddressDropped | LinkChanged | SearchBegun], None],
    ) -> None:
        self._profile = profile
        self._endpoint = endpoint
        self._observer = observer
        self._post = post
        self._resolver = Resolver(
            _peers_of(profile), self._on_resolved, self._on_unresolved, self._on_moved_away
        )
        self._watch = InterfaceWatch(self._on_interfaces_changed)
        self._discovery = self._new_discovery() if profile.mdns else None
        self._turning: asyncio.Task[None] | None = None
        self._role = Role.CANDIDATE
        self._started = False
        self._announced: dict[str, Address] = {}
        # Anybody may announce members by mDNS; each address is greeted a dozen times.
        self._suggestions = Bucket(16, at_once=512)
        self._heard_anybody = False
        self._isolation: asyncio.TimerHandle | None = None
        self._seen: tuple[list[Interface], list[str]] | None = None
        self._loss: asyncio.TimerHandle | None = None
        self._carried = False
        self._watched = True
        self._next_look: asyncio.TimerHandle | None = None

    def resolve_peers(self) -> None:
        """Begin with the static peers; literal addresses are posted at once."""
        self._resolver.start()

    def start(self) -> None:
        """Watch the interfaces and begin mDNS."""
        self._started = True
        self._watched = self._watch.start()
        if not self._watched:
            text = f"changes of interfaces are not told here: looked for every {LOOK_SECONDS:g} s"
            self._observer.on_note("interfaces", text, {})
        self._take_up()
        if self._discovery is not None:
            self._discovery.start()

    async def close(self) -> None:
        """Stop looking; say goodbye by mDNS."""
        for timer in (self._isolation, self._loss, self._next_look):
            if timer is not None:
                timer.cancel()
        self._watch.close()
        await self._resolver.close()
        if self._turning is not None:
            await self._turning
        if self._discovery is not None:
            await self._discovery.close()

    def set_role(self, role: Role) -> None:
        """Publish or withdraw the leader's record."""
        self._role = role
        if self._discovery is not None:
            self._discovery.set_role(leading=role is Role.LEADER, following=role is Role.FOLLOWER)

    def change(self, profile: Profile) -> None:
        """Look where ``profile`` says from now on: other peers, with mDNS or without."""
        before, self._profile = self._profile, profile
        peers = _peers_of(profile)
        for address in self._resolver.change(peers):
            self._post(AddressDropped(address))
        named = {host for host, _ in peers}
        for host, _ in _peers_of(before):
            if host not in named:
                self._observer.on_relief(f"peer {host}")
        if profile.mdns != before.mdns:
            turn = self._turn_mdns(profile.mdns, after=self._turning)
            self._turning = asyncio.get_running_loop().create_task(turn)

    # -- static peers

    def _on_resolved(self, host: str, addresses: list[Address]) -> None:
        self._observer.on_relief(f"peer {host}")
        for address in addresses:
            self._post(AddressFound(address, configured=True))

    def _on_moved_away(self, addresses: list[Address]) -> None:
        for address in addresses:
            self._post(AddressDropped(address))

    def _on_unresolved(self, message: str) -> None:
        # ``peers: HOST: what is wrong``: each peer is a trouble of its own.
        host = message.split(": ", 2)[1]
        self._observer.on_trouble(f"peer {host}", message)

    # -- mDNS

    async def _turn_mdns(self, on: bool, after: asyncio.Task[None] | None) -> None:
        """One ``after`` the other: the same names are not announced by two sessions at once."""
        if after is not None:
            await after
        discovery, self._discovery = self._discovery, None
        if discovery is not None:
            await discovery.close()
        if on:
            self._discovery = self._new_discovery()
            self.set_role(self._role)
            if self._started:
                self._discovery.start()
            return
        self._announced.clear()
        if self._isolation is not None:
            self._isolation.cancel()
            self._isolation = None
        self._observer.on_relief("mdns")
        self._observer.on_relief("isolated")

    def _new_discovery(self) -> Discovery:
        profile, observer = self._profile, self._observer
        return Discovery(
            Announcement(
                profile.service, profile.name, profile.id, self._endpoint.port, __version__
            ),
            self._own_interfaces,
            self._on_announced,
            lambda message: observer.on_trouble("mdns", message),
            lambda: observer.on_relief("mdns"),
            lambda: self._post(SearchBegun()),
        )

    def _own_interfaces(self) -> list[Interface]:
        """The addresses on which we can be found: none but ours, if bound to one."""
        chosen = usable(self._profile.interfaces)
        if self._endpoint.host not in ANYWHERE:
            chosen = [i for i in chosen if i.address == self._endpoint.host]
        return chosen

    def _on_announced(self, address: Address, name: str) -> None:
        if not self._suggestions.spend(boottime()):
            return  # who is really there is heard, or announced again
        self._post(AddressFound(address))
        if self._heard_anybody or name == self._profile.name:
            return  # of a clone nothing is heard: it speaks in our own name
        if len(self._announced) < MOST_ANNOUNCED:
            self._announced[name] = address
        if self._isolation is None:
            loop = asyncio.get_running_loop()
            self._isolation = loop.call_later(ISOLATED_AFTER_SECONDS, self._report_isolation)

    def members_changed(self, members: Iterable[MemberView]) -> None:
        """Somebody joined or left: whoever has been heard shows that we are not isolated."""
        if not self._heard_anybody and any(member.heard_at for member in members):
            self._heard_anybody = True
            self._announced.clear()
            self._observer.on_relief("isolated")

    def _report_isolation(self) -> None:
        """MDNS shows members, and not one datagram of theirs has come."""
        if self._heard_anybody:
            return
        named = [f"{name} at {show(address)}" for name, address in self._announced.items()]
        if len(named) > NAMED_ANNOUNCED:
            named[NAMED_ANNOUNCED:] = ["others"]
        shown = ", ".join(named)
        self._observer.on_trouble(
            "isolated",
            f"mDNS shows {shown}, but nothing is heard from there: let UDP port "
            f"{self._endpoint.port} through the firewalls, both ways",
        )

    # -- interfaces

    def accept_interfaces(self) -> None:
        """Take datagrams from the election's interfaces only; from all if they are not told."""
        try:
            self._accept(usable(self._profile.interfaces))
        except OSError as error:
            self._endpoint.accept(None)
            self._observer.on_trouble("interfaces", f"the kernel does not list addresses: {error}")

    def _accept(self, chosen: list[Interface]) -> None:
        self._endpoint.accept({interface.index for interface in chosen})

    def _look(self) -> bool:
        """Take up what the interfaces are now; return whether they are others than before."""
        bound = self._endpoint.host not in ANYWHERE
        chosen = holding(self._endpoint.host) if bound else usable(self._profile.interfaces)
        self._accept(chosen)
        names = sorted({interface.name for interface in chosen})
        before, self._seen = self._seen, (chosen, [name for name in names if has_carrier(name)])
        self._miss()
        if self._seen == before:
            return False
        self._judge_carrier(self._seen[1], moved=before is not None and before[0] != chosen)
        return True

    def _miss(self) -> None:
        """An interface that is named may come later, or come back: say so, and wait for it."""
        absent = missing(self._profile.interfaces)
        if absent:
            text = f"interfaces: {', '.join(absent)}: no such network interface here now"
            cure = f"plug it in, or name another: this host has {', '.join(existing())}"
            self._observer.on_trouble("interfaces", f"{text}; {cure}")
        else:
            self._observer.on_relief("interfaces")

    def _judge_carrier(self, carriers: list[str], *, moved: bool) -> None:
        """Without a carrier on any election interface a node does not lead.

        One that has just lost the last may have it back at once (a renewed address, a loose plug),
        and the lease lasts longer than that.
        """
        if is_loopback(self._endpoint.host):
            return  # only agents of this host are meant
        if carriers:
            if self._loss is not None:
                self._loss.cancel()
                self._loss = None
            self._carried = True
            self._observer.on_relief("carrier")
            self._post(LinkChanged(True, moved))
        elif not self._carried:
            self._lose_carrier()
        elif self._loss is None:
            seconds = self._profile.timing.heartbeat / NANOSECONDS
            self._loss = asyncio.get_running_loop().call_later(seconds, self._lose_carrier)

    def _lose_carrier(self) -> None:
        self._loss, self._carried = None, False
        chosen = self._seen[0] if self._seen else []
        where = ", ".join(sorted({interface.name for interface in chosen})) or self._nowhere()
        self._observer.on_trouble(
            "carrier",
            f"no carrier ({where}): this node cannot lead; plug it in, "
            "or name the `interfaces` (or `host`) to use",
        )
        self._post(LinkChanged(False))

    def _nowhere(self) -> str:
        if self._endpoint.host not in ANYWHERE:
            return f"no interface has {self._endpoint.host}"
        return "no usable interface"

    def _on_interfaces_changed(self) -> None:
        changed = self._take_up()
        # Routers prolong IPv6 addresses every few minutes, or seconds, on all hosts at once: if
        # each were announced anew for that, each would wake all others.
        if changed and self._discovery is not None:
            self._discovery.refresh()

    def _take_up(self) -> bool:
        """Look; where the kernel does not answer, or tells of no changes, again after a while."""
        failed = False
        try:
            changed = self._look()
        except OSError as error:
            self._seen, changed, failed = None, True, True
            self._observer.on_trouble("interfaces", str(error))
        else:
            if changed:
                self._observer.on_interfaces()
        if self._next_look is not None:
            self._next_look.cancel()
            self._next_look = None
        if failed or not self._watched:
            loop = asyncio.get_running_loop()
            self._next_look = loop.call_later(LOOK_SECONDS, self._on_interfaces_changed)
        return changed


def _peers_of(profile: Profile) -> list[Address]:
    return [(host, port or profile.port or DEFAULT_PORT) for host, port in profile.peers]
