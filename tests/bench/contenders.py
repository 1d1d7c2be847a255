"""The programs that are measured beside ftl-agent: what each needs, and how a host starts it.

Promise: every one runs as its documents recommend for five equal hosts, with its defaults wherever
the name does not say otherwise, and tells its roles to the same stamps by its own kind of hook.
Nothing here is installed or downloaded; what is missing is named with the command that gets it.

npm's followtheleader 2.0.9 elects only with one option changed, see followtheleader.js; it is
measured as published too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.hosts import EVENTS, agent_command

DEBIAN = {"keepalived": "keepalived", "ucarp": "ucarp", "node": "nodejs", "npm": "npm"}
NPM_PACKAGE = "followtheleader@2.0.9"
WRAPPER = Path(__file__).with_name("followtheleader.js")
VIRTUAL_ADDRESS = "10.77.1.1"
DECISION_SECONDS = 31.0  # npm's followtheleader listens for 5 to 30 s before it decides


@dataclass(frozen=True, slots=True)
class Place:
    """What a contender may know of its host; ``hook(event)`` is the command that stamps."""

    name: str
    number: int
    address: str
    directory: Path
    stamp: Sequence[str]

    def hook(self, event: str) -> list[str]:
        return [*self.stamp, event, "lab", event, "0"]


@dataclass(frozen=True, slots=True)
class Contender:
    """A program and its configuration.

    period     its heartbeat, in seconds: faults come at a random moment of it
    quiet      when leadership has not moved for so many seconds, it will not by itself
    patience   the most that any of its elections takes, in seconds
    has_helper more than one process belongs to it
    elects     False: only its launch is measured, as no fault finds one leader
    every      a row takes so many times fewer samples, as each lasts so much longer
    """

    name: str
    title: str
    needs: str
    prepare: Callable[[Place], list[str]]
    period: float
    quiet: float
    patience: float
    has_helper: bool = False
    elects: bool = True
    every: int = 1


def missing(contenders: Sequence[Contender]) -> str:
    """What must be installed for these, as commands; an empty string if nothing."""
    needed = {contender.needs for contender in contenders}
    packages = [DEBIAN[name] for name in sorted(needed & {"keepalived", "ucarp"}) if absent(name)]
    cures = []
    if "npm" in needed and not (npm_directory() / "node_modules/followtheleader").is_dir():
        packages += [DEBIAN[name] for name in ("node", "npm") if absent(name)]
        where = npm_directory()
        cures.append(f"mkdir -p {where} && cd {where} && npm install {NPM_PACKAGE}")
    elif "npm" in needed and absent("node"):
        packages.append(DEBIAN["node"])
    if packages:
        cures.insert(0, f"apt-get install -y --no-install-recommends {' '.join(packages)}")
    return " && ".join(cures)


def absent(command: str) -> bool:
    return not shutil.which(command)


def npm_directory() -> Path:
    """Where npm's package lies, outside of the checkout."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "ftl-bench" / "npm"


def version(contender: Contender) -> str:
    """What is measured, for the head of the table."""
    match contender.needs:
        case "keepalived":
            said = _output("keepalived", "--version").split()
            return f"keepalived {said[1].lstrip('v')}"
        case "ucarp":
            said = _output("dpkg-query", "-W", "-f", "${Version}", "ucarp").split()
            return f"ucarp {said[0]}" if said else "ucarp"
        case "npm":
            return f"npm {NPM_PACKAGE} on node {_output('node', '--version').strip()}"
        case _:
            return _output(*agent_command(), "--version").strip()


def _output(*argv: str) -> str:
    """Both outputs of a command: keepalived tells its version on the second."""
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30)
    return done.stdout or done.stderr


# -- ftl-agent


def _ftl(place: Place, settings: Mapping[str, str] | None = None) -> list[str]:
    """The product's defaults, hooks that stamp, and directories of this host's own."""
    run, state = place.directory / "run", place.directory / "state"
    for path in (run, state):
        path.mkdir(exist_ok=True)
    document = {
        "node": place.name,
        "service": "lab",
        "role_file": str(place.directory / "role"),
        **(settings or {}),
        "hooks": {f"on_{event}": list(place.stamp) for event in EVENTS},
    }
    config = place.directory / "lab.yaml"
    config.write_text(yaml.safe_dump(document, sort_keys=False))
    directories = ("--runtime-dir", str(run), "--state-dir", str(state))
    return [*agent_command(), "run", "-c", str(config), *directories]


def _ftl_fast(place: Place) -> list[str]:
    return _ftl(place, {"timing": "fast"})


# -- keepalived and ucarp: all hosts start as backup, each with a rank of its own

KEEPALIVED = """\
global_defs {{
  router_id {name}
  vrrp_version {vrrp}
  script_user root
}}
vrrp_instance lab {{
  state BACKUP
  nopreempt
  interface eth0
  virtual_router_id 51
  priority {priority}
  advert_int {interval:g}
  virtual_ipaddress {{
    {address}/32 dev eth0
  }}
  {hooks}
}}
"""


def _keepalived(interval: float) -> Callable[[Place], list[str]]:
    def prepare(place: Place) -> list[str]:
        leads, follows = (" ".join(place.hook(event)) for event in ("leader", "follower"))
        hooks = [f'notify_master "{leads}"', f'notify_backup "{follows}"']
        hooks += [f'notify_{ending} "{follows}"' for ending in ("fault", "stop")]
        config = place.directory / "keepalived.conf"
        text = KEEPALIVED.format(
            name=place.name,
            vrrp=2 if interval >= 1 else 3,  # only VRRP 3 knows fractions of a second
            priority=200 - 20 * place.number,
            interval=interval,
            address=VIRTUAL_ADDRESS,
            hooks="\n  ".join(hooks),
        )
        config.write_text(text)
        config.chmod(0o644)
        pids = [f"--pid={place.directory}/pid", f"--vrrp_pid={place.directory}/vrrp.pid"]
        return ["keepalived", "-n", "-l", "-P", "-f", str(config), *pids]

    return prepare


def _ucarp(place: Place) -> list[str]:
    scripts = {}
    for event in ("leader", "follower"):
        scripts[event] = place.directory / event
        scripts[event].write_text(f"#!/bin/sh\nexec {' '.join(place.hook(event))}\n")
        scripts[event].chmod(0o755)
    return [
        *("ucarp", "-i", "eth0", "-s", place.address, "-a", VIRTUAL_ADDRESS, "-v", "51"),
        *("-p", "secret", "-k", str(20 * place.number), "-z"),
        *("-u", str(scripts["leader"]), "-d", str(scripts["follower"])),
    ]


# -- npm


def _npm(form: str) -> Callable[[Place], list[str]]:
    def prepare(place: Place) -> list[str]:
        return ["node", str(WRAPPER), form, str(npm_directory()), *place.stamp]

    return prepare


CONTENDERS = [
    Contender("ftl-agent", "ftl-agent", "", _ftl, 0.25, 1.5, 15, has_helper=True),
    Contender("ftl-fast", "ftl-agent `fast`", "", _ftl_fast, 0.025, 1.5, 15, has_helper=True),
    Contender(
        *("keepalived-1s", "keepalived 1 s", "keepalived", _keepalived(1)),
        *(1, 5, 20),
        has_helper=True,
    ),
    Contender(
        *("keepalived-100ms", "keepalived 100 ms", "keepalived", _keepalived(0.1)),
        *(0.1, 1.5, 15),
        has_helper=True,
    ),
    Contender(
        *("keepalived-50ms", "keepalived 50 ms", "keepalived", _keepalived(0.05)),
        *(0.05, 1.5, 15),
        has_helper=True,
    ),
    Contender("ucarp", "ucarp", "ucarp", _ucarp, 1, 5, 20),
    Contender(
        *("npm", "npm, patched", "npm", _npm("patched")),
        *(5, DECISION_SECONDS, 4 * DECISION_SECONDS),
        every=3,
    ),
    Contender(
        *("npm-published", "npm, as published", "npm", _npm("published")),
        *(5, DECISION_SECONDS, 3 * DECISION_SECONDS),
        elects=False,
        every=3,
    ),
]
