"""What the agent answers at its local sockets: ``status.sock`` to everybody, ``control.sock`` to
root and the group ftl."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING

from followtheleader import report
from followtheleader.core.events import HandoverRequested, StepDownRequested
from followtheleader.core.types import Role
from followtheleader.driver import Driver
from followtheleader.host.clock import boottime
from followtheleader.net.interfaces import usable

if TYPE_CHECKING:
    from followtheleader.supervision import Supervision


class Answers:
    """``interfaces`` as configured; ``reload()`` reads the configuration and returns the answer."""

    def __init__(
        self,
        driver: Driver,
        diary: report.Diary,
        guardian: Supervision,
        interfaces: tuple[str, ...],
        reload: Callable[[], report.Facts],
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
        if command == "step-down":
            if self._driver.view().role is not Role.LEADER:
                return {"done": False, "error": "this node does not lead"}
            self._driver.post(StepDownRequested(0))
            return {"done": True}
        if command == "switchover":
            return self._switch_over(request.get("to"))
        if command == "reload":
            return self._reload()
        return {"error": f"unknown command {command!r}: step-down, switchover, reload"}

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

        driver = self._driver
        facts = report.status_facts(driver.view(), driver.node, self._diary, boottime())
        facts["last_hook"] = self._guardian.last_hook
        return facts | {
            "port": driver.endpoint.port,
            "interfaces": [f"{i.name} {i.address}" for i in usable(self._interfaces)],
            "counters": dict(driver.counters),
            "pid": os.getpid(),
            "version": __version__,
        }
