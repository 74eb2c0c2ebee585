# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.pci_layouts import (
    LAYOUT_OF,
    LAYOUTS,
    MANAGEMENT_INTERFACE,
    RAILS,
    Slot,
    slots_of,
)
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import FABRIC_PREFIX, cards, check_fabric, tap
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord

FABRIC = "198.18.8.0/21"
P0 = HostRecord("p0", "prefill", "198.51.100.10", "198.18.8.10")
D0 = HostRecord("d0", "decode", "198.51.100.110", "198.18.8.110")
R0 = HostRecord("r0", "router", "198.51.100.210", "198.18.8.210")


@pytest.mark.parametrize(
    ("slot", "interface", "address"),
    [
        (Slot(11, 0), "enp12s0", "0000:0c:00.0"),
        (Slot(107, 1, 1), "enp108s0f1", "0000:6c:00.1"),
        (Slot(218, 1), "enp219s0", "0000:db:00.0"),
    ],
)
def test_names_follow_from_the_place_on_pci(slot: Slot, interface: str, address: str) -> None:
    assert (slot.interface, slot.address) == (interface, address)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_possible_machines(layout: str) -> None:
    slots = LAYOUTS[layout]
    # A port's bus lies behind its bridge's, and no two may meet; 255 is the last one, and 0 the root's.
    buses = [bus for slot in slots for bus in (slot.bridge_bus, slot.bus)]
    assert len(set(buses)) == len(buses)
    assert all(0 < bus < 256 for bus in buses)
    assert buses == sorted(buses)
    assert all(len(slot.interface) <= 15 and slot.interface != MANAGEMENT_INTERFACE for slot in slots)


def test_prefill_and_decode_hosts_differ_in_every_rails_name() -> None:
    a, b = LAYOUTS["a"], LAYOUTS["b"]
    assert len(a) == len(b) == RAILS == 8
    assert [left.interface for left, right in zip(a, b) if left.interface == right.interface] == []
    assert {slot.numa_node for slot in a} == {slot.numa_node for slot in b} == {0, 1}
    assert set(LAYOUT_OF.values()) == set(LAYOUTS)
    assert slots_of("") == a


def test_each_rail_is_a_network_of_its_own() -> None:
    assert FABRIC_PREFIX == 21
    for host, last in ((P0, 10), (D0, 110)):
        found = cards(host, FABRIC)
        assert [card.address for card in found] == [f"198.18.{8 + rail}.{last}" for rail in range(8)]
        assert [card.network for card in found] == [f"198.18.{8 + rail}.0/24" for rail in range(8)]
        assert [card.device for card in found] == [f"mlx5_{rail}" for rail in range(8)]
        assert found[0].address == host.fabric_address
    assert len({card.mac for host in (P0, D0) for card in cards(host, FABRIC)}) == 16
    assert [card.interface for card in cards(R0, FABRIC)] == ["enp34s0"]


def test_port_names_fit() -> None:
    assert len(tap("a" * 12, RAILS - 1)) <= 15


def test_fabric_that_fits() -> None:
    check_fabric(IPv4Network(FABRIC), (P0, D0, R0))
    check_fabric(IPv4Network("198.18.0.0/16"), (HostRecord("p0", "prefill", "198.51.100.10", "198.18.0.10"),))


@pytest.mark.parametrize(
    ("fabric", "host", "text"),
    [
        ("198.18.8.0/24", P0, r"fabric_network 198.18.8.0/24: .* 8 rails of a /24 each: .* /21 or shorter, or be auto"),
        (
            FABRIC,
            HostRecord("p1", "prefill", "198.51.100.11", "198.18.9.11"),
            r"host p1: .* 198.18.9.11 .* first rail's network 198.18.8.0/24",
        ),
    ],
)
def test_fabric_that_does_not_fit_is_refused(fabric: str, host: HostRecord, text: str) -> None:
    with pytest.raises(LabError, match=text):
        check_fabric(IPv4Network(fabric), (host,))
