"""What valid files mean."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from followtheleader import config
from followtheleader.config.loader import parse
from followtheleader.config.reload import Changes
from followtheleader.config.schema import KEYS
from followtheleader.config.settings import HookSettings, PeerAddress, Settings
from followtheleader.core.timing import Timing
from followtheleader.errors import ConfigError

MS = 1_000_000
SECOND = 1_000 * MS

EVERYTHING = """\
service: web shop
node: &me host-a
priority: 0
voters: [*me, "on", host-c]      # an alias is harmless, and quotes make a word of `on`
witness: true
heartbeat_interval: 1.5s
max_failed_responses: 5
preempt: true
preempt_delay: 5m
start_patience: 30s
stop_timeout: 1m
host: 10.0.0.2
port: 9002
interfaces: []
discovery: [static, mdns]
peers:
  - 10.0.0.3
  - host-b.example.org:9001
  - "[fe80::1%eth0]:9003"
  - "[::1]"
key_file: /etc/ftl/web.key
key_mode: sign
hooks:
  on_leader: /usr/local/bin/take-over.sh
  on_follower: [/usr/bin/logger, "not leading", "5"]
  on_reelection: [[/bin/echo, a], /bin/true, ["/with space/b"]]
  on_error: []
  timeout: 2m
  on_failure: retry
role_file: /run/web/role
primary: true
"""


def of(text: str, instance: str = "svc", host_name: str = "host-a") -> Settings:
    """The settings of a file /etc/ftl/INSTANCE.yaml with this text."""
    return parse(text.encode(), f"/etc/ftl/{instance}.yaml", host_name=host_name)


def test_every_key() -> None:
    assert of(EVERYTHING) == Settings(
        instance="svc",
        path="/etc/ftl/svc.yaml",
        service="web shop",
        node="host-a",
        priority=0,
        preempt=True,
        preempt_delay=300 * SECOND,
        voters=("host-a", "on", "host-c"),
        witness=True,
        heartbeat_interval=1500 * MS,
        max_failed_responses=5,
        start_patience=30 * SECOND,
        stop_timeout=60 * SECOND,
        host="10.0.0.2",
        port=9002,
        interfaces=(),
        discovery=("static", "mdns"),
        peers=(
            PeerAddress("10.0.0.3", None),
            PeerAddress("host-b.example.org", 9001),
            PeerAddress("fe80::1%eth0", 9003),
            PeerAddress("::1", None),
        ),
        hooks=HookSettings(
            commands={
                "leader": (("/usr/local/bin/take-over.sh",),),
                "follower": (("/usr/bin/logger", "not leading", "5"),),
                "reelection": (("/bin/echo", "a"), ("/bin/true",), ("/with space/b",)),
                "error": (),
            },
            timeout=120 * SECOND,
            on_failure="retry",
        ),
        key_file="/etc/ftl/web.key",
        key_mode="sign",
        role_file="/run/web/role",
        primary=True,
    )


@pytest.mark.parametrize(
    "text", ["", "\n", "# only a comment\n", "---\n", "---\n...\n", "\ufeff{}"]
)
def test_empty_file_has_every_default(text: str) -> None:
    settings = of(text, "db", host_name="host-7.example.org")
    assert settings == Settings(
        instance="db",
        path="/etc/ftl/db.yaml",
        service="db",
        node="host-7.example.org",
        priority=100,
        preempt=False,
        preempt_delay=60 * SECOND,
        voters=(),
        witness=False,
        heartbeat_interval=250 * MS,
        max_failed_responses=3,
        start_patience=10 * SECOND,
        stop_timeout=0,
        host="0.0.0.0",
        port=None,
        interfaces=(),
        discovery=("mdns",),
        peers=(),
        hooks=HookSettings(
            commands=dict.fromkeys(("leader", "follower", "reelection", "error")),
            timeout=30 * SECOND,
            on_failure="step-down",
        ),
        role_file="/run/ftl/role",
        key_file=None,
        key_mode="require",
        primary=False,
    )
    assert settings.hooks_dir == "/etc/ftl/db"


@pytest.mark.parametrize(
    ("text", "heartbeat"),
    [
        ("timing: default", 250 * MS),
        ("timing: fast", 25 * MS),
        ("timing: relaxed", 750 * MS),
        ("heartbeat_interval: 0.1s", 100 * MS),
        ("timing: fast\nheartbeat_interval: 25ms", 25 * MS),
    ],
)
def test_timing(text: str, heartbeat: int) -> None:
    settings = of(text)
    assert settings.heartbeat_interval == heartbeat
    assert settings.timing == Timing(heartbeat, 3, 0)


def test_stop_timeout_follows_the_kind_of_group() -> None:
    assert of("voters: [a, b, c]").stop_timeout == 2 * SECOND
    assert of("voters: [a, b, c]\nstop_timeout: 0s").stop_timeout == 0
    assert of("stop_timeout: 300ms").stop_timeout == 300 * MS


def test_a_real_file_and_its_real_host_name(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    path.write_text("port: 9002\r\npriority: 7\r\n")
    settings = config.load(str(path))
    assert (settings.instance, settings.port, settings.priority) == ("svc", 9002, 7)
    assert settings.node == socket.gethostname()
    assert settings.hooks_dir == str(tmp_path / "svc")
    other = config.load(str(path), instance="other")
    assert (other.instance, other.service) == ("other", "other")


def test_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "svc.yaml").touch()
    monkeypatch.chdir(tmp_path)
    assert config.load("svc.yaml").path == str(tmp_path / "svc.yaml")


@pytest.mark.parametrize("name", ["höst", "a b", "", "x" * 64])
def test_unusable_host_name_is_a_fault_unless_node_is_set(name: str) -> None:
    with pytest.raises(ConfigError, match=r"svc\.yaml:1:1: node: the host name .* set node"):
        of("", host_name=name)
    assert of("node: host-a", host_name=name).node == "host-a"


@pytest.mark.parametrize("name", ["role", "-svc", ".svc", "s vc", "x" * 64])
def test_instance_name_must_fit_a_directory(name: str) -> None:
    with pytest.raises(ConfigError, match=":1:1: instance: "):
        of("", name)


def test_reload_tells_what_it_applies_and_what_waits_for_a_restart() -> None:
    old = of("timing: fast\nhooks: {on_leader: /bin/true}")
    new = of("priority: 5\nhooks: {on_leader: /bin/false, timeout: 5s}\nport: 9003")
    changes = Changes.between(old, new)
    assert changes.applied == ["priority"]
    assert changes.hooks == ["hooks.on_leader", "hooks.timeout"]
    assert changes.restart == ["heartbeat_interval", "port"]
    assert changes.settings == replace(old, priority=5, hooks=new.hooks)
    again = Changes.between(changes.settings, new)
    assert again.facts == {"applied": [], "hooks": [], "restart": ["heartbeat_interval", "port"]}


def test_every_key_is_reloadable_or_not_for_a_reason() -> None:
    """What others know a node by, or have promised by, stays as long as the agent runs."""
    fixed = {"service", "node", "voters", "witness", "host", "port", "interfaces"}
    fixed |= {"timing", "heartbeat_interval", "max_failed_responses", "stop_timeout"}
    assert {key.name for key in KEYS if not key.reload} == fixed
