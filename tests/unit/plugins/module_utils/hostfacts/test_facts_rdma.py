# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""RDMA devices and ports: every shape of sysfs that machines in the field have shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import net, ports, rdma
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

WAY = "17:01.0 18:00.0"
SUBFUNCTION = "/sys/devices/pci0000:17/0000:17:01.0/0000:18:00.0/mlx5_core.sf.4/infiniband/mlx5_3"


@pytest.fixture(name="host")
def make_host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("400 Gb/sec (4X NDR)", (400.0, 4, "NDR")),
        ("200 Gb/sec (2X NDR)", (200.0, 2, "NDR")),
        ("2.5 Gb/sec (1X SDR)", (2.5, 1, "SDR")),
        ("10 Gb/sec (4X)", (10.0, 4, None)),
        ("100 Gb/sec", (100.0, None, None)),
        ("800 Gb/sec (4X XDR)", (800.0, 4, "XDR")),
        ("14 Gb/sec (1X FDR10)", (14.0, 1, "FDR10")),
        ("", (None, None, None)),
        (None, (None, None, None)),
        ("Gb/sec", (None, None, None)),
        ("9999999999 Gb/sec (4X NDR)", (None, None, None)),
        ("nan Gb/sec", (None, None, None)),
    ],
)
def test_rate(text: str | None, wanted: tuple[Any, ...]) -> None:
    assert rdma.rate(text) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("4: ACTIVE", "ACTIVE"), ("1: CA", "CA"), ("ACTIVE", "ACTIVE"), ("4:ACTIVE", "ACTIVE"), ("", None), (None, None), ("4:", None)],
)
def test_named_values(text: str | None, wanted: str | None) -> None:
    assert rdma.named(text) == wanted


# How a device is written, and what its facts must then say; names after a dot are the port's.
Case = tuple[Callable[[Host], Any], dict[str, Any]]
CASES: dict[str, Case] = {
    "ConnectX-7": (
        lambda host: host.nic("mlx5_0", WAY, 1, "ens1", attributes={"hw_rev": "0", "sys_image_guid": "a088:c203:00e3:142a"}),
        {
            "pci": "0000:18:00.0", "pci_path": ["pci0000:17", "0000:17:01.0", "0000:18:00.0"], "numa_node": 1, "driver": "mlx5_core",
            "vendor": "0x15b3", "device": "0x1021", "pci_class": "0x020000", "node_type": "CA", "node_guid": "a088:c203:00e3:142a",
            "sys_image_guid": "a088:c203:00e3:142a", "fw_ver": "28.39.1002", "hca_type": "MT4129", "board_id": "MT_0838", "hw_rev": "0",
            "is_vf": False, "virtual": False, "smi": False, "lag": None, "uverbs": None,
            ".state": "ACTIVE", ".phys_state": "LinkUp", ".rate_gbps": 400.0, ".width": 4, ".speed": "NDR", ".rate_true": True,
            ".link_layer": "Ethernet", ".netdev": "ens1", ".netdev_mtu": 9000, ".active_mtu": 4096, ".lid": 0,
        },
    ),
    "soft-RoCE": (
        lambda host: (host.netdev("ens4", "04:00.0", mtu=1500), host.soft("mlx5_0", "ens4")),
        {
            "pci": None, "parent": "ens4", "parent_pci": "0000:04:00.0", "numa_node": None, "virtual": True, "fw_ver": None,
            "hca_type": None, "board_id": None, ".rate_gbps": 2.5, ".rate_true": False, ".netdev": "ens4", ".active_mtu": 1024,
        },
    ),
    "soft-RoCE of a kernel up to 5.10": (
        # Linux 5.10 drivers/infiniband/sw/rxe/rxe_verbs.c: dev->dev.parent = rxe_dma_device(rxe)
        lambda host: (host.netdev("ens4", WAY, mtu=1500), host.soft("rxe0", "ens4", WAY)),
        {
            "pci": None, "driver": None, "vendor": None, "pci_link": None, "is_vf": False, "virtual": True, "parent": "ens4",
            "parent_pci": "0000:18:00.0", "pci_path": ["pci0000:17", "0000:17:01.0", "0000:18:00.0"],
            ".rate_gbps": 2.5, ".rate_true": False, ".netdev": "ens4",
        },
    ),
    "soft-RoCE of such a kernel on a VLAN": (
        lambda host: (host.netdev("ens4", WAY), host.netdev("ens4.7"), host.soft("rxe0", "ens4.7", WAY)),
        {"pci": None, "virtual": True, "parent_pci": "0000:18:00.0", ".netdev": "ens4.7"},
    ),
    "Ethernet port that is down shows 40 Gb/s": (
        lambda host: host.nic("mlx5_0", WAY, state="DOWN", gbps=40),
        {".state": "DOWN", ".rate_gbps": 40.0, ".rate_true": False},
    ),
    "InfiniBand port that is down shows 10 Gb/s": (
        lambda host: host.nic("mlx5_0", WAY, state="DOWN", gbps=10, layer="InfiniBand"),
        {".state": "DOWN", ".rate_gbps": 10.0, ".rate_true": False},
    ),
    "odd physical state": (
        lambda host: host.nic("mlx5_0", physical="4: ACTIVE", layer="InfiniBand"),
        {".state": "ACTIVE", ".phys_state": "ACTIVE", ".rate_true": True},
    ),
    "blank lines in link_layer": (
        lambda host: host.nic("mlx5_0", layer="InfiniBand\n\n"),
        {".link_layer": "InfiniBand"},
    ),
    "virtual function": (
        lambda host: (host.nic("mlx5_0", WAY, pci={"sriov_numvfs": 2}), host.nic("mlx5_2", "17:01.0 18:00.2", virtual_of=WAY)),
        {"name": "mlx5_2", "is_vf": True, "pf_pci": "0000:18:00.0", "num_vfs": None},
    ),
    "physical function with virtual ones": (
        lambda host: host.nic("mlx5_0", WAY, pci={"sriov_numvfs": 2}),
        {"is_vf": False, "pf_pci": None, "num_vfs": 2},
    ),
    "sub-function": (
        lambda host: (
            host.pci(WAY, vendor="0x15b3"),
            host.files(SUBFUNCTION + "/ports/1", {"state": "4: ACTIVE"}),
            host.link("/sys/class/infiniband/mlx5_3", SUBFUNCTION),
        ),
        {"name": "mlx5_3", "is_sf": True, "pci": "0000:18:00.0", "is_vf": False},
    ),
    "management device of a card with planes": (
        lambda host: host.nic("smi1", WAY, layer="InfiniBand"),
        {"name": "smi1", "smi": True},
    ),
    "a device that is named like one, but is none": (lambda host: host.nic("smiley0", WAY), {"name": "smiley0", "smi": False}),
    "EFA": (
        lambda host: host.nic(
            "rdmap16s27", WAY, driver="efa", layer="Unspecified", gbps=100, gids={0: "IB fe80::1 -"},
            attributes={"node_type": "1: unspecified", "hca_type": None, "board_id": None}, pci={"vendor": "0x1d0f", "device": "0xefa1"},
        ),
        {"driver": "efa", "node_type": "unspecified", ".link_layer": "Unspecified", ".rocev2_gid_index": None, ".active_mtu": None},
    ),
    "class entry without ports": (
        lambda host: host.files("/sys/class/infiniband/scif0", {"node_type": "1: CA", "node_guid": "4c79:baff:fe30:0ede"}),
        {"name": "scif0", "ports": [], "pci": None},
    ),
    "empty class entry": (
        lambda host: (host.root / "sys/class/infiniband/x0").mkdir(parents=True),
        {"name": "x0", "ports": [], "node_type": None},
    ),
    "no firmware, type and board": (
        lambda host: host.nic("ionic_0", WAY, driver="ionic", attributes={"fw_ver": "", "hca_type": None, "board_id": None}),
        {"fw_ver": None, "hca_type": None, "board_id": None, "driver": "ionic"},
    ),
    "domain with a letter": (
        lambda host: host.nic("roceP2p1s0f0", "0002:00:00.0 0002:01:00.0"),
        {"name": "roceP2p1s0f0", "pci": "0002:01:00.0", "pci_path": ["pci0002:00", "0002:00:00.0", "0002:01:00.0"]},
    ),
    "device of another network namespace": (
        lambda host: host.nic("mlx5_0", WAY),
        {".netdev": None, ".netdevs": [], ".netdev_mtu": None, ".active_mtu": None, ".rocev2_gid_index": None},
    ),
    "network device known by the GIDs only": (
        lambda host: (host.netdev("bond0", mtu=4200), host.nic("mlx5_0", gids={0: "v2 192.0.2.1 bond0", 1: "v2 198.51.100.1 bond0.7"})),
        {".netdev": "bond0", ".netdevs": ["bond0", "bond0.7"], ".active_mtu": 4096},
    ),
    "no state": (lambda host: host.nic("mlx5_0", state=""), {".state": None, ".rate_true": False}),
    "node type of a switch": (lambda host: host.nic("mlx5_0", attributes={"node_type": "2: switch"}), {"node_type": "switch"}),
    "iWARP": (lambda host: host.nic("siw0", attributes={"node_type": "4: RNIC"}), {"name": "siw0", "node_type": "RNIC"}),
    "GUIDs of no meaning": (lambda host: host.nic("mlx5_0", attributes={"node_guid": None}), {"node_guid": None}),
}


@pytest.mark.parametrize(("write", "wanted"), CASES.values(), ids=CASES)
def test_shapes(host: Host, write: Callable[[Host], Any], wanted: dict[str, Any]) -> None:
    write(host)
    facts = host.facts(["rdma"])
    (device,) = [row for row in facts["devices"] if row["name"] == wanted.get("name", row["name"])]
    found = {name: device["ports"][0][name[1:]] if name.startswith(".") else device[name] for name in wanted}
    assert found == wanted
    assert facts["errors"] == {}


def test_no_rdma_at_all(host: Host) -> None:
    facts = host.facts()
    assert (facts["present"], facts["devices"], facts["gpus"], facts["errors"], facts["warnings"]) == (False, [], [], {}, [])


@pytest.mark.parametrize(
    ("write", "present"),
    [
        (lambda host: host.nic("mlx5_0", state="DOWN"), True),
        (lambda host: host.files("/sys/class/infiniband/scif0", {"node_type": "1: CA"}), False),
    ],
    ids=["down", "without ports"],
)
def test_present(host: Host, write: Callable[[Host], Any], present: bool) -> None:
    write(host)
    assert host.facts(["rdma"])["present"] == present


def test_natural_order_of_devices(host: Host) -> None:
    for index in (10, 2, 0, 1):
        host.nic(f"mlx5_{index}")
    assert [row["name"] for row in host.facts(["rdma"])["devices"]] == ["mlx5_0", "mlx5_1", "mlx5_2", "mlx5_10"]


def test_two_ports_of_one_function_have_each_their_network_device(host: Host) -> None:
    path = host.nic("mlx4_0", WAY, netdev="ens1", driver="mlx4_core")
    host.port_files(path, 2, state="DOWN", gbps=10)
    host.netdev("ens1d1", WAY, dev_port=1, mtu=1500)
    ports = [(row["port"], row["state"], row["netdev"], row["netdev_mtu"]) for row in host.device("mlx4_0")["ports"]]
    assert ports == [(1, "ACTIVE", "ens1", 9000), (2, "DOWN", "ens1d1", 1500)]


def test_representors_are_not_the_port(host: Host) -> None:
    host.netdev("enp24s0f0_0", WAY, phys_port_name="pf0vf0")
    host.netdev("enp24s0f0_1", WAY, phys_port_name="c1pf0sf88")
    host.nic("mlx5_0", WAY, netdev="ens1np0")
    host.file("/sys/class/net/ens1np0/phys_port_name", "p0")
    assert host.port("mlx5_0")["netdev"] == "ens1np0"
    interfaces = host.facts(["net"])["interfaces"]
    assert {name for name, row in interfaces.items() if row["representor"]} == {"enp24s0f0_0", "enp24s0f0_1"}


# Network devices of the two physical functions, those with an RDMA device, the slaves of bond0, and the device's bond, if it is one.
LAGS = {
    "RoCE LAG, network device is the first slave": (["mlx5_bond_0"], "ens1", "bond0"),
    "RoCE LAG, network device is the bond": (["mlx5_bond_0"], "bond0", "bond0"),
    "each slave has its own RDMA device": (["mlx5_0", "mlx5_1"], "ens1", None),
}


@pytest.mark.parametrize(("names", "gid_netdev", "lag"), LAGS.values(), ids=LAGS)
def test_bonds(host: Host, names: list[str], gid_netdev: str, lag: str | None) -> None:
    for place in range(2):
        way = f"17:01.0 18:00.{place}"
        if place < len(names):
            gids = {0: f"v2 fe80::1 {gid_netdev if place == 0 else 'ens2'}", 3: "v2 192.0.2.1 bond0"}
            host.nic(names[place], way, netdev=f"ens{place + 1}", speed="200 Gb/sec (2X NDR)", gids=gids)
        else:
            host.netdev(f"ens{place + 1}", way)
    host.bond("bond0", ["ens1", "ens2"])
    device = host.device(names[0])
    (port,) = device["ports"]
    bond = {"bond": "bond0", "mode": "802.3ad", "slaves": ["ens1", "ens2"], "active_slave": None}
    assert device["lag"] == (bond if lag else None)
    assert port["bond"] == bond
    # The slaves have no addresses, so the bond's GID is the port's own.
    assert (port["netdev"], port["rocev2_gid_index"]) == (gid_netdev, 3)
    assert (port["rate_gbps"], port["width"]) == (200.0, 2)


# Network devices of the bond with the ways to their functions, None for a virtual one; whether the card itself has bonded them.
BONDED = {
    "both ports of the card": ({"ens1": WAY, "ens2": "17:01.0 18:00.1"}, True),
    "one port of it": ({"ens1": WAY}, True),
    "a port and a plain NIC": ({"ens1": WAY, "eno1": "00:1c.0 01:00.0"}, False),
    "both ports and a plain NIC": ({"ens1": WAY, "ens2": "17:01.0 18:00.1", "eno1": "00:1c.0 01:00.0"}, False),
    "a port and a tunnel": ({"ens1": WAY, "tap0": None}, False),
}


@pytest.mark.parametrize("on", ["ens1", "bond0"])
@pytest.mark.parametrize(("slaves", "lag"), BONDED.values(), ids=BONDED)
def test_only_a_cards_own_ports_are_legs_of_its_device(host: Host, slaves: dict[str, str | None], lag: bool, on: str) -> None:
    host.nic("mlx5_0", WAY, netdev="ens1", gids={0: f"v2 fe80::1 {on}", 3: "v2 192.0.2.1 bond0"})
    for name, way in slaves.items():
        host.netdev(name, way)
    host.bond("bond0", list(slaves))
    facts = host.facts(["rdma"])
    (device,) = facts["devices"]
    (port,) = ports.flatten(facts)
    assert (device["lag"] is not None, port.legs, port.bandwidth) == (lag, len(slaves) if lag else 1, 400.0 * (len(slaves) if lag else 1))
    assert device["ports"][0]["bond"]["slaves"] == list(slaves)


def test_a_virtual_function_in_a_bond_is_no_lag_device(host: Host) -> None:
    host.nic("mlx5_2", "17:01.0 18:00.2", netdev="ens1v0", virtual_of=WAY)
    host.bond("bond0", ["ens1v0"])
    device = host.device("mlx5_2")
    assert device["lag"] is None
    assert device["ports"][0]["bond"]["bond"] == "bond0"


def test_a_slave_lists_the_gids_of_the_bond_and_its_own(host: Host) -> None:
    host.netdev("ens4", "04:00.0")
    host.netdev("ens5", "05:00.0")
    host.bond("bond0", ["ens4"], mode="active-backup 1")
    host.soft("mlx5_0", "ens4", gids={0: "v2 fe80::1 bond0", 1: "v2 192.0.2.1 bond0", 2: "v2 198.51.100.9 ens4"})
    port = host.port("mlx5_0")
    assert (port["netdev"], port["netdevs"], port["rocev2_gid_index"]) == ("ens4", ["ens4", "bond0"], 2)


def test_a_soft_device_on_a_bond(host: Host) -> None:
    host.netdev("ens4", "04:00.0")
    host.bond("bond0", ["ens4"], mode="active-backup 1", mtu=1500)
    host.soft("mlx5_bond_0", "bond0", gids={0: "v2 fe80::1 bond0", 1: "v2 192.0.2.1 bond0"})
    device = host.device("mlx5_bond_0")
    assert device["lag"] == {"bond": "bond0", "mode": "active-backup", "slaves": ["ens4"], "active_slave": None}
    assert device["ports"][0]["rocev2_gid_index"] == 1


def test_a_soft_device_of_an_old_kernel_does_not_stand_for_its_card(host: Host) -> None:
    host.nic("mlx5_0", WAY, netdev="ens1", state="DOWN", gbps=40)
    host.soft("rxe0", "ens1", WAY)
    found = select(host.facts(["rdma", "gpu"]))
    assert found["data_devices"] == []
    assert found["left_out"] == {"mlx5_0:1": "DOWN, not ACTIVE", "rxe0:1": "soft device, and the host has hardware"}


def test_user_space_nodes(host: Host) -> None:
    host.nic("mlx5_0")
    host.nic("mlx5_1")
    host.files("/sys/class/infiniband_verbs", {"uverbs0/ibdev": "mlx5_1", "uverbs1/ibdev": "mlx5_0", "abi_version": "6"})
    host.file("/dev/infiniband/uverbs0", "")
    devices = {row["name"]: row["uverbs"] for row in host.facts(["rdma"])["devices"]}
    assert devices == {"mlx5_0": {"name": "uverbs1", "node": False}, "mlx5_1": {"name": "uverbs0", "node": True}}


def test_what_the_kernel_says_wins(host: Host) -> None:
    host.netdev("ens1", mtu=9000)
    host.netdev("ens2", "17:01.0 18:00.0", mtu=1500)
    host.nic("mlx5_0", gids={0: "v2 fe80::1 ens1"})
    host.nic("mlx5_1", layer="InfiniBand")
    root = Root(str(host.root))
    kernel = {
        "mlx5_0": {"protocol": "roce", "smi": False, "ports": {1: "ens2"}},
        "mlx5_1": {"protocol": "ib", "smi": True, "ports": {1: None}},
    }
    one, other = rdma.devices(root, net.Interfaces(root), kernel, lambda names: {name: {"pfc": [3]} for name in names})
    assert (one["protocol"], one["ports"][0]["netdev"], one["ports"][0]["netdevs"]) == ("roce", "ens2", ["ens2", "ens1"])
    assert (one["ports"][0]["active_mtu"], one["ports"][0]["dcb"], one["ports"][0]["traffic"]["pfc"]) == (1024, {"pfc": [3]}, [3])
    assert (other["smi"], other["protocol"]) == (True, "ib")


def test_traffic_as_nvidias_drivers_show_it(host: Host) -> None:
    path = host.nic("mlx5_0", WAY, netdev="ens1")
    host.file(f"{path}/tc/1/traffic_class", "Global tclass=106")
    base = "/sys/devices/pci0000:17/0000:17:01.0/0000:18:00.0/net/ens1"
    host.files(base, {"qos/trust": "dscp", "qos/pfc": "0 0 0 1 0 0 0 0"})
    for kind, on in (("np", (3,)), ("rp", (3, 5))):
        host.files(base, {f"ecn/roce_{kind}/enable/{priority}": int(priority in on) for priority in range(8)})
    port = host.port("mlx5_0")
    assert port["traffic_class"] == 106
    assert port["traffic"] == {"trust": "dscp", "pfc": [3], "ecn_np": [3], "ecn_rp": [3, 5]}


def test_traffic_where_no_driver_shows_it(host: Host) -> None:
    host.nic("mlx5_0", WAY, netdev="ens1")
    port = host.port("mlx5_0")
    assert (port["traffic_class"], port["dcb"]) == (None, None)
    assert port["traffic"] == {"trust": None, "pfc": None, "ecn_np": None, "ecn_rp": None}


@pytest.mark.parametrize("text", ["", "1 0", "on", "1 1 1 1 1 1 1 1 1"])
def test_pfc_that_is_none(host: Host, text: str) -> None:
    host.nic("mlx5_0", WAY, netdev="ens1")
    host.file("/sys/class/net/ens1/qos/pfc", text)
    assert host.port("mlx5_0")["traffic"]["pfc"] is None


@pytest.mark.parametrize(
    ("gids", "text"),
    [
        ({0: "v2 fe80::1 ens1"}, "no RoCE v2 GID of an address on ens1"),
        (
            {0: "v2 fe80::1 ens1", 1: "v2 169.254.3.3 ens1", 2: "v2 192.0.2.1 ens1"},
            "NCCL by itself would take GID index 1, the one of ens1 is 2",
        ),
        ({}, "its network device is not known here"),
    ],
)
def test_warnings(host: Host, gids: dict[int, str], text: str) -> None:
    host.nic("mlx5_0", gids=gids)
    (warning,) = host.facts(["rdma"])["warnings"]
    assert warning.startswith("mlx5_0 port 1: ")
    assert text in warning


def test_no_warning_for_what_is_down_or_right(host: Host) -> None:
    host.nic("mlx5_0", state="DOWN")
    host.nic("mlx5_1", gids={3: "v2 192.0.2.1 ens1"})
    host.nic("mlx5_2", layer="InfiniBand")
    host.nic("siw0", attributes={"node_type": "4: RNIC"}, gids={0: "v1 fe80::1 ens1"})
    assert host.facts(["rdma"])["warnings"] == []
