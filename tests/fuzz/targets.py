"""What is fuzzed: a module each, with `seeds()`, inputs to begin with, and `one(data)`, which
raises if a promise is broken. Neither needs atheris: tests play the seeds and every kept input."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import NamedTuple

TARGETS = ("datagrams", "records", "configuration", "requests", "guardian_input")
PLANTED = "planted"
"""Not a part of ours: a fault that is known, to see that one would be found."""


class Target(NamedTuple):
    """One of them."""

    seeds: Callable[[], list[bytes]]
    one: Callable[[bytes], None]


def load(name: str) -> Target:
    """Import the target of that name."""
    module = importlib.import_module(f"fuzz.{name}")
    return Target(module.seeds, module.one)
