"""What the tests of the agent's process share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.stand import Stand
from agent.supervisor import Supervisor


@pytest.fixture
def folder() -> Iterator[Path]:
    """A directory with a name short enough for a socket below it."""
    with tempfile.TemporaryDirectory(prefix="ftl-") as path:
        yield Path(path)


@pytest.fixture
def stand(folder: Path) -> Iterator[Stand]:
    """Nodes on loopback; all of their processes are gone afterwards."""
    made = Stand(folder)
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def supervisor(folder: Path) -> Iterator[Supervisor]:
    """Whoever listens to sd_notify."""
    made = Supervisor(folder)
    try:
        yield made
    finally:
        made.close()
