# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks and addresses of documentation in the place of a host's own."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.addressmap import POOLS, Moved, Network, size, start

FUZZ = settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def number(text: str) -> int:
    return int(ipaddress.IPv4Address(text))


def network(text: str) -> Network:
    """Return first address and prefix length. X stands for the first octet of a wide network, which no text here may name."""
    found = ipaddress.IPv4Network(text.replace("X", "11"))
    return int(found.network_address), found.prefixlen


def moved(networks: list[str], addresses: list[str]) -> tuple[list[str], list[str]]:
    """Return the new networks and addresses as texts."""
    table = Moved(map(network, networks), [number(text.replace("X", "11")) for text in addresses])
    places = [table.network(*network(text)) for text in networks]
    return (
        [f"{ipaddress.IPv4Address(base)}/{length}" for base, length in places],
        [str(ipaddress.IPv4Address(table.address(number(text.replace("X", "11"))))) for text in addresses],
    )


@pytest.mark.parametrize(
    ("networks", "addresses", "new_networks", "new_addresses"),
    [
        (["192.0.2.0/24"], ["192.0.2.7", "192.0.2.254"], ["203.0.113.0/24"], ["203.0.113.7", "203.0.113.254"]),
        (
            ["X.0.1.0/24", "X.0.2.0/24", "X.0.3.0/24", "X.0.4.0/24"], ["X.0.1.1", "X.0.2.1", "X.0.3.1", "X.0.4.1"],
            ["203.0.113.0/24", "198.51.100.0/24", "198.18.0.0/24", "198.18.1.0/24"],
            ["203.0.113.1", "198.51.100.1", "198.18.0.1", "198.18.1.1"],
        ),
        # Rails of two addresses each; one in a network of another.
        (
            ["192.0.2.0/31", "192.0.2.2/31"], ["192.0.2.0", "192.0.2.3"],
            ["203.0.113.0/31", "203.0.113.2/31"], ["203.0.113.0", "203.0.113.3"],
        ),
        (["X.1.0.0/16", "X.1.7.0/24"], ["X.1.7.9", "X.1.8.9"], ["198.18.0.0/16", "198.18.7.0/24"], ["198.18.7.9", "198.18.8.9"]),
        # No network is known: that of 256 addresses.
        ([], ["X.0.0.5", "X.0.0.9", "X.9.0.5"], [], ["203.0.113.5", "203.0.113.9", "198.51.100.5"]),
        # Too wide: as wide as it takes.
        (["X.0.0.0/8"], ["X.200.3.4"], ["203.0.113.0/24"], ["203.0.113.1"]),
        (["X.0.0.0/8", "X.5.0.0/24"], ["X.5.0.7", "X.200.3.4"], ["198.18.0.0/23", "198.18.0.0/24"], ["198.18.0.7", "198.18.1.1"]),
        # A host that has addresses of documentation gets others of them.
        (["203.0.113.0/24"], ["203.0.113.1"], ["198.51.100.0/24"], ["198.51.100.1"]),
    ],
)
def test_places(networks: list[str], addresses: list[str], new_networks: list[str], new_addresses: list[str]) -> None:
    assert moved(networks, addresses) == (new_networks, new_addresses)


def test_more_wide_networks_than_there_is_room_for() -> None:
    networks = [f"X.{index}.0.0/16" for index in range(8)]
    places, addresses = moved(networks, [f"X.{index}.3.4" for index in range(8)])
    assert {text.partition("/")[2] for text in places} == {"24"}
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network(place) for place, address in zip(places, addresses, strict=True))
    assert len(set(places)) == 8


WIDE = st.integers(min_value=0, max_value=(1 << 32) - 1)
# Of few different bits, so that networks hold one another.
OCTETS = st.lists(st.sampled_from([0, 1, 2, 5, 64, 128, 200, 203]), min_size=4, max_size=4)
NEAR = OCTETS.map(lambda parts: int.from_bytes(bytes(parts), "big"))
PLACE = st.one_of(WIDE, NEAR)


@FUZZ
@given(rows=st.lists(st.tuples(PLACE, st.integers(min_value=4, max_value=31)), max_size=12), lone=st.lists(PLACE, max_size=12))
def test_what_holds_what_stays(rows: list[tuple[int, int]], lone: list[int]) -> None:
    networks = sorted({(start(address, length), length) for address, length in rows})
    addresses = sorted({*lone, *(address for address, _length in rows)})
    table = Moved(networks, addresses)
    new = {address: table.address(address) for address in addresses}
    places = {row: table.network(*row) for row in networks}
    assert len(set(new.values())) == len(new)
    assert len(set(places.values())) == len(places)
    assert all(any(first <= address < end for first, end in POOLS) for address in new.values())
    for row, place in places.items():
        assert start(*place) == place[0]
        assert place[1] >= row[1]
        assert row[1] < 16 or place[1] == row[1] or len(networks) > 2
        for address, other in new.items():
            assert (start(address, row[1]) == row[0]) == (start(other, place[1]) == place[0])
    pools = list(POOLS[:-1])
    if not any(first < base + size(length) and base < end for base, length in networks for first, end in pools if length < 16):
        assert not set(new.values()) & set(addresses)
