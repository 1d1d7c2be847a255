"""One target under atheris, in a process of its own: ``python -m fuzz.child TARGET FLAGS…``.

The flags are libFuzzer's. All of ``followtheleader`` is instrumented as it is imported; what stands
between, the targets and the libraries, is not: their paths are not what is looked for.
"""

from __future__ import annotations

import logging
import sys

import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]

from fuzz.targets import load


def main() -> None:
    """Fuzz until libFuzzer ends the process."""
    name = sys.argv[1]
    logging.disable(logging.CRITICAL)
    with atheris.instrument_imports(include=["followtheleader"]):
        target = load(name)
    atheris.Setup([sys.argv[0], *sys.argv[2:]], target.one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
