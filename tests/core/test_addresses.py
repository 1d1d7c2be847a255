"""What an address means, here and to others."""

from __future__ import annotations

import pytest

from followtheleader.core.addresses import is_unicast, show, told_by, worth_telling

FOUR = ("10.0.0.2", 9001)
GLOBAL = ("fd00::2", 9001)
LINK = ("fe80::2", 9001)
ETH0 = ("fe80::2%eth0", 9001)
ETH1 = ("fe80::9%eth1", 9001)


def test_a_port_follows_brackets() -> None:
    assert [show(each) for each in (FOUR, GLOBAL, ETH0)] == [
        "10.0.0.2:9001",
        "[fd00::2]:9001",
        "[fe80::2%eth0]:9001",
    ]


@pytest.mark.parametrize("host", ["10.0.0.2", "223.0.0.1", "fd00::2", "::1", "fe8::1", ETH0[0]])
def test_where_one_host_can_be_reached(host: str) -> None:
    assert is_unicast((host, 9001))
    assert not is_unicast((host, 0))
    assert not is_unicast((host, 65536))


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "224.0.0.1", "255.255.255.255", "ff02::fb", "FF02::1%eth0", *LINK[:1]]
)
def test_where_it_cannot(host: str) -> None:
    assert not is_unicast((host, 9001))


def test_what_is_told_means_the_link_that_it_came_by() -> None:
    assert told_by(LINK, ETH1) == ("fe80::2%eth1", 9001)
    assert told_by(LINK, GLOBAL) == LINK, "of no link, so nobody speaks to it"
    assert told_by(GLOBAL, ETH1) == GLOBAL
    assert told_by(FOUR, ETH1) == FOUR


def test_a_link_local_address_is_told_on_its_own_link() -> None:
    addresses = [ETH0, GLOBAL, FOUR]
    assert worth_telling(addresses, ("fe80::7%eth0", 9001)) == ETH0
    assert worth_telling(addresses, ETH1) == GLOBAL
    assert worth_telling(addresses, FOUR) == FOUR
    assert worth_telling(addresses[:2], FOUR) == GLOBAL
    assert worth_telling([FOUR, GLOBAL], ETH1) == GLOBAL
    assert worth_telling([FOUR], GLOBAL) == FOUR
    assert worth_telling([ETH0], FOUR) is None
    assert worth_telling([], FOUR) is None
