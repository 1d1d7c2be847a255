"""The configuration and the key file: whatever is written there is settings, or faults of ours."""

from __future__ import annotations

from pathlib import Path

from followtheleader.config.keyfile import KeyFileFault, parse_keys
from followtheleader.config.loader import parse
from followtheleader.config.schema import KEYS
from followtheleader.errors import ConfigError

KEY_FILE, YAML = b"k", b"y"
"""The first byte of an input says which of the two it is."""
LARGEST = 64 * 1024
LONGEST_FAULT = 2000
PATH = "/etc/ftl/svc.yaml"
ROOT = Path(__file__).resolve().parents[2]


def seeds() -> list[bytes]:
    """The samples of /etc, what the tests reject, each key with its default, and key files."""
    texts = [path.read_bytes() for path in sorted((ROOT / "etc").rglob("*.yaml"))]
    texts += [f"{key.name}: {key.default}\n".encode() for key in KEYS if key.default is not None]
    texts += [
        b"voters: [a, b, c]\nwitness: true\ntiming: fast\n",
        b"peers: [10.0.0.1, 'b:9002', '[::1]:9003']\npeers: x\n",
        b"hooks:\n  on_leader: [/bin/true, [/bin/echo, a]]\n  timeout: 30s\n",
        b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n<<: *a\n",
        b"? [complex]\n: !!python/object:os.system 1\n--- \nsecond: document\n",
        b"port: 0x2329\nheartbeat_interval: 1e3ms\nstop_timeout: .inf\npriority: 9" + b"9" * 40,
        b"[" * 40 + b"]" * 40,
        b"\xef\xbb\xbfservice: svc\r\n\tport: 1\x00\x85\xc3",
    ]
    keys = [
        b"2026 " + b"A" * 43 + b"=\n",
        b"# comment\n\na " + b"0123456789abcdef" * 4 + b"\nb " + b"x" * 22 + b"\n",
        b"a  b c\n\xff\xfe\n",
    ]
    return [YAML + text for text in texts] + [KEY_FILE + text for text in keys]


def one(data: bytes) -> None:
    """Read it."""
    which, text = data[:1], data[1 : 1 + LARGEST]
    if which == KEY_FILE:
        try:
            parse_keys(text, PATH)
        except KeyFileFault as fault:
            _is_fit_to_print(str(fault))
        except ConfigError as error:
            _are_ours(error)
        return
    try:
        parse(text, PATH, host_name="h1")
    except ConfigError as error:
        _are_ours(error)


def _are_ours(error: ConfigError) -> None:
    assert error.faults, "refused, and no fault is named"
    for line in error.faults:
        assert line.startswith(PATH), line
        _is_fit_to_print(line)


def _is_fit_to_print(line: str) -> None:
    """A fault is one line for a terminal, however odd what it is about."""
    assert line.isprintable(), repr(line)
    assert len(line) <= LONGEST_FAULT, f"a fault of {len(line)} characters"
