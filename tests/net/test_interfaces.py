"""Which interfaces take part; on whatever interfaces this host has."""

from __future__ import annotations

import socket

import pytest

from followtheleader.net.interfaces import (
    _LEFT_OUT,
    Interface,
    has_carrier,
    holding,
    missing,
    usable,
)


def test_loopback_only_when_named() -> None:
    index = socket.if_nametoindex("lo")
    assert usable(("lo",))[:2] == [
        Interface("lo", index, "127.0.0.1", 8),
        Interface("lo", index, "::1", 128),
    ]
    assert "lo" not in {interface.name for interface in usable()}


def test_one_that_is_not_there_has_no_address() -> None:
    """It may come, or come back."""
    assert usable(("lo", "nope0")) == usable(("lo",))
    assert usable(("nope0",)) == []
    assert missing(("lo", "nope0")) == ["nope0"]
    assert missing(()) == []


def test_an_address_is_held_by_interfaces_of_any_name() -> None:
    assert [interface.name for interface in holding("127.0.0.1")] == ["lo"]
    assert holding("192.0.2.1") == []


LEFT_OUT = (
    "lo docker0 veth12ab br-0123456789ab virbr0 cni0 flannel.1 cali1 lxcbr0 podman1 tailscale0 "
    "wg0 tun0"
)


@pytest.mark.parametrize("name", LEFT_OUT.split())
def test_left_out_unless_named(name: str) -> None:
    assert _LEFT_OUT.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["eth0", "enp3s0", "br0", "br-lan", "bond0", "lo0", "eth0.7", "host0"]
)
def test_taken(name: str) -> None:
    assert not _LEFT_OUT.fullmatch(name)


def test_carrier() -> None:
    assert has_carrier("lo")
    assert not has_carrier("nope0")
    assert not has_carrier("a-name-that-is-far-too-long-for-an-interface")
