"""Keys on real hosts: a running group is signed, and its key rotated, while its job runs on; and a
host with another key is shown by all, with the cure."""

from __future__ import annotations

import functools
import secrets
from collections.abc import Callable
from typing import Any

import pytest

from lab.group import Group
from lab.hosts import Host
from lab.stories import changes_since
from lab.waiting import holds_for, wait_until

pytestmark = pytest.mark.lab

KINDS = pytest.mark.parametrize("quorum", [False, True], ids=["open", "quorum"])
OLD, NEW = (f"{name} {secrets.token_urlsafe(32)}" for name in ("old", "new"))


def give(host: Host, *lines: str) -> str:
    """Write the host's key file, and return its path."""
    path = host.directory / "svc.key"
    path.touch(0o600)
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


def have(group: Group, *lines: str, **settings: Any) -> None:
    """Every host gets these keys and settings and is reloaded, one after another."""
    for host in group.hosts:
        group.configure(host, key_file=give(host, *lines), **settings)
        answer = host.ask("reload")
        assert (answer["done"], answer["restart"]) == (True, []), answer


def all_sign(group: Group, key: str | None) -> None:
    """Wait until everybody has heard everybody else sign so; the operator looks at `status`."""

    def seen(host: Host) -> bool:
        keys = host.status().get("keys", {}).get("members", {})
        return len(keys) == len(group.hosts) - 1 and set(keys.values()) == {key}

    for host in group.hosts:
        wait_until(functools.partial(seen, host), 10, f"{host} hears {key}", group.describe)


def drops(host: Host) -> set[str]:
    """For which reasons of keys the host has dropped anything."""
    counters = host.status()["counters"]
    reasons = ("unsigned", "unknown-key", "bad-tag")
    return {reason for reason in reasons if counters.get(f"rejected-{reason}")}


@KINDS
def test_a_group_is_signed_and_its_key_rotated_while_its_job_runs_on(
    build: Callable[..., Group], quorum: bool
) -> None:
    group = build(3, quorum=quorum)
    group.start()
    leader = group.wait_one_leader()
    group.wait_all_vote()
    wait_until(lambda: all(len(h.alive()) == 2 for h in group.hosts), 10, "all know all")
    began = group.log.note("-", "fault", "rollout")
    all_sign(group, None)
    for mode in ("accept", "sign", "require"):
        have(group, OLD, key_mode=mode)
        all_sign(group, None if mode == "accept" else "old")
    for lines in ((OLD, NEW), (NEW, OLD), (NEW,)):
        have(group, *lines)
        all_sign(group, lines[0].split()[0])
    holds_for(lambda: group.leaders() == [leader], 2 * group.timing.takeover, "it leads on")
    assert not changes_since(group, began)
    job = [record.phase for record in group.records(began) if record.what == "job"]
    assert set(job) == {"tick"}, "it neither ended nor began"
    for host in group.hosts:
        assert not drops(host)
        assert host.problems() == ""
        assert host.status()["keys"]["protected"] is True

    # The will was signed anew each time: a crash hands over at once, by the newest key.
    at = leader.crash()
    heir = group.wait_one_leader(group.followers())
    taken = group.wait_hook(heir, "leader", since=at)
    assert (taken.at - at) / 1e9 < group.timing.lease
    assert not any(drops(host) for host in group.followers())
    leader.start()
    group.wait_one_leader()
    group.check()


def says(host: Host, *words: str) -> bool:
    return all(word in host.problems() for word in words)


@KINDS
def test_a_host_with_another_key_is_shown_by_all_and_follows_once_it_is_cured(
    build: Callable[..., Group], quorum: bool
) -> None:
    """h3 was given a key of the same name and another secret. The others have a leader."""
    group = build(3, quorum=quorum)
    wrong = group.hosts[2]
    for host in group.hosts:
        line = f"old {secrets.token_urlsafe(32)}" if host is wrong else OLD
        group.configure(host, key_file=give(host, line))
    group.start()
    right = group.hosts[:2]
    leader = group.wait_one_leader(right, within=group.timing.patience + 15)
    cure = "signed with key old, and that has another secret here; give both the same key_file"
    for host in right:
        told = functools.partial(says, host, "10.77.0.3:", cure)
        wait_until(told, 20, f"{host} tells of h3", group.describe)
        assert "h3" not in host.alive()
    told = functools.partial(says, wrong, "10.77.0.1:", "10.77.0.2:", cure)
    wait_until(told, 20, "h3 tells of both", group.describe)
    if quorum:
        assert wrong.role != "leader"
    assert leader.role == "leader"

    group.configure(wrong, key_file=give(wrong, OLD))
    assert wrong.ask("reload")["done"]
    group.wait_one_leader(within=group.timing.patience + 15)
    wait_until(lambda: not any(h.problems() for h in group.hosts), 10, "it is over", group.describe)
    group.check()
