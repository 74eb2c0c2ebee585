# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports whose data addresses are not the ones on their own network devices, or are of IPv6."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import Context, chosen, derive, own_subnets
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support import addressed
from ansible_collections.railyard.sglang.tests.unit.support.addressed import DATA, DATA6, MANAGEMENT
from ansible_collections.railyard.sglang.tests.unit.support.machines import machine, nic, port
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

Write = Callable[[Host], Host]
OWN = [["198.51.100.5/26"], ["198.51.100.69/26"]]
OTHER = [["192.0.2.5/25"], ["192.0.2.133/25"]]


def both(host: Host) -> Host:
    return addressed.ipv6(host, also_ipv4=True)


# What is written, the range, then the GID index of each port, what of its addresses is data, and whether the rails are networks apart.
Case = tuple[Write, Any, list[int], list[list[str]], bool]
CASES: dict[str, Case] = {
    "VLAN": (addressed.vlan, None, [5, 5], OWN, True),
    "VLAN, by range": (addressed.vlan, DATA, [5, 5], OWN, True),
    "VLAN beside management": (addressed.vlan_beside_management, DATA, [5, 5], OWN, True),
    "VLAN beside management, and nobody says which": (addressed.vlan_beside_management, None, [3, 3], OTHER, True),
    "VLAN beside management that is meant": (addressed.vlan_beside_management, MANAGEMENT, [3, 3], OTHER, True),
    "VLAN on bonds": (addressed.vlan_on_bonds, None, [5, 5], OWN, True),
    "VLAN on bonds, by range": (addressed.vlan_on_bonds, DATA, [5, 5], OWN, True),
    "VLAN of storage": (addressed.storage_vlan, None, [3, 3], OWN, True),
}


def answers(host: Host, network: str | None, **options: Any) -> tuple[dict[str, Any], dict[str, Any], bool | None]:
    """Return facts, selection, and whether the rails are networks apart."""
    facts = host.facts(["rdma", "gpu"])
    found = select(facts, Options(address_range=network, **options))
    return facts, found, own_subnets(chosen(facts, found), Context(address_range=network))


@pytest.mark.parametrize("listed", [False, True], ids=["derived", "listed"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_vlans(tmp_path: Path, case: Case, listed: bool) -> None:
    write, network, indexes, addresses, apart = case
    host = write(Host(tmp_path))
    names = [row["name"] for row in host.facts(["rdma"])["devices"]]
    _facts, found, separate = answers(host, network, include=names if listed else None)
    assert (found["data_devices"], found["problems"], found["warnings"]) == (names, [], [])
    assert [row["gid_index"] for row in found["rails"]] == indexes
    assert [row["addresses"] for row in found["rails"]] == addresses
    assert separate is apart


def test_a_network_of_storage_that_rails_share_does_not_join_them() -> None:
    rows = [
        {
            "addresses": [f"198.51.100.{64 * number + 5}/26", f"192.0.2.{number + 5}/24"], "netdevs": ["ens0", "ens0.9"],
            "gids": [{"index": 3, "type": "v2", "ipv4": f"198.51.100.{64 * number + 5}", "ndev": "ens0"},
                     {"index": 5, "type": "v2", "ipv4": f"192.0.2.{number + 5}", "ndev": "ens0.9"}],
        }
        for number in range(2)
    ]
    ports = [port(layer="Ethernet", netdev="ens0", rocev2_gid_index=3, **row) for row in rows]
    facts = machine([nic("a", ports=ports[:1]), nic("b", ports=ports[1:])])
    for network, apart in ((None, True), (DATA, True), (MANAGEMENT, False)):
        assert own_subnets(chosen(facts, select(facts)), Context(address_range=network)) is apart


@pytest.mark.parametrize("network", ["203.0.113.0/24", DATA6])
def test_a_range_that_no_interface_is_in(tmp_path: Path, network: str) -> None:
    _facts, found, _apart = answers(addressed.vlan_beside_management(Host(tmp_path)), network)
    assert found["data_devices"] == []
    assert found["left_out"] == {f"mlx5_{number}:1": f"no address in {network} (sglang_rdma_address_range)" for number in range(2)}


def test_the_addresses_of_a_port_begin_with_those_of_its_gid(tmp_path: Path) -> None:
    host = addressed.storage_vlan(Host(tmp_path))
    assert host.port("mlx5_0")["addresses"] == ["198.51.100.5/26", "192.0.2.5/25"]
    addressed.addressed(host, {"ens0": [], "ens0.9": ["192.0.2.5/25"]})
    host.file("/sys/class/infiniband/mlx5_0/ports/1/gids/3", ":".join(["0000"] * 8))
    assert host.port("mlx5_0")["addresses"] == ["192.0.2.5/25"]


@pytest.mark.parametrize(("write", "network", "indexes"), [
    (addressed.ipv6, None, [3, 5]), (addressed.ipv6, DATA6, [3, 5]),
    (both, DATA6, [3, 5]), (both, MANAGEMENT, [7, 7]), (both, None, [7, 7]),
])
def test_gids_of_ipv6(tmp_path: Path, write: Write, network: str | None, indexes: list[int]) -> None:
    facts, found, apart = answers(write(Host(tmp_path)), network)
    assert [row["gid_index"] for row in found["rails"]] == indexes
    assert (found["data_devices"], found["problems"], found["warnings"]) == (["mlx5_0", "mlx5_1"], [], [])
    # Without a range only networks of IPv4 are compared.
    assert apart is (None if write is addressed.ipv6 and network is None else True)
    rows = {row["name"]: row for row in derive(facts, found, Context(nodes=2, address_range=network))}
    told = {name: rows[name].get("value") for name in rows if name.startswith(("NCCL_IB_ADDR", "NCCL_IB_GID"))}
    if indexes == [7, 7]:
        assert told == {"NCCL_IB_GID_INDEX": "7"}
    elif network:
        assert told == {"NCCL_IB_ADDR_RANGE": DATA6, "NCCL_IB_ADDR_FAMILY": "AF_INET6"}
    else:
        assert told == {"NCCL_IB_ADDR_RANGE": None}


def test_gids_tell_addresses_where_interfaces_do_not(tmp_path: Path) -> None:
    host = both(Host(tmp_path))
    addressed.addressed(host, {})
    facts = host.facts(["rdma", "gpu"])
    for device in facts["devices"]:
        assert device["ports"][0]["addresses"] == []
    assert select(facts, Options(address_range=DATA6))["gid_indexes"] == {"mlx5_0:1": 3, "mlx5_1:1": 5}
