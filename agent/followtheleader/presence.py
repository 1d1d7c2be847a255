"""What this host shows of the role, and where it can be asked: state files, role link, sockets.

Promise: it is there while the agent runs. What somebody removes, changes or mounts over is noticed
within `LOOK_SECONDS` and put back, the whole runtime directory included, and the log names it. What
cannot be put back is a trouble with its path and its cure. Where the state files cannot be removed,
because the directory is not writable any more, they are written over.

The instance's locks come first. If they were removed and another agent has taken them, the files
are that one's: nothing is written, and whoever leads here steps down.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from followtheleader.config.durations import MINUTE
from followtheleader.core.types import Role
from followtheleader.errors import InstanceRunning, StateError
from followtheleader.guardian.files import unlink_state_files
from followtheleader.host import directories
from followtheleader.host.instance import InstanceLock
from followtheleader.host.journal import Journal
from followtheleader.host.sockets import Handler, LocalServer, serve
from followtheleader.host.statefiles import StateFiles
from followtheleader.report import Facts

LOOK_SECONDS = 10.0
"""One stat for each file and socket: with the wake-up 0.08 ms, 0.03 s of CPU an hour."""

Trouble = Callable[[str, str], None]
Relief = Callable[[str], None]


class Presence:
    """The files and sockets of one agent.

    ``state()`` is the role now and what ``state.json`` says beside it; ``on_trouble(kind, text)``
    and ``on_relief(kind)`` hear of ``instance-lock``, ``state-files``, ``role-file`` and
    ``local-sockets``.
    """

    def __init__(
        self,
        runtime_dir: str,
        role_file: str | None,
        lock: InstanceLock,
        journal: Journal,
        state: Callable[[], tuple[Role, Facts]],
        on_trouble: Trouble,
        on_relief: Relief,
    ) -> None:
        self._runtime_dir = runtime_dir
        self._lock = lock
        self._journal = journal
        self._state = state
        self._on_trouble = on_trouble
        self._on_relief = on_relief
        self._files = StateFiles(runtime_dir, role_file)
        self._servers: list[LocalServer] = []
        self._ours = True
        self.withdraw()

    async def serve(self, answer: Handler, control: Handler) -> None:
        """Make the two sockets. Raise `StateError`."""
        for name, mode, group, handler in (
            ("status.sock", 0o666, None, answer),
            ("control.sock", 0o660, "ftl", control),
        ):
            path = os.path.join(self._runtime_dir, name)
            self._servers.append(await serve(path, mode, group, handler))

    def publish(self) -> bool:
        """Write the state files; return whether they say the truth."""
        self._ours = self._keep_locks()
        if not self._ours:
            return False
        try:
            self._write()
        except StateError as error:
            self._on_trouble("state-files", "; ".join([str(error), *self._disown()]))
            return False
        self._link()
        self._on_relief("state-files")
        return True

    def _link(self) -> None:
        refused = self._files.link()
        if refused is not None:
            self._on_trouble("role-file", refused)
        else:
            self._on_relief("role-file")

    def look(self) -> tuple[bool, bool]:
        """Put back what is missing. Return whether anything was, and whether the state files now
        say the truth."""
        lost = self._files.missing()
        if self._ours and self._files.lacks_link:
            self._link()  # also one that could not be made before
        lost += [*(s.path for s in self._servers if not s.is_there())]
        lost += self._lock.missing()
        if not lost:
            return False, True
        # The locks and the directory first: everything else is in it.
        published = self.publish()
        if self._restore_sockets() and published:
            text = f"{', '.join(lost)}: removed or changed by somebody; put back"
            self._journal.warning("put-back", text, limit=MINUTE)
        return True, published

    def withdraw(self) -> None:
        """Nothing is known of the role any more."""
        if not self._ours:
            return
        for fault in self._disown():
            self._journal.error("state-files", fault)

    async def close(self) -> None:
        """Close the sockets, remove their files."""
        for server in self._servers:
            await server.close()

    def move_link(self, role_file: str | None) -> None:
        """Have the role link elsewhere, or none; `publish` makes it."""
        self._files.move_link(role_file)

    def unlink_link(self) -> None:
        """Remove the role link if it is ours."""
        self._files.unlink_link()

    def _disown(self) -> list[str]:
        """Have nothing say leader; return what still does, for the operator."""
        return [] if self._files.withdraw() else unlink_state_files(self._runtime_dir)

    def _write(self) -> None:
        """Raise `StateError`."""
        role, facts = self._state()
        self._files.publish(role.value, facts)
        now, facts = self._state()
        if now is not role:  # stopped in between for longer than the lease
            self._files.publish(now.value, facts)

    def _keep_locks(self) -> bool:
        """Whether the directories are ours; locks that somebody has removed are taken again."""
        try:
            if not os.path.isdir(self._runtime_dir):
                directories.make_runtime(self._runtime_dir)
            self._lock.take_again()
        except InstanceRunning as error:
            self._on_trouble("instance-lock", str(error))
            return False
        except StateError as error:
            # Nobody else can make it either: the role is still worth telling.
            self._on_trouble("instance-lock", str(error))
        else:
            self._on_relief("instance-lock")
        return True

    def _restore_sockets(self) -> bool:
        faults = []
        for server in self._servers:
            try:
                if self._ours and not server.is_there():
                    server.restore()
            except StateError as error:
                faults.append(str(error))
        if faults:
            self._on_trouble("local-sockets", "; ".join(faults))
        else:
            self._on_relief("local-sockets")
        return not faults
