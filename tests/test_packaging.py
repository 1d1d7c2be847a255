"""What must agree: the packages with each other, the man pages with the tables they are made of."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from followtheleader.cli.main import COMMANDS
from followtheleader.config.schema import KEYS

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


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    place = tmp_path_factory.mktemp("man")
    script = ROOT / "packaging" / "man" / "build.py"
    subprocess.run([sys.executable, script, place], check=True, timeout=60)
    return {page.name: page.read_text() for page in place.iterdir()}


def test_the_man_pages_are_those_that_name_each_other(pages: dict[str, str]) -> None:
    assert sorted(pages) == ["ftl-agent.8", "ftl-agent.yaml.5", "ftl-hooks.7"]
    for name, text in pages.items():
        assert text.startswith(".TH FTL-")
        assert "@" not in re.sub(r"@(svc|INSTANCE)", "", text), f"{name}: a mark is not replaced"
        others = {f"{other[:-2]} ({other[-1]})" for other in pages if other != name}
        told = text.rpartition(".SH SEE ALSO")[2].replace("\\-", "-")
        assert all(other in told for other in others), name


def test_every_key_and_every_command_has_its_words(pages: dict[str, str]) -> None:
    literal = runpy.run_path(str(ROOT / "packaging" / "man" / "build.py"))["escaped"]
    for key in KEYS:
        entry = pages["ftl-agent.yaml.5"].partition(f".B {literal(key.name)}\n")[2]
        for text in key.explained():
            assert literal(text) in entry.partition("\n.TP\n")[0], key.name
    for name in COMMANDS:
        assert f".SS {literal(name)}\n.nf\n{literal(f'ftl-agent {name}')}" in pages["ftl-agent.8"]
