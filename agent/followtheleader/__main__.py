"""``python -m followtheleader`` is ``ftl-agent``."""

from __future__ import annotations

import sys

from followtheleader.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
