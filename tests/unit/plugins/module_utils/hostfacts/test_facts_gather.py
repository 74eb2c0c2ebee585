# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All facts of a host in one structure: its form, its subsets, and what it costs to read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.gather import SUBSETS, gather
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host, hgx

KEYS = {"present", "netns_mode", "devices", "gpus", "interfaces", "system", "warnings", "errors", "reads"}
DEVICE_KEYS = {
    *("name", "pci", "pci_path", "numa_node", "driver", "vendor", "device", "pci_class", "pci_link", "node_type", "node_guid"),
    *("sys_image_guid", "fw_ver", "hw_rev", "hca_type", "board_id", "is_vf", "is_sf", "pf_pci", "num_vfs", "virtual", "smi", "parent"),
    *("parent_pci", "protocol", "uverbs", "lag", "ports"),
}
PORT_KEYS = {
    *("port", "state", "phys_state", "rate_gbps", "rate_true", "width", "speed", "link_layer", "lid", "sm_lid", "guid", "netdev"),
    *("netdevs", "netdev_mtu", "active_mtu", "addresses", "bond", "gids", "gid_slots", "rocev2_gid", "rocev2_gid_index"),
    *("nccl_auto_gid_index", "traffic_class", "dcb", "traffic", "representor"),
}
GPU_KEYS = {
    *("index", "pci", "pci_path", "vendor", "device", "model", "uuid", "minor", "numa_node", "driver", "pci_link", "is_vf", "partitions"),
    *("path", "nics", "tied", "paths", "shared_with"),
}
SYSTEM_KEYS = {
    *("kernel", "guest", "numa_nodes", "command_line", "nvidia", "amdgpu", "peermem", "dmabuf", "acs", "iommu", "hugepages", "memlock"),
}


def test_form(tmp_path: Path) -> None:
    host = hgx(Host(tmp_path), 2, slots=4)
    host.soft("rxe0", "lo")
    facts = host.facts()
    assert set(facts) == KEYS
    assert {frozenset(row) for row in facts["devices"]} == {frozenset(DEVICE_KEYS)}
    assert {frozenset(port) for row in facts["devices"] for port in row["ports"]} == {frozenset(PORT_KEYS)}
    assert {frozenset(row) for row in facts["gpus"]} == {frozenset(GPU_KEYS)}
    assert set(facts["system"]) == SYSTEM_KEYS
    assert json.loads(json.dumps(facts)) == facts


@pytest.mark.parametrize(
    ("subsets", "filled"),
    [
        (SUBSETS, {"devices", "gpus", "interfaces", "system"}),
        (["rdma"], {"devices"}),
        (["gpu"], {"gpus"}),
        (["net"], {"interfaces"}),
        (["system"], {"system"}),
        (["rdma", "gpu"], {"devices", "gpus"}),
        ([], set()),
    ],
)
def test_subsets(tmp_path: Path, subsets: list[str], filled: set[str]) -> None:
    facts = hgx(Host(tmp_path), 2, slots=4).facts(subsets)
    assert set(facts) == KEYS
    assert {name for name in ("devices", "gpus", "interfaces", "system") if facts[name]} == filled
    nics = [["mlx5_0"], ["mlx5_1"]] if "devices" in filled else [[], []]
    assert [row["nics"] for row in facts["gpus"]] == (nics if "gpus" in filled else [])


def test_an_address_that_is_lost_is_noticed(tmp_path: Path) -> None:
    host = hgx(Host(tmp_path), 2, slots=4)
    assert [port["rocev2_gid_index"] for row in host.facts()["devices"] for port in row["ports"]] == [3, 3]
    base = "/sys/class/infiniband/mlx5_1/ports/1"
    for slot in (2, 3):
        host.file(f"{base}/gids/{slot}", ":".join(["0000"] * 8))
    facts = host.facts()
    assert [port["rocev2_gid_index"] for row in facts["devices"] for port in row["ports"]] == [3, None]
    assert facts["devices"][1]["ports"][0]["rocev2_gid"]["kind"] == "ipv6-link-local"
    assert facts["warnings"] == ["mlx5_1 port 1: ACTIVE, but no RoCE v2 GID of an address on ens1np0; has the address been lost?"]


def test_a_link_that_is_cut_is_noticed(tmp_path: Path) -> None:
    host = hgx(Host(tmp_path), 2, slots=4)
    host.file("/sys/class/infiniband/mlx5_1/ports/1/state", "1: DOWN")
    assert [port["state"] for row in host.facts()["devices"] for port in row["ports"]] == ["ACTIVE", "DOWN"]


def test_empty_slots_cost_one_read_each(tmp_path: Path) -> None:
    small = hgx(Host(tmp_path / "small"), 4, slots=4).facts(["rdma"])["reads"]
    large = hgx(Host(tmp_path / "large"), 4, slots=256).facts(["rdma"])["reads"]
    assert large - small == 4 * 252


def test_this_machine() -> None:
    facts = gather(Root("/"))
    assert set(facts) == KEYS
    assert json.loads(json.dumps(facts)) == facts
    assert "127.0.0.1/8" in facts["interfaces"]["lo"]["addresses"]
    names = Path("/sys/class/infiniband")
    assert sorted(row["name"] for row in facts["devices"]) == (sorted(path.name for path in names.iterdir()) if names.is_dir() else [])


def test_less_without_privileges(plain_user: Path) -> None:
    host = hgx(Host(plain_user / "tree"), 1, slots=4)
    host.file("/sys/class/infiniband/mlx5_0/fw_ver", "1.2.3")
    host.file("/proc/cmdline", "numa=off")
    for path in ("sys/class/infiniband/mlx5_0/fw_ver", "proc/cmdline", "sys/class/net/ens0np0/mtu"):
        (plain_user / "tree" / path).chmod(0)
    facts = host.facts()
    (device,) = facts["devices"]
    assert (device["fw_ver"], device["ports"][0]["netdev_mtu"], device["ports"][0]["active_mtu"]) == (None, None, None)
    assert facts["system"]["command_line"]["known"] is False
    function = "/sys/devices/pci0000:10/0000:10:01.0/0000:11:00.0/0000:12:01.0/0000:14:00.0"
    assert facts["errors"] == {
        "/proc/cmdline": "EACCES",
        "/sys/class/net/ens0np0/mtu": "EACCES",
        f"{function}/infiniband/mlx5_0/fw_ver": "EACCES",
    }
    assert facts["gpus"][0]["nics"] == ["mlx5_0"]


def test_a_captured_tree_is_not_mixed_with_this_machine(tmp_path: Path) -> None:
    facts = gather(Root(str(tmp_path)), use_netlink=True)
    assert (facts["interfaces"], facts["netns_mode"], facts["errors"], facts["system"]["kernel"]) == ({}, None, {}, None)
