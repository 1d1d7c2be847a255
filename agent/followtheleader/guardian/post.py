"""Where a guardian stands: whose instance it guards, with whose rights, and what it may believe.

As the agent's child it has the agent's own rights and connection. As a *unit* it is root's, has a
socket on which agents come, and believes only what root alone can change: configuration, hooks and
every directory above them are checked, and in the directories of the agent's user it only unlinks.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from followtheleader.hook_files import why_untrusted, why_untrusted_command

HOME = "guardian"


class Post:
    """``config``, ``runtime_dir``, ``home_dir``: absolute paths. ``in_unit``: see above."""

    def __init__(
        self,
        config: str,
        instance: str,
        runtime_dir: str,
        home_dir: str = "",
        in_unit: bool = False,
    ) -> None:
        self.config = os.path.abspath(config)
        self.instance = instance
        self.runtime_dir = os.path.abspath(runtime_dir)
        self.home_dir = os.path.abspath(home_dir or os.path.join(runtime_dir, HOME))
        self.in_unit = in_unit
        # How a job knows the directory. A unit's own name is the only one: where that leads is for
        # the agent's user to say.
        self.place = self.runtime_dir if in_unit else os.path.realpath(runtime_dir)

    @property
    def agents_unit(self) -> str:
        """The unit whose processes may connect."""
        return f"ftl-agent@{self.instance}.service"

    @property
    def target(self) -> str:
        """What is active while this host leads; empty for a child, which has no unit."""
        return f"ftl-leader@{self.instance}.target" if self.in_unit else ""

    def refuses(self, path: str) -> str:
        """Why ``path`` must not be obeyed here, or nothing."""
        return (why_untrusted(path) or "") if self.in_unit else ""

    def refuses_to_run(self, command: Sequence[str]) -> str:
        """Why ``command`` must not be run here, or nothing."""
        return (why_untrusted_command(command) or "") if self.in_unit else ""
