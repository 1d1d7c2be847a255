"""The stand for tests of the guardian."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from guardian.stand import Stand


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    """One instance; all of its processes are gone afterwards."""
    made = Stand(tmp_path)
    try:
        yield made
    finally:
        made.close()
