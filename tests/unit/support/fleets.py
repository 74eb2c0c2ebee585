# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twelve hosts of eight GPUs and eight rails as trees of files, one of them different, and the plan that they belong to.

    facts = machine(tmp_path, 1)
    other = machine(tmp_path, 2, mtu={3: 1500})

Rail i is network i of eight in 203.0.113.0/24, and host n has its address n there.
"""

from __future__ import annotations

import ipaddress
import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.selection import Options, select
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

RAILS = 8
NETS = list(ipaddress.IPv4Network("203.0.113.0/24").subnets(new_prefix=27))
NAMES = [f"{pool}{number}" for pool in "pd" for number in range(6)]
PROPRIETARY = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  {}  Tue Jan 1 00:00:00 UTC 2026"
OPEN = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  {}  Release Build"


def route_table(rows: Mapping[str, ipaddress.IPv4Network]) -> str:
    def word(value: int) -> str:
        return f"{struct.unpack('<I', struct.pack('>I', value))[0]:08X}"

    lines = [f"{name} {word(int(net.network_address))} 00000000 1 0 0 0 {word(int(net.netmask))}" for name, net in rows.items()]
    return "\n".join(["Iface Destination Gateway Flags RefCnt Use Metric Mask", *lines])


def machine(
    place: Path,
    number: int,
    *,
    gpus: int = RAILS,
    rails: int = RAILS,
    mtu: Mapping[int, int] | None = None,
    state: Mapping[int, str] | None = None,
    gbps: Mapping[int, float] | None = None,
    layer: Mapping[int, str] | None = None,
    firmware: Mapping[int, str] | None = None,
    board: Mapping[int, str] | None = None,
    address: Mapping[int, str] | None = None,
    gid: int = 3,
    first_gid: str = "",
    order: Sequence[int] = (),
    numa: bool = True,
    kernel: str = "6.8.0-45-generic",
    driver: str = "570.86.15",
    is_open: bool = True,
    model: str = "NVIDIA H100 80GB HBM3",
    names: str = "ens{}np0",
    options: Options | None = None,
) -> dict[str, Any]:
    """Return the facts of a host, with its selection, as rdma_facts returns them.

    :param number: of the host, from 1; its last part of every address.
    :param gid: index of the RoCE v2 GID.
    :param first_gid: IPv4 address of a RoCE v2 GID of a VLAN, at index 1.
    :param order: network by rail, where it is not the rail's own.
    :param numa: whether devices and GPUs say on which NUMA node they are.
    """
    host = Host(place / f"host{number}-{len(list(place.iterdir())) if place.is_dir() else 0}")
    routes, own = {}, []
    for rail in range(max(gpus, rails)):
        node, bus = (int(rail >= RAILS / 2) if numa else None), 0x10 + 0x10 * rail
        switch = f"{bus:02x}:01.0 {bus + 1:02x}:00.0"
        if rail < gpus:
            host.gpu(f"{switch} {bus + 2:02x}:00.0 {bus + 3:02x}:00.0", node)
            information = f"Model: \t\t {model}\nGPU UUID: \t GPU-{number}-{rail}"
            host.file(f"/proc/driver/nvidia/gpus/0000:{bus + 3:02x}:00.0/information", information)
        if rail >= rails:
            continue
        net = NETS[order[rail] if order else rail]
        text, netdev = (address or {}).get(rail, str(net[number])), names.format(rail)
        table = {0: f"v1 fe80::{rail + 1} {netdev}", gid: f"v2 {text} {netdev}"} if text else {0: f"v1 fe80::{rail + 1} {netdev}"}
        if first_gid:
            table[1] = f"v2 {first_gid} {netdev}.7"
        card = {"fw_ver": (firmware or {}).get(rail, "28.39.1002"), "board_id": (board or {}).get(rail, "MT_0838")}
        host.nic(
            f"mlx5_{rail}", f"{switch} {bus + 2:02x}:01.0 {bus + 4:02x}:00.0", node, netdev, mtu=(mtu or {}).get(rail, 9000),
            attributes=card, state=(state or {}).get(rail, "ACTIVE"), gbps=(gbps or {}).get(rail, 400),
            layer=(layer or {}).get(rail, "Ethernet"), gids=table,
        )
        if text:
            routes[netdev], own = net, [*own, text]
    host.file("/proc/net/route", route_table(routes))
    host.file("/proc/net/fib_trie", "\n".join(f"|-- {text}\n/32 host LOCAL" for text in own))
    host.file("/proc/driver/nvidia/version", (OPEN if is_open else PROPRIETARY).format(driver))
    host.file("/sys/module/nvidia/version", driver)
    host.file("/proc/sys/kernel/osrelease", kernel)
    for node in (0, 1) if numa else (0,):
        host.file(f"/sys/devices/system/node/node{node}/cpulist", "0-1")
    facts = host.facts()
    facts["selection"] = select(facts, options)
    # As they come over the connection.
    return json.loads(json.dumps(facts))


def plan(
    instances: Mapping[str, Sequence[str]] | None = None, environment: Mapping[str, Mapping[str, str]] | None = None, router: str = "r0",
    *, device: str = "cuda", cluster: str = "east",
) -> dict[str, Any]:
    """Return the parts of a plan that a comparison reads: three instances of two hosts in each of two pools, unless told otherwise.

    :param instances: name to hosts; the name's part before the dash is the pool.
    :param environment: of the ranks, by host.
    """
    given = instances or {
        f"{pool}-{index}": NAMES[place + 2 * index : place + 2 * index + 2]
        for pool, place in (("prefill", 0), ("decode", 6)) for index in range(3)
    }
    rows = [
        {
            "name": name, "cluster": cluster, "pool": name.partition("-")[0], "mode": name.partition("-")[0],
            "ranks": [{"host": host, "environment": dict((environment or {}).get(host, {})), "device": device} for host in hosts],
        }
        for name, hosts in given.items()
    ]
    names = [*dict.fromkeys(host for hosts in given.values() for host in hosts), *([router] if router else [])]
    return {
        "clusters": [{"name": cluster}],
        "instances": rows,
        "routers": [{"host": router, "cluster": cluster}] if router else [],
        "hosts": {name: {"name": name, "cluster": cluster} for name in names},
    }
