# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Facts from texts that people post of their machines."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import ibtext, topoxml
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import select

IBSTAT = """
CA 'mlx5_0'
        CA type: MT4129
        Number of ports: 1
        Firmware version: 28.39.1002
        Node GUID: 0x0002c90300001111
        System image GUID: 0x0002c90300001111
        Port 1:
                State: Active
                Physical state: LinkUp
                Rate: 400
                SM lid: 1
                Link layer: InfiniBand
CA 'mlx4_0'
\tCA type: MT4103
\tNumber of ports: 2
\tNode GUID: 0x2c90300002222
\tPort 1:
\t\tState: Down
\t\tPhysical state: Polling
\t\tRate: 10
\t\tLink layer: InfiniBand
\tPort 2:
\t\tState: Initializing
\t\tPhysical state: LinkUp
\t\tRate: 2.5
\t\tLink layer: Ethernet
CA 'scif0'
\tNumber of ports: 0
"""


def test_ibstat() -> None:
    facts = ibtext.ibstat(IBSTAT)
    assert [(device["name"], device["hca_type"], device["node_guid"]) for device in facts["devices"]] == [
        ("mlx5_0", "MT4129", "0002:c903:0000:1111"), ("mlx4_0", "MT4103", "0002:c903:0000:2222"), ("scif0", None, None),
    ]
    fields = ("port", "state", "rate_gbps", "link_layer")
    assert [[tuple(row[name] for name in fields) for row in device["ports"]] for device in facts["devices"]] == [
        [(1, "ACTIVE", 400, "InfiniBand")], [(1, "DOWN", 10, "InfiniBand"), (2, "INIT", 2.5, "Ethernet")], [],
    ]
    found = select(facts)
    assert found["data_ports"] == ["mlx5_0:1"]
    assert set(found["left_out"]) == {"mlx4_0:1", "mlx4_0:2", "scif0"}


@pytest.mark.parametrize(
    ("rate", "expected"), [("200 Gb/sec (2X NDR)", 200), ("2.5 Gb/sec (1X SDR)", 2.5), ("10 Gb/sec (4X)", 10), ("odd", None), ("", None)],
)
def test_ibstatus(rate: str, expected: float | None) -> None:
    text = f"""Infiniband device 'mlx5_0' port 1 status:
        default gid:     fe80:0000:0000:0000:0202:c9ff:fe00:1111
        base lid:        0x0
        state:           4: ACTIVE
        phys state:      5: LinkUp
        rate:            {rate}
        link_layer:      Ethernet

Infiniband device 'mlx5_0' port 2 status:
        state:           1: DOWN
        rate:            40 Gb/sec (4X QDR)
        link_layer:      Ethernet
"""
    (device,) = ibtext.ibstatus(text)["devices"]
    assert device == {"name": "mlx5_0", "ports": [
        {"port": 1, "state": "ACTIVE", "phys_state": "LinkUp", "rate_gbps": expected, "link_layer": "Ethernet"},
        {"port": 2, "state": "DOWN", "rate_gbps": 40, "link_layer": "Ethernet"},
    ]}


WITH_LEGEND = """
\tGPU0\tGPU1\tNIC0\tNIC1\tNIC2\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID
GPU0\t X \tNV18\tPIX\tNODE\tSYS\t0-47\t0\t\tN/A
GPU1\tNV18\t X \tSYS\tSYS\tPXB\t48-95\t1\t\tN/A
NIC0\tPIX\tSYS\t X \tNODE\tSYS
NIC1\tNODE\tSYS\tNODE\t X \tSYS
NIC2\tSYS\tPXB\tSYS\tSYS\t X

Legend:

  X    = Self
  PIX  = Connection traversing at most a single PCIe bridge

NIC Legend:

  NIC0: mlx5_2
  NIC1: mlx5_0
  NIC2: mlx5_bond_0
"""
WITH_NAMES = """
        GPU0     GPU1    mlx5_2  mlx5_0  mlx5_bond_0     CPU Affinity    NUMA Affinity
GPU0     X       NV18    PIX     NODE    SYS     0-47    0
GPU1    NV18      X      SYS     SYS     PXB     48-95   1
"""


UNDERLINED = WITH_LEGEND.replace("\tGPU0\tGPU1", "\t\x1b[4mGPU0\tGPU1").replace("GPU NUMA ID\n", "GPU NUMA ID\x1b[0m\n")


@pytest.mark.parametrize("text", [WITH_LEGEND, WITH_NAMES, UNDERLINED])
def test_matrix(text: str) -> None:
    facts = ibtext.matrix(text)
    assert [device["name"] for device in facts["devices"]] == ["mlx5_2", "mlx5_0", "mlx5_bond_0"]
    assert facts["gpus"] == [
        {"index": 0, "paths": {"mlx5_2": "PIX", "mlx5_0": "NODE", "mlx5_bond_0": "SYS"}, "path": "PIX", "nics": ["mlx5_2"], "tied": []},
        {"index": 1, "paths": {"mlx5_2": "SYS", "mlx5_0": "SYS", "mlx5_bond_0": "PXB"}, "path": "PXB", "nics": ["mlx5_bond_0"], "tied": []},
    ]


@pytest.mark.parametrize("parse", [ibtext.ibstat, ibtext.ibstatus, ibtext.matrix])
@pytest.mark.parametrize("text", ["", "\n\n", "no such thing", "Port 1:\nState: Active", "rate: 5\nstate:", "GPU0 CPU", "GPU0\nGPU0\n"])
def test_other_texts_hold_no_devices(parse: Any, text: str) -> None:
    assert parse(text)["devices"] == []


def bridge(address: str, *inside: str) -> str:
    """Return a bridge with what is below it."""
    return f'<pci busid="{address}" class="0x060400">{"".join(inside)}</pci>'


def gpu(address: str) -> str:
    """Return a GPU."""
    return f'<pci busid="{address}" class="0x030200" vendor="0x10de" device="0x2330"/>'


def net(address: str, name: str, layer: str = "0x020700") -> str:
    """Return a NIC of 200 Gb/s."""
    return f'<pci busid="{address}" class="{layer}" vendor="0x15b3"><nic><net name="{name}" speed="200000" port="1"/></nic></pci>'


def topology(first: str, second: str = "") -> dict[str, Any]:
    """Return the facts of a file with two CPUs."""
    return topoxml.parse(f'<system version="2"><cpu numaid="0">{first}</cpu><cpu numaid="1">{second}</cpu></system>')


@pytest.mark.parametrize(
    ("first", "second", "path"),
    [
        (bridge("0000:10:00.0", gpu("0000:12:00.0"), net("0000:13:00.0", "n")), "", "PIX"),
        (bridge("0000:10:00.0", bridge("0000:11:00.0", gpu("0000:12:00.0")), net("0000:13:00.0", "n")), "", "PXB"),
        (bridge("0000:10:00.0", bridge("0000:11:00.0", gpu("0000:12:00.0")), bridge("0000:14:00.0", net("0000:15:00.0", "n"))), "", "PXB"),
        (bridge("0000:10:00.0", gpu("0000:12:00.0")) + bridge("0000:20:00.0", net("0000:21:00.0", "n")), "", "PHB"),
        (gpu("0000:12:00.0") + net("0000:21:00.0", "n"), "", "PHB"),
        (gpu("0011:00:00.0") + net("0010:00:00.0", "n"), "", "NODE"),
        (gpu("0000:12:00.0"), net("0000:81:00.0", "n"), "SYS"),
        (bridge("ffff:ff:01.0", gpu("0001:00:00.0"), net("0101:00:00.0", "n")), "", "UNKNOWN"),
    ],
)
def test_topology_path(first: str, second: str, path: str) -> None:
    facts = topology(first, second)
    assert [(row["index"], row["path"], row["nics"], row["paths"]) for row in facts["gpus"]] == [(0, path, ["n"], {"n": path})]


def test_topology_devices() -> None:
    nics = net("0000:13:00.0", "ib") + net("0000:14:00.0", "eth", "0x020000")
    facts = topology(bridge("0000:10:00.0", gpu("0000:12:00.0"), gpu("0000:11:00.0"), nics), '<pci busid="0000:99:00.0" class="0x020700"/>')
    assert [(row["name"], row["pci"], row["numa_node"]) for row in facts["devices"]] == [
        ("ib", "0000:13:00.0", 0), ("eth", "0000:14:00.0", 0), ("0000:99:00.0", "0000:99:00.0", 1),
    ]
    assert [row["ports"] for row in facts["devices"]] == [
        [{"port": 1, "state": "ACTIVE", "link_layer": "InfiniBand", "rate_gbps": 200}],
        [{"port": 1, "state": "ACTIVE", "link_layer": "Ethernet", "rate_gbps": 200}], [],
    ]
    assert [row["pci"] for row in facts["gpus"]] == ["0000:11:00.0", "0000:12:00.0"]
    assert facts["gpus"][0]["tied"] == ["ib", "eth"]


@pytest.mark.parametrize(
    "text", ["", "no xml", "<system>", "<system/><system/>", '<!DOCTYPE s [<!ENTITY a "b">]><system>&a;</system>',
             '<!DOCTYPE s [<!ENTITY a SYSTEM "file:///etc/hostname">]><system>&a;</system>'],
)
def test_refused_topology_files(text: str) -> None:
    with pytest.raises(ValueError, match="not a topology file"):
        topoxml.parse(text)


PRESET = [
    {"rdma": "rocep26s0f0", "pci": "0000:1a:00.0", "traffic": "east-west", "numa": 0, "gpu": "GPU0", "proximity": "PIX", "psid": "a"},
    {"rdma": "rocep60s0f0", "pci": "0000:3c:00.0", "traffic": "east-west", "numa": 1, "gpu": "GPU1", "proximity": "PIX", "psid": "a"},
    {"rdma": "rocep61s0f0", "pci": "0000:3d:00.0", "traffic": "north-south", "numa": 1, "gpu": "", "proximity": "NODE", "psid": ""},
    {"rdma": "", "pci": "0000:3d:00.1", "traffic": "north-south", "numa": 1, "gpu": "", "proximity": "NODE", "psid": ""},
]


def test_launch_kit() -> None:
    facts = ibtext.launch_kit(json.dumps(PRESET), {"east-west": 400, "north-south": 200})
    assert [(row["name"], row["board_id"], row["ports"][0]["rate_gbps"]) for row in facts["devices"]] == [
        ("rocep26s0f0", "a", 400), ("rocep60s0f0", "a", 400), ("rocep61s0f0", None, 200),
    ]
    assert [row["paths"] for row in facts["gpus"]] == [
        {"rocep26s0f0": "PIX", "rocep60s0f0": "SYS", "rocep61s0f0": "SYS"},
        {"rocep26s0f0": "SYS", "rocep60s0f0": "PIX", "rocep61s0f0": "NODE"},
    ]


def test_merge() -> None:
    facts = ibtext.merge(ibtext.matrix(WITH_NAMES), ibtext.ibstat(IBSTAT.replace("mlx5_0", "mlx5_2")))
    assert [row["name"] for row in facts["devices"]] == ["mlx5_2", "mlx5_0", "mlx5_bond_0", "mlx4_0", "scif0"]
    assert select(facts)["gpu_map"] == {"0": ["mlx5_2"], "1": ["mlx5_2"]}
