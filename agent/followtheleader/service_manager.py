"""What the service manager (systemd) is told: ready, reloading, stopping, a line of status, and the
watchdog's beat.

Ready means that the role is known, or that nobody was heard for as long as one listens. The
watchdog is fed from the agent's own loop, and only while the election is not late.
"""

from __future__ import annotations

from followtheleader import report
from followtheleader.core.timing import Timing
from followtheleader.core.types import NANOSECONDS, Role, Span
from followtheleader.driver import Driver
from followtheleader.host.clock import boottime
from followtheleader.host.notify import Notify
from followtheleader.timers import Timers

WATCHDOG_AT_LEAST: Span = 2 * NANOSECONDS
EXTENSION = 60 * NANOSECONDS
"""A stop that goes on is prolonged by this, again and again."""


class ServiceManager:
    """One agent's word to it; says nothing where there is none."""

    def __init__(self, driver: Driver, timers: Timers) -> None:
        self._notify = Notify()
        self._driver = driver
        self._timers = timers
        self._is_ready = self._is_stopping = False
        self._said = ""

    def begin(self) -> None:
        """In the running loop: from now on the watchdog is fed."""
        listening = self._driver.node.timing.listening / 1e9
        self._timers.after("ready", listening, self.become_ready)
        self._beat()

    def become_ready(self) -> None:
        """The role is known."""
        if not self._is_ready:
            self._is_ready = True
            self._said = self._line()
            self._notify.ready(self._said)
            self._notify.watchdog_limit(watchdog_limit(self._driver.node.timing))

    def tell_status(self) -> None:
        """Something may have changed."""
        line = self._line()
        if line != self._said and not self._is_stopping:
            self._said = line
            self._notify.status(line)

    def reloading(self) -> None:
        """The configuration is read again; `reloaded` follows."""
        if self._is_ready:
            self._notify.reloading()

    def reloaded(self) -> None:
        """It is read, with or without faults."""
        if self._is_ready:
            self._notify.ready(self._line())

    def stopping(self) -> None:
        """We leave."""
        self._is_stopping = True
        leads = self._driver.view().role is Role.LEADER
        self._notify.stopping("handing over" if leads else "leaving")
        self._prolong()

    def _prolong(self) -> None:
        """The job and on_follower may take longer to end than a service usually may."""
        if self._notify.enabled:
            self._notify.extend_timeout(EXTENSION)
            self._timers.after("prolong", EXTENSION / 4e9, self._prolong)

    def _line(self) -> str:
        return report.status_line(self._driver.view(), self._driver.node, boottime())

    def _beat(self) -> None:
        if not self._notify.enabled:
            return
        if self._driver.is_punctual():
            self._notify.watchdog()
        self.tell_status()  # who falls silent makes no event
        seconds = watchdog_limit(self._driver.node.timing) / 1e9
        self._timers.after("watchdog", seconds / 4, self._beat)


def watchdog_limit(timing: Timing) -> Span:
    """Return how long this agent may be silent before its supervisor ends it."""
    return max(3 * timing.lock, WATCHDOG_AT_LEAST)
