"""What is allowed but perhaps not meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from followtheleader.config.advice import warnings
from followtheleader.config.loader import parse
from followtheleader.config.settings import Settings
from followtheleader.hook_files import default_hooks


def of(text: str, path: str = "/nowhere/svc.yaml") -> Settings:
    """The settings of this text on host-a."""
    return parse(text.encode(), path, host_name="host-a")


def script(path: Path, mode: int = 0o755) -> Path:
    """Make a small program."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_nothing_to_say() -> None:
    assert warnings(of("")) == []
    assert warnings(of("voters: [host-a, host-b, host-c]\ninterfaces: [lo]")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("voters: [host-a]", "voters: a single voter"),
        ("voters: [host-a, host-b]", "voters: two voters"),
        ("voters: [host-a, b, c, d]", "voters: 4 voters survive no more failures than 3"),
        ("voters: [a, b, c]", "node: host-a is not among the voters"),
        ("voters: [Host-A, b, c]", "did you mean 'Host-A'?"),
        ("node: localhost", "node: localhost is what many hosts are called"),
        ("priority: 0\nhooks: {on_leader: /bin/true}", "hooks.on_leader: never runs"),
        ("voters: [host-a]\npriority: 0", "priority: 0 on the only voter, nobody leads"),
        ("voters: [host-a, b]\nwitness: true\npriority: 9", "priority: a witness never leads"),
        (
            "voters: [host-a, b, c]\nwitness: true\nhooks: {on_leader: /bin/true}",
            "hooks.on_leader: never runs, for a witness never leads",
        ),
        ("heartbeat_interval: 10ms", "heartbeat_interval: 10ms, a host that is busy for 32ms"),
        ("voters: [host-a, b, c]\nstop_timeout: 0s", "stop_timeout: 0s, the job is killed"),
        ("voters: [host-a, b, c]\nstop_timeout: 2m", "nobody leads for 151s"),
        ("stop_timeout: 2m", "after the death of the leader's host nobody leads for 151s"),
        ("voters: [host-a, b, c]\ntiming: fast\nstop_timeout: 0s", "write 800ms or more, or a"),
        ("timing: fast\nstop_timeout: 700ms", "cannot end the job before another may lead"),
        ("voters: [host-a, b]\nwitness: true", "one of them this witness: only b ever leads"),
        (
            "voters: [a, b, c]\nhooks: {on_leader: /bin/true}",
            "hooks.on_leader: never runs, for a node that is not among the voters never leads",
        ),
        ("voters: [a, b, c]\npreempt: true", "preempt: a node that is not among the voters never"),
        ("preempt_delay: 5s", "preempt_delay: waits for nothing without preempt: true"),
        ("host: 192.0.2.1", "host: 192.0.2.1 is not an address of this host now"),
        ("role_file: /etc", "role_file: /etc is a directory"),
        ("interfaces: [nosuch0]", "interfaces: nosuch0 does not exist on this host"),
        ('discovery: static\npeers: ["[fe80::1%nosuch0]"]', "nosuch0 does not exist"),
        ("host: fe80::1%nosuch0", "host: fe80::1%nosuch0: nosuch0 does not exist on this host"),
        ("host: ::1", "host: ::1, only agents on this same host"),
        ("host: 127.0.0.1", "host: 127.0.0.1, only agents on this same host"),
        ("hooks: {on_error: /no/such/hook}", "hooks.on_error: /no/such/hook does not exist"),
        ("hooks: {on_error: [/etc]}", "hooks.on_error: /etc is a directory, name a program"),
        ("hooks: {on_leader: [/bin/sh, /bin/ls]}", "write [[/bin/sh], [/bin/ls]]"),
    ],
)
def test_warning(text: str, says: str) -> None:
    assert any(says in warning for warning in warnings(of(text))), warnings(of(text))


def test_hook_that_cannot_run_or_that_anybody_can_change(tmp_path: Path) -> None:
    plain = script(tmp_path / "plain.sh", 0o644)
    public = script(tmp_path / "public.sh", 0o757)
    found = warnings(of(f"hooks: {{on_leader: {plain}, on_follower: {public}}}"))
    assert found == [
        f"hooks.on_leader: {plain} is not executable, run chmod +x {plain}",
        f"hooks.on_follower: {public} can be changed by everybody, run chmod o-w {public}",
    ]


def test_default_hooks_in_the_order_of_their_names(tmp_path: Path) -> None:
    home = tmp_path / "svc"
    first = script(home / "on_leader.sh", 0o644)
    folder = home / "on_leader.d"
    ten, two = script(folder / "10-b"), script(folder / "02-a")
    script(folder / "03-not-executable", 0o644)
    for left_over in ("04~", ".05", "06.sample", "07.dpkg-old"):
        script(folder / left_over)
    (folder / "08-directory").mkdir()
    assert default_hooks(str(home), "leader") == [str(first), str(two), str(ten)]
    assert default_hooks(str(home), "follower") == []
    assert default_hooks(str(tmp_path / "none"), "leader") == []
    found = warnings(of("", str(tmp_path / "svc.yaml")))
    assert found == [f"on_leader: {first} is not executable, run chmod +x {first}"]


def test_static_discovery_beside_other_instances_needs_a_port(tmp_path: Path) -> None:
    path = tmp_path / "svc.yaml"
    path.touch()
    text = "discovery: static\npeers: [10.0.0.2]\n"
    assert warnings(of(text, str(path))) == []
    (tmp_path / "other.yaml").touch()
    assert any("set port" in warning for warning in warnings(of(text, str(path))))
    assert warnings(of(text + "port: 9001\n", str(path))) == []


@pytest.mark.parametrize(
    "text",
    [
        "timing: fast",  # an open group's default: nobody waits, the verdict says so
        "timing: fast\nstop_timeout: 800ms",
        "voters: [host-a, b, c]\ntiming: fast\nstop_timeout: 800ms",
    ],
)
def test_no_warning_of_a_guardian_that_has_time(text: str) -> None:
    assert not any("stop_timeout" in warning for warning in warnings(of(text)))


def test_without_a_takeover_no_gap_is_told() -> None:
    found = warnings(of("voters: [host-a, b]\nstop_timeout: 2m"))
    assert not any("nobody leads for" in warning for warning in found)
