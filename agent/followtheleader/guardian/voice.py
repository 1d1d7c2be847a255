"""What the guardian says: lines to the agent, or to stderr once the agent cannot hear them.

Nothing here blocks: a full stderr costs lines, not time.
"""

from __future__ import annotations

import os
import select

from followtheleader.guardian import clock, messages
from followtheleader.guardian.channel import Channel
from followtheleader.guardian.output import Output

# Up to here a pipe takes a line as a whole or says that it is full.
_STDERR_LIMIT = 4096
_LOG_LINES = 64
_LOG_LINE = 4000
_COMPLAINTS_REST = 60 * clock.SECOND
_COMPLAINTS_KEPT = 32
OF_ITS_OWN = "guardian"
"""Hook and event of a line that the guardian says itself."""


class Voice:
    """Speaks for one guardian. ``deaf`` is set when the agent is gone."""

    def __init__(self, channel: Channel, instance: str) -> None:
        self.deaf = False
        self._channel = channel
        self._complaints: dict[str, int] = {}
        self._name = f"ftl-guardian[{instance}]"

    def tell(self, kind: str, **fields: object) -> None:
        """Send a message of the contract; ``log`` (text) becomes a line of output of our own."""
        if kind == "log":
            self.log(str(fields["text"]))
            return
        if self._is_heard():
            self._channel.send(messages.encode(kind, **fields))
        elif fields.get("error"):
            self._to_stderr(f"{fields['hook']} ({fields['event']}): {fields['error']}")

    def log(self, text: str) -> None:
        """A text for the operator, line by line."""
        for line in text.splitlines()[:_LOG_LINES]:
            self._line(0, OF_ITS_OWN, OF_ITS_OWN, line[:_LOG_LINE])

    def complain(self, text: str) -> None:
        """A fault that may come again and again: said again only after a minute without it."""
        now = clock.now()
        last = self._complaints.pop(text, None)
        self._complaints[text] = now
        if len(self._complaints) > _COMPLAINTS_KEPT:
            del self._complaints[next(iter(self._complaints))]
        if last is None or now - last > _COMPLAINTS_REST:
            self.log(text)

    def pass_output(self, output: Output, line: str) -> None:
        """A line that a hook has said."""
        self._line(output.change, output.event, output.hook, line)

    def _line(self, change: int, event: str, hook: str, line: str) -> None:
        if not self._is_heard():
            self._to_stderr(line if hook == OF_ITS_OWN else f"{hook} ({event}): {line}")
        elif self._channel.has_room():
            self._channel.send(
                messages.encode("output", change=change, event=event, hook=hook, line=line)
            )

    def _is_heard(self) -> bool:
        return not self.deaf and not self._channel.eof

    def _to_stderr(self, text: str) -> None:
        # It may be a terminal that reads it.
        shown = "".join(char if char.isprintable() or char == "\t" else "?" for char in text)
        data = f"{self._name}: {shown}".encode("utf-8", "replace")[: _STDERR_LIMIT - 1] + b"\n"
        poll = select.poll()
        poll.register(2, select.POLLOUT)
        try:
            if poll.poll(0) == [(2, select.POLLOUT)]:
                os.write(2, data)
        except OSError:
            pass  # nobody is left to be told
