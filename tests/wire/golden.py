"""The golden datagrams: what members have agreed on, byte for byte.

``PYTHONPATH=tests python -m wire.golden`` rewrites ``vectors.txt``; a change in it is a change of
the protocol, and members of both kinds will meet during an upgrade.
"""

from __future__ import annotations

from pathlib import Path

from followtheleader.wire import Codec
from wire.samples import HEADER, ME, SAMPLES, SERVICE

VECTORS = Path(__file__).with_name("vectors.txt")


def recorded() -> dict[str, bytes]:
    """Return the datagrams on file, by the names of the samples."""
    lines = (line.split() for line in VECTORS.read_text().splitlines() if line[:1] != "#")
    return {name: bytes.fromhex(digits) for name, digits in lines}


def spoken() -> dict[str, bytes]:
    """Return the datagrams as the codec makes them."""
    codec = Codec(SERVICE, ME)
    return {name: codec.encode(HEADER, message) for name, message in SAMPLES.items()}


def main() -> None:
    """Write the file anew."""
    lines = [f"{name} {datagram.hex()}" for name, datagram in spoken().items()]
    VECTORS.write_text("\n".join(["# One datagram of each kind; see golden.py.", *lines, ""]))


if __name__ == "__main__":
    main()
