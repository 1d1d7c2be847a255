"""What must agree: the packages with each other, the man pages with the tables they are made of."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from followtheleader.cli import bind
from followtheleader.cli.bind import drop_in
from followtheleader.cli.main import COMMANDS, load
from followtheleader.config.example import SCHEMA_URL
from followtheleader.config.schema import DEFAULT_PORT, KEYS

ROOT = Path(__file__).parent.parent
MAN = ROOT / "packaging" / "man"
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
    script = MAN / "build.py"
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
    literal = runpy.run_path(str(MAN / "build.py"))["escaped"]
    for key in KEYS:
        entry = pages["ftl-agent.yaml.5"].partition(f".B {literal(key.name)}\n")[2]
        for text in key.explained():
            assert literal(text) in re.split(r"\n\.(?:TP|SS|SH)", entry)[0], key.name
    for name in COMMANDS:
        section = pages["ftl-agent.8"].partition(f"\n.SS {literal(name)}\n")[2]
        section = re.split(r"\n\.S[SH]", section)[0]
        for line in load(name)[0].splitlines():
            for part in re.split(r" {2,}", line.removeprefix("usage: ").strip()):
                assert literal(part) in section, f"{name}: {part}"


def test_a_man_page_is_the_same_in_every_locale(pages: dict[str, str]) -> None:
    for name, text in pages.items():
        assert text.isascii(), name


@pytest.mark.parametrize("command", ["groff -man -ww -z -Tascii", "mandoc -T lint -W warning"])
def test_formatters_have_nothing_to_say(pages: dict[str, str], command: str) -> None:
    argv = command.split()
    if not shutil.which(argv[0]):
        pytest.skip(f"apt-get install {argv[0]}")
    for name, text in pages.items():
        done = subprocess.run(argv, input=text, capture_output=True, text=True, timeout=30)
        assert (done.returncode, done.stdout + done.stderr) == (0, ""), name


def test_what_the_pages_are_made_with_is_there_when_the_package_is_built() -> None:
    used = (
        "import runpy, sys; runpy.run_path(sys.argv[1])['pages']();"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    argv = [sys.executable, "-c", used, str(MAN / "build.py")]
    modules = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=60).stdout
    needed = set(modules.split()) & {"yaml", "zeroconf", "sdnotify"}
    control = (ROOT / "packaging/debian/control").read_text().partition("\n\n")[0]
    script = (ROOT / "packaging/build-deb").read_text()
    for name in needed:
        assert f"python3-{name}" in control
        assert f"python3-{name}" in script


def test_editors_find_the_schema_where_the_example_says() -> None:
    folder, name = os.path.split(SCHEMA_URL.removeprefix("file:///"))
    installed = (ROOT / "packaging/debian/install").read_text()
    assert f"etc/ftl/{name} {folder}\n" in installed


def test_firewalls_open_the_default_port() -> None:
    service = ElementTree.parse(ROOT / "packaging/firewall/firewalld-ftl-agent.xml").getroot()
    assert {"protocol": "udp", "port": str(DEFAULT_PORT)} in [e.attrib for e in service]
    assert {"service": "mdns"} in [e.attrib for e in service]
    profile = ConfigParser()
    profile.read(ROOT / "packaging/firewall/ufw-ftl-agent")
    assert profile["ftl-agent"]["ports"] == f"{DEFAULT_PORT}/udp|5353/udp"


@pytest.mark.parametrize(
    "path", sorted((ROOT / "etc/ftl/svc").iterdir()), ids=lambda p: str(p.name)
)
def test_a_sample_never_runs_by_itself_and_is_a_shell_script(path: Path) -> None:
    assert path.name.endswith(".sh.sample")
    assert path.read_text().startswith("#!/bin/sh\n")
    assert not os.access(path, os.X_OK)
    subprocess.run(["sh", "-n", path], check=True)
    assert max(map(len, path.read_text().splitlines())) <= 100


def test_systemd_makes_nothing_where_others_can_put_a_link() -> None:
    """It gives such a directory to the unit's user as root: below one that is that user's already,
    a link to /etc may lie in its place, and systemd 255 follows it."""
    places = {"RuntimeDirectory": "/run", "StateDirectory": "/var/lib"}
    made, given = [], set()
    for unit in (ROOT / "systemd").glob("*.service"):
        lines = [line.partition("=") for line in unit.read_text().splitlines()]
        user = next((value for key, _, value in lines if key == "User"), "root")
        for key, _, value in lines:
            if key in places:
                paths = [f"{places[key]}/{word}" for word in value.split()]
                made += paths
                given |= set(paths) if user != "root" else set()
    for line in (ROOT / "packaging/tmpfiles.d/ftl-agent.conf").read_text().splitlines():
        kind, path, _, user, *_ = [*line.split(), "", "", "", ""]
        if kind == "d" and user != "root":
            given.add(path)
    assert {"/run/ftl", "/var/lib/ftl/%i"} <= given
    assert [path for path in made if any(path.startswith(f"{above}/") for above in given)] == []


@pytest.mark.parametrize(
    "script",
    ["build-deb", "debian/postinst", "debian/postrm", "debian/prerm"],
)
def test_a_script_is_one(script: str) -> None:
    subprocess.run(["sh", "-n", ROOT / "packaging" / script], check=True)


def test_a_purge_knows_what_bind_writes() -> None:
    """By its first line and by the word about a unit that was enabled, and by its name."""
    postrm = (ROOT / "packaging/debian/postrm").read_text()
    marks = re.findall(r"grep -q[sx] '\^?(.+?)'", postrm)
    written = bind.drop_in("svc", was_enabled=True).splitlines()
    assert len(marks) == 2
    assert written[0].startswith(marks[0])
    assert marks[1] == written[1] == bind.WAS_ENABLED


def test_the_sample_of_a_unit_that_follows_is_what_bind_writes() -> None:
    def orders(text: str) -> list[str]:
        return [line for line in text.splitlines() if line[:1] not in ("", "#", "[")]

    sample = (ROOT / "systemd" / "samples" / "follow-the-leader.conf").read_text()
    assert orders(sample) == orders(drop_in("svc", was_enabled=False))
    assert len(orders(sample)) == 3
