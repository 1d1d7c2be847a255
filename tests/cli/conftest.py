"""What the tests of the command line share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator

import pytest


@pytest.fixture
def place() -> Iterator[str]:
    """A directory with a name short enough for a socket below it."""
    with tempfile.TemporaryDirectory(prefix="ftl-") as path:
        yield path
