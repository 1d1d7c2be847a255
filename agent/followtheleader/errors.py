"""The exceptions of this package that more than one of its parts know.

    FtlError
    ├── ConfigError          the configuration is at fault; carries every fault found
    ├── StateError           a directory or file that we must write cannot be written
    ├── InstanceRunning      another agent of this instance holds the lock
    ├── AddressError         the address or port to listen on cannot be had
    ├── NoAnswer             no agent answers on the local socket
    └── InvariantBroken      only a defect of our own can raise it

The first five are ordinary outcomes: their text names the place, the value and the cure, and is
shown to the operator as it stands, without a traceback. ``InvariantBroken`` stops the agent; a
supervisor starts it again, as a follower.
"""

from __future__ import annotations


class FtlError(Exception):
    """The root of the tree; ``str()`` of it is a message for an operator."""


class ConfigError(FtlError):
    """One or more faults in a configuration.

    ``faults`` holds a line for each: ``file:line:column: key: what is wrong, what would be right``.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class StateError(FtlError):
    """A directory or file that the agent must write cannot be written.

    ``passing``: it may work again without anybody's change to the set-up (a full disk, no free
    descriptor), so that a supervisor does well to try again.
    """

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


class InstanceRunning(FtlError):
    """Another agent of the same instance is running on this host."""


class AddressError(FtlError):
    """The address or port to listen on cannot be had; ``passing`` as of `StateError`."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


class NoAnswer(FtlError):
    """No agent answers on the local socket."""


class InvariantBroken(FtlError):
    """A promise that only our own code can break was broken."""


def ensure(condition: bool, promise: str) -> None:
    """Raise `InvariantBroken` unless ``condition`` holds (``assert`` vanishes under ``-O``)."""
    if not condition:
        raise InvariantBroken(promise)
