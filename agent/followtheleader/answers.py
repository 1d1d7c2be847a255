"""What the agent answers at its local sockets: ``status.sock`` to everybody, ``control.sock`` to
root and the group ftl."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from followtheleader import report
from followtheleader.config.faults import show
from followtheleader.core.events import HandoverRequested, PauseRequested, StepDownRequested
from followtheleader.core.pause import MAX_PAUSE
from followtheleader.core.types import MS, Role
from followtheleader.driver import Driver
from followtheleader.host.clock import boottime
from followtheleader.net.interfaces import usable

if TYPE_CHECKING:
    from followtheleader.supervision import Supervision

PAUSE_MS = 3_600_000
MAX_PAUSE_MS = MAX_PAUSE // MS
WORDS = {
    "step-down": {"command"},
    "switchover": {"command", "to"},
    "pause": {"command", "for_ms"},
    "resume": {"command"},
    "reload": {"command"},
}
"""What a request at the control socket may say."""
STARTING: report.Facts = {
    "done": False,
    "error": "this agent has just started and does not know yet what the others know; try again",
}


class Answers:
    """``interfaces`` as configured; ``reload()`` reads the configuration and returns the answer."""

    def __init__(
        self,
        driver: Driver,
        diary: report.Diary,
        guardian: Supervision,
        interfaces: tuple[str, ...],
        reload: Callable[[], Awaitable[report.Facts]],
    ) -> None:
        self._driver = driver
        self._diary = diary
        self._guardian = guardian
        self._interfaces = interfaces
        self._reload = reload

    async def answer(self, request: report.Facts) -> report.Facts:
        """To everybody."""
        command = request.get("command")
        if command == "role":
            return {"role": self._driver.view().role.value}
        if command == "status":
            return self._status()
        return {"error": f"unknown command {command!r}: status, role"}

    async def control(self, request: report.Facts) -> report.Facts:
        """To those who may change things."""
        command = request.get("command")
        odd = sorted(request.keys() - WORDS.get(str(command), request.keys()))
        if odd:
            # Not passed over: a mistyped word would give an hour of pause instead of a minute.
            return {"done": False, "error": f"{command} has no {show(odd[0])}"}
        if command == "step-down":
            return self._step_down()
        if command == "switchover":
            return self._switch_over(request.get("to"))
        if command == "pause":
            return self._pause(request.get("for_ms", PAUSE_MS))
        if command == "resume":
            return self._resume()
        if command == "reload":
            return await self._reload()
        known = ", ".join(WORDS)
        return {"error": f"unknown command {command!r}: {known}"}

    def _step_down(self) -> report.Facts:
        view = self._driver.view()
        if view.role is not Role.LEADER:
            return {"done": False, "error": "this node does not lead"}
        if view.paused_until is not None:
            return {"done": False, "error": "paused, nobody would take over: resume, or switchover"}
        self._driver.post(StepDownRequested(0))
        return {"done": True}

    def _pause(self, milliseconds: object) -> report.Facts:
        """The whole group, whichever node is asked; a pause that lasts is given another length."""
        number = milliseconds if isinstance(milliseconds, int) else None
        if number is None or isinstance(number, bool) or not 1 <= number <= MAX_PAUSE_MS:
            return {
                "done": False,
                "error": f"for_ms {milliseconds!r}: 1 to {MAX_PAUSE_MS} milliseconds (a day)",
            }
        view = self._driver.view()
        if view.listening:
            return STARTING
        if view.leader is None and view.paused_until is None:
            return {"done": False, "error": "nobody leads, and in a pause nobody would begin to"}
        self._driver.post(PauseRequested(number * MS))
        return {"done": True, "for_ms": number}

    def _resume(self) -> report.Facts:
        """Also where no pause is known: others may know of one."""
        if self._driver.view().listening:
            return STARTING
        self._driver.post(PauseRequested(0))
        return {"done": True}

    def _switch_over(self, to: object) -> report.Facts:
        """Ask for it; whether it happens is seen by the role."""
        view = self._driver.view()
        if view.leader is None:
            return {"done": False, "error": "nobody leads: there is no leadership to hand over"}
        if to is None:
            target = 0
        elif to == self._driver.node.name:
            target = self._driver.node.owner.id
        else:
            named = [member.id for member in view.members if member.name == to]
            if len(named) != 1:
                known = ", ".join(sorted(member.name for member in view.members)) or "nobody"
                which = "no member is" if not named else f"{len(named)} members are"
                return {"done": False, "error": f"{which} named {to!r}; known: {known}"}
            target = named[0]
        self._driver.post(HandoverRequested(target))
        return {"done": True}

    def _status(self) -> report.Facts:
        from followtheleader import __version__

        driver, now = self._driver, boottime()
        view, signing = driver.view(), driver.signing
        more = [*signing.problems(view.members), *driver.refusals.problems(now)]
        facts = report.status_facts(view, driver.node, self._diary, now, more)
        facts["last_hook"] = self._guardian.last_hook
        return facts | {
            "port": driver.endpoint.port,
            "interfaces": _told(self._interfaces),
            "counters": driver.counts(),
            "keys": signing.facts(view.members),
            "pid": os.getpid(),
            "version": __version__,
        }


def _told(names: tuple[str, ...]) -> list[str]:
    try:
        return [f"{interface.name} {interface.address}" for interface in usable(names)]
    except OSError:  # the kernel does not tell; the lookout has said so
        return []
