"""Keys of running agents: rotated and rolled out by reloads, no role changes, and who has none, or
another, is shown by both sides."""

from __future__ import annotations

import asyncio
import signal
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.listener import Listener, alone
from agent.stand import PATIENCE, Node, Stand
from followtheleader.core.types import Address, Role
from followtheleader.driver import Driver
from followtheleader.wire import NO_KEYS
from wire.forge import forge
from wire.rings import ring

SECRETS = {
    name: name[0].upper() + "3vX9q_4LmT8rB1yWc7HdJ0uEaNfPgSoKiVhCxQ" for name in ("old", "new")
}


def write_keys(node: Node, *names: str, **other: str) -> str:
    """Its key file; ``other``: names with a secret of their own."""
    lines = [f"{name} {SECRETS[name]}" for name in names]
    lines += [f"{name} {secret}" for name, secret in other.items()]
    path = node.folder / "svc.key"
    path.touch(0o600)
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def with_keys(stand: Stand, *names: str, **keys: Any) -> None:
    """Every node gets the keys of these names."""
    for node in stand.nodes:
        node.configure(key_file=write_keys(node, *names), **keys)


def reload_all(stand: Stand, *applied: str) -> None:
    for node in stand.nodes:
        answer = node.ask("reload")
        assert (answer.get("done"), answer.get("applied")) == (True, list(applied)), answer


def changes(stand: Stand) -> list[int]:
    return [node.status()["change"] for node in stand.nodes]


def settled(stand: Stand) -> None:
    """Wait until each node's hook of its role has ended."""
    for node in stand.nodes:
        last = [(node.role, "end")]
        stand.wait(lambda n=node, e=last: [line[1:3] for line in stand.lines(n)][-1:] == e, "hooks")


def signed_with(node: Node) -> set[str | None]:
    """By which keys its members have signed last."""
    return set(node.status()["keys"]["members"].values())


def wait_signed(stand: Stand, key: str | None) -> None:
    for node in stand.nodes:
        stand.wait(lambda n=node: signed_with(n) == {key}, f"{node.name} hears {key}")


def rejected(node: Node) -> dict[str, int]:
    """What it has dropped, by reason."""
    counters = node.status()["counters"]
    head = "rejected-"
    return {name[len(head) :]: n for name, n in counters.items() if name.startswith(head)}


def test_a_key_is_rotated_without_a_change_of_role(stand: Stand) -> None:
    stand.group("ab")
    with_keys(stand, "old")
    for node in stand.nodes:
        node.start()
    leader = stand.wait_one_leader()
    wait_signed(stand, "old")
    settled(stand)
    before, lines = changes(stand), stand.lines()
    for names in (("old", "new"), ("new", "old"), ("new",)):
        for node in stand.nodes:
            write_keys(node, *names)
        reload_all(stand, "key_file")
        wait_signed(stand, names[0])
    assert (changes(stand), stand.lines()) == (before, lines)
    for node in stand.nodes:
        assert "signing with key new, accepting also old; nothing unsigned counts" in node.log
        keys = node.status()["keys"]
        assert (keys["mode"], keys["signs_with"], keys["accepts"]) == ("require", "new", ["new"])
        assert keys["protected"] is True
        assert not {"unknown-key", "bad-tag", "unsigned"} & set(rejected(node))
        assert not any(secret in node.log for secret in SECRETS.values())
    reload_all(stand)
    # The will was signed anew: a crash hands over although the old key is gone.
    follower = next(node for node in stand.nodes if node is not leader)
    leader.kill()
    follower.wait_role("leader")
    stand.wait(lambda: stand.begun(leader)[-1:] == ["follower"], "its guardian ended the job")
    assert not {"unknown-key", "bad-tag", "unsigned"} & set(rejected(follower))


def test_a_group_goes_from_unsigned_to_signed_and_back(stand: Stand) -> None:
    stand.pair()
    settled(stand)
    before, lines = changes(stand), stand.lines()
    modes = ("accept", "sign", "require", "sign", "accept")
    for mode in modes:
        with_keys(stand, "old", key_mode=mode)
        first = stand.nodes[0].status()["keys"]["mode"] == "none"
        reload_all(stand, *(["key_file"] if first else []), "key_mode")
        wait_signed(stand, None if mode == "accept" else "old")
        for node in stand.nodes:
            unprotected = f"unsigned datagrams still count (key_mode: {mode})"
            assert (unprotected in node.problems) is (mode != "require")
            assert node.status()["keys"]["mode"] == mode
    for node in stand.nodes:
        node.configure()
    reload_all(stand, "key_file", "key_mode")
    assert (changes(stand), stand.lines()) == (before, lines)
    assert all("datagrams are not signed" in node.log for node in stand.nodes)
    assert not any({"unknown-key", "unsigned"} & set(rejected(node)) for node in stand.nodes)


def test_a_bad_key_file_keeps_the_old_keys_and_says_so(stand: Stand) -> None:
    stand.group("ab")
    with_keys(stand, "old")
    for node in stand.nodes:
        node.start()
    leader = stand.wait_one_leader()
    before = changes(stand)
    path = Path(write_keys(leader, "old", second="1111"))
    leader.send(signal.SIGHUP)
    stand.wait(
        lambda: "configuration not reloaded, the old one stays" in leader.problems, "it says"
    )
    assert f"{path}:2:1: key: the secret of 'second' is too short" in leader.problems
    answer = leader.ask("reload")
    assert answer["done"] is False
    assert "is too short" in answer["error"]
    assert leader.status()["keys"]["accepts"] == ["old"]
    path.unlink()
    assert "does not exist" in leader.ask("reload")["error"]
    write_keys(leader, "old", "new")
    assert leader.ask("reload")["applied"] == ["key_file"]
    assert leader.problems == ""
    assert changes(stand) == before


@pytest.mark.parametrize(
    ("keys", "here", "there"),
    [
        ({"old": SECRETS["new"]}, "signed with key old, and that has another secret here", None),
        ({"else": SECRETS["new"]}, "signed with a key that this node does not have (it has", None),
        (None, "not signed, and this node requires it", "signed, and this node has no key"),
    ],
    ids=["another secret", "another key", "no key"],
)
def test_who_has_another_key_is_shown_by_both_and_heard_by_none(
    stand: Stand, keys: dict[str, str] | None, here: str, there: str | None
) -> None:
    a, b = stand.group("ab")
    a.configure(key_file=write_keys(a, "old"))
    b.configure(key_file=write_keys(b, **keys) if keys else None)
    a.start()
    a.wait_role("leader")
    b.start()
    b.wait_role("leader")  # of nobody: an open group in two parts
    for node, other, text in ((a, b, here), (b, a, there or here)):
        told = f"127.0.0.1:{other.port}: {text}"
        stand.wait(lambda n=node, t=told: t in n.problems, f"{node.name} shows it")
        assert "give " in node.problems
        assert node.status()["members"] == []
    b.configure(key_file=write_keys(b, "old"))
    assert b.ask("reload")["done"]
    stand.wait_one_leader()
    stand.wait(lambda: not a.problems and not b.problems, "it is over")


def test_a_bad_key_at_the_start_is_exit_78(stand: Stand) -> None:
    node = stand.node()
    node.configure(key_file=write_keys(node, old="1111"))
    assert node.start().wait_end() == 78
    assert "is too short: 13 bits at most" in node.log
    assert "1111" not in node.log.replace(str(node.folder), "")
    path = Path(write_keys(node, "old"))
    path.chmod(0o644)
    assert node.start().wait_end() == 78
    assert "can be read by others (mode 0644)" in node.log


def test_without_a_key_it_says_so_once_and_names_every_new_member_once(stand: Stand) -> None:
    a, b = stand.pair()
    for node, other in ((a, b), (b, a)):
        stand.wait(lambda n=node, o=other: f"member {o.name} at " in n.log, "it is named")
        assert node.log.count("datagrams are not signed: whoever is on this network") == 1
        assert node.log.count(f"member {other.name} at ") == 1


def test_nothing_unsigned_moves_a_role_where_it_is_required(stand: Stand) -> None:
    """An attacker who knows everything but the key: whatever it says in the leader's name."""
    stand.group("ab")
    with_keys(stand, "old")
    for node in stand.nodes:
        node.start()
    leader = stand.wait_one_leader()
    follower = next(node for node in stand.nodes if node is not leader)
    before = changes(stand)
    me = int(leader.status()["id"], 16)
    with socket.socket(type=socket.SOCK_DGRAM) as attacker:
        for kind in range(1, 20):
            for key_id in (0, 1, 77):
                size = 960 if kind < 3 else 60
                said = forge(
                    kind,
                    bytes(size),
                    key_id=key_id,
                    service="test",
                    sender=me,
                    receiver=0,
                    incarnation=2**43,
                    counter=2**63,
                )
                attacker.sendto(said, ("127.0.0.1", follower.port))
    stand.wait(lambda: rejected(follower).get("unknown-key", 0) >= 30, "it has heard them")
    assert rejected(follower)["unsigned"] >= 15
    assert changes(stand) == before
    assert follower.log.count("are dropped (unsigned)") == 1
    assert follower.log.count("are dropped (unknown-key)") == 1


class Heir(Listener):
    """Keeps every will."""

    def __init__(self) -> None:
        super().__init__()
        self.wills: list[list[tuple[Address, bytes]]] = []

    def on_will(self, datagrams: list[tuple[Address, bytes]]) -> None:
        self.wills.append(datagrams)


def test_a_will_is_deposited_anew_when_the_keys_change() -> None:
    """What was signed by a key that is no longer accepted would free nothing."""

    async def main() -> None:
        heir = Heir()
        profile = replace(alone("a"), ring=NO_KEYS)
        driver = Driver(profile, heir)
        await driver.start()
        try:
            async with asyncio.timeout(PATIENCE):
                while Role.LEADER not in heir.roles:
                    await asyncio.sleep(0.01)
            before = len(heir.wills)
            for keys in (ring("a"), ring("b", "a"), ring("b", "a")):
                driver.change(replace(profile, ring=keys))
            assert len(heir.wills) == before + 2
        finally:
            await driver.close()

    asyncio.run(main())
