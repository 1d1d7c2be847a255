"""Addresses as text and as the kernel takes them."""

from __future__ import annotations

import socket

import pytest

from followtheleader.net.hosts import canonical, six_address, zone_of

LO = socket.if_nametoindex("lo")


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("10.0.0.2", "10.0.0.2"),
        ("FD00:0::2", "fd00::2"),
        ("::ffff:10.0.0.2", "10.0.0.2"),
        ("fe80::1%lo", "fe80::1%lo"),
        (f"fe80::1%{LO}", "fe80::1%lo"),
        ("fe80::1%0", "fe80::1"),
        ("fd00::2%lo", "fd00::2"),
        ("10.0.0.2%lo", None),
        ("host-b", None),
        ("", None),
        ("10.0.0", None),
    ],
)
def test_one_form(text: str, form: str | None) -> None:
    assert canonical(text) == form


def test_the_kernel_wants_a_number() -> None:
    assert six_address("fe80::1%lo", 9001) == ("fe80::1", 9001, 0, LO)
    assert six_address("::1", 9001) == ("::1", 9001, 0, 0)
    assert six_address("fe80::1%77", 9001) == ("fe80::1", 9001, 0, 77)
    for host in ("fe80::1%nosuch0", "host-b", "10.0.0.2", "fe80::1%" + "9" * 30):
        with pytest.raises(OSError):
            six_address(host, 9001)


def test_an_interface_that_has_gone_is_a_number() -> None:
    assert zone_of(LO) == "lo"
    assert zone_of(2**31 - 1) == str(2**31 - 1)
