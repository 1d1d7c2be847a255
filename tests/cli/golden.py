"""Expected output kept in files; ``FTL_GOLDEN=rewrite`` writes them; review the diff."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    """Hold ``text`` against the file ``name``."""
    path = FOLDER / name
    if os.environ.get("FTL_GOLDEN") == "rewrite":
        path.write_text(text)
    assert text == path.read_text(), f"differs from {path.name}"
