"""A program: the smallest agent, told on stdin what to do, for tests of the guardian.

    small_agent.py CONFIG INSTANCE RUNTIME_DIR

A line of stdin is a JSON object with ``do``: lease (span, stop_timeout: ns; quorum; or ``until``,
an instant, in place of span), renew (the same, and ``every`` ns again, until span 0), event, will,
bye, raw (bytes as latin-1), heir (a child that keeps the connection and writes these bytes to it,
for 20 s at most), reload, deaf (read no more), close, quit. Each message of the guardian
is printed with ``at``, the instant (CLOCK_BOOTTIME, ns) at which it came.
"""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import sys
import time
from typing import Any

from followtheleader.guardian.link import GuardianLink


def now() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class SmallAgent:
    def __init__(self, config: str, instance: str, runtime_dir: str) -> None:
        self.link = GuardianLink(
            config=config,
            instance=instance,
            runtime_dir=runtime_dir,
            on_message=self.show,
            on_lost=lambda reason: self.show({"m": "lost", "reason": reason}),
        )
        self.renewal: dict[str, Any] = {}
        self.renew_at = 0
        self.deaf = False
        self.done = False
        self.pending = b""

    def show(self, fields: dict[str, object]) -> None:
        os.write(1, json.dumps({**fields, "at": now()}).encode() + b"\n")

    def run(self) -> None:
        self.link.start()
        self.show({"m": "pid", "pid": self.link.pid})
        while not self.done:
            poll = select.poll()
            poll.register(0, select.POLLIN)
            if self.link.fileno() >= 0:
                reading = 0 if self.deaf else select.POLLIN
                writing = select.POLLOUT if self.link.wants_write else 0
                poll.register(self.link.fileno(), reading | writing)
            timeout = (self.renew_at - now()) / 1e6 if self.renewal else None
            ready = dict(poll.poll(None if timeout is None else max(0.0, timeout)))
            if 0 in ready:
                self.take_commands()
            if any(fd and flags & ~select.POLLOUT for fd, flags in ready.items()) and not self.deaf:
                self.link.on_readable()
            self.link.on_writable()
            self.renew()
        self.link.close()

    def renew(self) -> None:
        if self.renewal and now() >= self.renew_at:
            self.lease(self.renewal)
            self.renew_at = now() + self.renewal["every"]

    def lease(self, order: dict[str, Any]) -> None:
        quorum = order.get("quorum", False)
        until = order.get("until") or now() + order["span"]
        self.link.send_lease(until, order["stop_timeout"], quorum)

    def take_commands(self) -> None:
        data = os.read(0, 65536)
        self.done = not data
        *lines, self.pending = (self.pending + data).split(b"\n")
        for line in lines:
            self.obey(json.loads(line))

    def obey(self, order: dict[str, Any]) -> None:
        match order["do"]:
            case "lease":
                self.lease(order)
            case "renew":
                self.renewal = order if order["span"] else {}
                self.renew_at = 0
                self.renew()  # before the next order: an event may follow at once
            case "event":
                self.link.send_event(order["event"], order["change"], order["facts"])
            case "will":
                self.link.send_will(
                    [((h, p), base64.b64decode(data)) for h, p, data in order["datagrams"]]
                )
            case "bye":
                self.link.send_bye()
            case "raw":
                self.raw(order["data"].encode("latin-1"))
            case "heir":
                self.leave_heir(order["data"].encode("latin-1"))
            case "reload":
                self.link.reload()
            case "deaf":
                self.deaf = True
            case "close":
                self.link.close()
            case "quit":
                self.done = True

    def leave_heir(self, data: bytes) -> None:
        if os.fork():
            return
        signal.alarm(20)
        for fd in (0, 1, 2):
            os.close(fd)
        os.set_blocking(self.link.fileno(), True)
        try:
            while os.write(self.link.fileno(), data):
                pass
        finally:
            os._exit(0)

    def raw(self, data: bytes) -> None:
        fd = self.link.fileno()
        os.set_blocking(fd, True)
        while data:
            data = data[os.write(fd, data) :]
        os.set_blocking(fd, False)


if __name__ == "__main__":
    SmallAgent(*sys.argv[1:4]).run()
