"""followtheleader: one leader among the machines of a network.

    from followtheleader import elect

    elector = elect("MyServiceName")
    elector.on("leader", lambda event: print("leading, term", event.term))
    elector.start()

The library and the agent share one election, `followtheleader.core`, whose essay is the place to
read on. Nothing is imported before it is used: the guardian, a root process, must stay small.
"""

from __future__ import annotations

# Not from typing, whose import alone costs a command like `is-leader` a third of its time.
TYPE_CHECKING = False

__version__ = "0.1.0"
__all__ = ["Elector", "ElectorEvent", "__version__", "elect"]

if TYPE_CHECKING:
    from followtheleader.elector import Elector, ElectorEvent, elect


def __getattr__(name: str) -> object:
    if name in ("Elector", "ElectorEvent", "elect"):
        from followtheleader import elector

        return getattr(elector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
