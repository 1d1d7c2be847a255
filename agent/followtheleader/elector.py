"""The library's front door: the agent's election in a background thread, told by four events.

    leader       this process leads from now on
    follower     it does not lead (any more); ``event.leader`` says who does, if that is known
    reelection   the leader is unavailable, a new election begins
    error        something does not work, or a handler raised; the election goes on

Promise: handlers run one at a time and in order, in a thread of their own, so that a slow one never
delays a heartbeat. A new claim, and the farewell of `Elector.stop`, wait until the handlers of
``follower`` have returned: do there what must have ended before somebody else leads.

An open group's promise holds: one leader in every connected part of the network.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import secrets
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from followtheleader.config.advice import missing_interfaces
from followtheleader.config.kinds import Boolean, Kind
from followtheleader.config.options import judge, kind_of, unknown_option
from followtheleader.core.actions import ChangeRole, PauseChanged
from followtheleader.core.events import Settled, StopRequested
from followtheleader.core.timing import Timing
from followtheleader.core.types import MS, Address, Instant, LeaderInfo, Role
from followtheleader.defects import is_ours
from followtheleader.driver import Driver
from followtheleader.errors import FtlError
from followtheleader.observer import Profile

EVENTS = ("leader", "follower", "reelection", "error")
HEARTBEAT_MS = 250
DEFAULT_TYPE = "ftl"
MOST_WAITING = 256
"""Events that wait for a slow handler; of troubles, which others may cause, no more are added."""

OPTIONS: dict[str, Kind] = {
    "name": kind_of("service"),
    "type": kind_of("service"),
    "port": kind_of("port"),
    "host": kind_of("host"),
    "max_failed_responses": kind_of("max_failed_responses"),
    "node": kind_of("node"),
    "interfaces": kind_of("interfaces"),
    "peers": kind_of("peers"),
    "mdns": Boolean("True or False"),
}
"""What each option may hold; the agent's table of keys says it."""

_log = logging.getLogger("followtheleader")


@dataclass(frozen=True, slots=True)
class ElectorEvent:
    """What happened. ``token`` is 0 unless leading; ``error`` is None except in ``error``.

    ``leader`` and ``leader_address`` are "" while nobody is known to lead.
    """

    type: str
    service: str
    role: str
    term: int
    token: int
    leader: str
    leader_address: str
    reason: str
    error: Exception | None = None


Handler = Callable[[ElectorEvent], object]


def elect(name: str | Mapping[str, Any] = "", /, **options: Any) -> Elector:
    """Make an elector for ``name``, or from options as keywords or in a mapping; `start` it then.

    Options are those of `Elector`; a mapping may say ``maxFailedResponses``, as npm's does. Raises
    `ValueError` with a line for every option that is unknown or makes no sense.
    """
    if isinstance(name, Mapping):
        given = {**name, **options}
    else:
        given = {"name": name, **options} if name else dict(options)
    if "maxFailedResponses" in given:
        given["max_failed_responses"] = given.pop("maxFailedResponses")
    given.setdefault("name", "")
    wrong = [unknown_option(str(word), OPTIONS) for word in given if word not in OPTIONS]
    if wrong:
        raise ValueError("\n".join(wrong))
    return Elector(**given)


class Elector:
    """One participant of the election ``name``.

    ``type`` separates elections of one name; ``port`` None takes 9001 or the next free one;
    ``peers`` ("host" or "host:port") are asked where multicast does not work; ``mdns`` False asks
    only them. Raises `ValueError` with a line for every option that makes no sense, in the words of
    ``ftl-agent check``.
    """

    def __init__(
        self,
        name: str,
        *,
        type: str = DEFAULT_TYPE,
        port: int | None = None,
        host: str = "0.0.0.0",
        max_failed_responses: int = 3,
        node: str | None = None,
        interfaces: Sequence[str] = (),
        peers: Sequence[str] = (),
        mdns: bool = True,
    ) -> None:
        said = _settings(
            {
                "name": name,
                "type": type,
                "port": port,
                "host": host,
                "max_failed_responses": max_failed_responses,
                "node": node,
                "interfaces": interfaces,
                "peers": peers,
                "mdns": mdns,
            }
        )
        self.service: str = said["service"]
        self._profile = Profile(
            # A process may take part more than once on one host: each is a node of its own.
            id=secrets.randbits(64) | 1,
            service=self.service,
            name=said["node"] or _host_name(),
            priority=100,
            timing=Timing(HEARTBEAT_MS * MS, said["max_failed_responses"], 0),
            voters=(),
            witness=False,
            host=said["host"],
            port=said["port"],
            interfaces=said["interfaces"],
            mdns=said["mdns"],
            peers=tuple((peer.host, peer.port) for peer in said["peers"]),
            state_dir=None,
        )
        self._handlers: dict[str, list[Handler]] = {event: [] for event in EVENTS}
        self._troubles: dict[str, str] = {}
        self._inbox: queue.SimpleQueue[tuple[ElectorEvent, int] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._driver: Driver | None = None
        self._failure: FtlError | OSError | None = None
        self._begun = threading.Event()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []

    # -- for the program

    def on(self, event: str, handler: Handler) -> Self:
        """Call ``handler(ElectorEvent)`` for each ``event``; returns self, so that calls chain."""
        if event not in self._handlers:
            raise ValueError(f"event: {event!r}: one of {', '.join(EVENTS)}")
        if not callable(handler):
            raise TypeError(f"handler: {handler!r} cannot be called; name a function")
        self._handlers[event].append(handler)
        return self

    def start(self) -> Self:
        """Take part from now on. Raises `AddressError` if there is nothing to listen on, or what
        else keeps it from that."""
        if self._threads:
            raise RuntimeError("an elector is started once; make another one")
        self._threads = [
            threading.Thread(target=self._run, name=f"ftl-{self.service}", daemon=True),
            threading.Thread(target=self._dispatch, name=f"ftl-{self.service}-on", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._begun.wait()
        if self._failure is not None:
            self._inbox.put(None)
            raise self._failure
        return self

    def stop(self, timeout: float | None = None) -> bool:
        """Hand over and end; return whether that is done, within ``timeout`` seconds if given.

        The leadership is kept until your handlers of ``leader`` and ``follower`` have returned,
        however long they take. So a handler that calls this does not wait: it gets False, and the
        end comes after it.
        """
        loop = self._loop
        if loop is None or self._ended.is_set():
            return True
        try:
            loop.call_soon_threadsafe(self._post_stop)
        except RuntimeError:  # the loop has ended in the meantime
            return True
        if threading.current_thread() in self._threads:
            return False
        return self._ended.wait(timeout)

    def wait(self) -> None:
        """Stay until somebody calls `stop`; ^C stops, and is raised again when all is said."""
        try:
            while not self._ended.wait(1.0):  # in steps: a signal is seen between them
                pass
        except KeyboardInterrupt:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def is_leader(self) -> bool:
        """Does this process lead, with a lease that has not run out?"""
        driver = self._driver
        if driver is None or self._ended.is_set():
            return False
        view = driver.view()
        return view.valid_leader and not view.leaving

    # -- the loop's thread

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except (FtlError, OSError) as error:
            if self._begun.is_set():
                raise
            self._failure = error
        finally:
            self._begun.set()
            self._ended.set()
            self._inbox.put(None)

    async def _main(self) -> None:
        self._finished = asyncio.Event()
        asyncio.get_running_loop().set_exception_handler(self._on_exception)
        self._driver = Driver(self._profile, self)
        try:
            await self._driver.start()
            self._loop = asyncio.get_running_loop()
            self._begun.set()
            await self._finished.wait()
        finally:
            await self._driver.close()

    def _on_exception(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """A stray exception of a library is logged; a defect of ours ends the election, loudly."""
        error = context.get("exception")
        if not isinstance(error, Exception) or not is_ours(error.__traceback__):
            _log.warning("%s: %r", context.get("message"), error)
            return
        _log.error("the election has ended by a defect", exc_info=error)
        self._inbox.put((self._event("error", reason="defect", error=error), -1))
        self._finished.set()

    def _post_stop(self) -> None:
        if self._driver is not None:
            self._driver.post(StopRequested())

    def _post_settled(self, change: int) -> None:
        if self._driver is not None and not self._finished.is_set():
            self._driver.post(Settled(change))

    # -- what the driver tells

    def on_role(self, change: ChangeRole) -> None:
        """Queue the event of a role change."""
        kind = "reelection" if change.role is Role.CANDIDATE else change.role.value
        self._queue(kind, change.change, change.term, change.leader, change.reason.value)

    def _queue(
        self,
        kind: str,
        change: int,
        term: int = 0,
        leader: LeaderInfo | None = None,
        reason: str = "",
        error: Exception | None = None,
    ) -> None:
        self._inbox.put((self._event(kind, term, leader, reason, error), change))

    def _event(
        self,
        kind: str,
        term: int = 0,
        leader: LeaderInfo | None = None,
        reason: str = "",
        error: Exception | None = None,
    ) -> ElectorEvent:
        view = self._driver.view() if self._driver else None
        address = leader.address[0] if leader and leader.address else ""
        return ElectorEvent(
            type=kind,
            service=self.service,
            role=view.role.value if view else Role.CANDIDATE.value,
            term=term or (view.term if view else 0),
            token=view.token if view else 0,
            leader=leader.name if leader else "",
            leader_address=address,
            reason=reason,
            error=error,
        )

    def on_lease(self, deadline: Instant) -> None:
        """Nothing to do: `is_leader` asks the election itself."""

    def on_token(self, token: int) -> None:
        """Nothing to do: events carry the token."""

    def on_leader(self, leader: LeaderInfo) -> None:
        """Nothing to do: the role stays."""

    def on_will(self, datagrams: list[tuple[Address, bytes]]) -> None:
        """Nobody outlives this process to send it."""

    def on_members(self) -> None:
        """Nothing to do."""

    def on_pause(self, change: PauseChanged) -> None:
        """Nothing to do: the roles stay."""

    def on_interfaces(self) -> None:
        """Nothing to do."""

    def on_note(self, kind: str, text: str, fields: dict[str, object]) -> None:
        """Log it."""
        _log.info("%s: %s", kind, text)

    def on_trouble(self, kind: str, text: str) -> None:
        """Log it and raise the event ``error``, once for each text in turn."""
        if self._troubles.get(kind) == text or self._inbox.qsize() >= MOST_WAITING:
            return
        self._troubles[kind] = text
        _log.warning("%s: %s", kind, text)
        self._queue("error", -1, reason=kind, error=FtlError(text))

    def on_relief(self, kind: str) -> None:
        """It is news again."""
        self._troubles.pop(kind, None)

    def on_stopped(self) -> None:
        """Everything is said."""
        self._finished.set()

    # -- the handlers' thread

    def _dispatch(self) -> None:
        while (item := self._inbox.get()) is not None:
            event, change = item
            for handler in list(self._handlers[event.type]):
                self._call(handler, event)
            if change >= 0 and self._loop is not None:
                try:
                    self._loop.call_soon_threadsafe(self._post_settled, change)
                except RuntimeError:
                    return  # the loop has ended: nobody waits for this

    def _call(self, handler: Handler, event: ElectorEvent) -> None:
        try:
            handler(event)
        except BaseException as raised:  # noqa: BLE001 - a handler is a stranger's code
            # Not even sys.exit() may end this thread: a leader would never settle.
            error = raised if isinstance(raised, Exception) else RuntimeError(repr(raised))
            if event.type == "error" or not self._handlers["error"]:
                _log.exception("a handler of %r raised", event.type)
            else:
                self._queue("error", -1, reason=f"a handler of {event.type!r} raised", error=error)


def _settings(given: dict[str, object]) -> dict[str, Any]:
    """Return what the options mean, or raise `ValueError` with a line for every fault."""
    unset = {name: None for name in ("node", "port") if given[name] is None}
    values, faults = judge({name: given[name] for name in given if name not in unset}, OPTIONS)
    if "name" in values and "type" in values:
        service = values["name"]
        service = service if values["type"] == DEFAULT_TYPE else f"{service}.{values['type']}"
        both, wrong = judge({"name and type": service}, {"name and type": OPTIONS["name"]})
        values["service"] = both.get("name and type")
        faults += wrong
    faults += [f"interfaces: {text}" for text in missing_interfaces(values.get("interfaces", ()))]
    if faults:
        raise ValueError("\n".join(faults))
    return {**values, **unset}


def _host_name() -> str:
    """This host's name, if it can be a node's; others see it, and it need not be unique."""
    name = socket.gethostname()[:63]
    values, _ = judge({"node": name}, OPTIONS)
    known: str = values.get("node", "localhost")
    return known
