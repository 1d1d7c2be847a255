"""What must agree between the packages: one version, one set of dependencies."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
DEBIAN = {"pyyaml": "python3-yaml"}
"""Distributions whose Debian package is not named python3-NAME."""


def test_the_debian_package_has_the_wheels_version() -> None:
    newest = re.match(r"ftl-agent \((\S+)\)", (ROOT / "packaging/debian/changelog").read_text())
    assert newest is not None
    assert newest[1] == PROJECT["version"]


def test_the_debian_package_needs_what_the_wheel_needs() -> None:
    control = (ROOT / "packaging/debian/control").read_text()
    for needed in PROJECT["dependencies"]:
        name, version = re.fullmatch(r"([a-z]+)(?:>=(.+))?", needed).groups()  # type: ignore[union-attr]
        package = DEBIAN.get(name, f"python3-{name}")
        assert (f"{package} (>= {version})" if version else f"{package},") in control
    python = PROJECT["requires-python"].removeprefix(">=")
    assert f"python3 (>= {python}" in control
