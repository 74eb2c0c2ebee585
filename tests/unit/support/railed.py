# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twelve hosts of eight GPUs and eight rails as trees of files, with NetworkManager's profiles, and the inventory that they belong to.

Hosts of prefill and decode call the NIC of the same slot otherwise, as two deliveries of servers do. The management port is no rail.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import parameters, planned
from ansible_collections.railyard.sglang.tests.unit.support.fleets import NAMES, NETS, OPEN, RAILS, route_table
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

FORMER = {"p": "enp{bus}s0f1np1", "d": "ens{slot}np0"}
MANAGEMENT = "eno1"
PROFILE = """# rail {rail}, written by hand
[connection]
id={name}
uuid=00000000-0000-4000-8000-{host:04d}0000{rail:04d}
type=ethernet
interface-name={name}

[ethernet]
mtu=9000

[ipv4]
method=manual
address1={address}/27
"""
DISPATCHER = """#!/bin/sh
[ "$1" = {name} ] && ip route add 203.0.113.0/24 dev {name} table 100
"""


def bus(rail: int) -> int:
    """Return the number of the PCI bus on which a rail's NIC is."""
    return 0x14 + 0x10 * rail


def former(host: str, rail: int) -> str:
    """Return the name that the NIC of a rail has from the start."""
    return FORMER[host[0]].format(bus=bus(rail), slot=100 + rail)


def pci(rail: int) -> str:
    """Return the PCI address of a rail's NIC."""
    return f"0000:{bus(rail):02x}:00.0"


def mac(host: str, rail: int) -> str:
    """Return the permanent address of a rail's NIC."""
    return f"02:{NAMES.index(host) + 1:02x}:00:00:00:{rail:02x}"


@dataclass(frozen=True)
class Odd:
    """Rails of a host that are not as the others.

    :ivar missing: without a NIC.
    :ivar down: their port is not ACTIVE.
    :ivar bare: their interface has neither an address nor a profile.
    :ivar macs: rail to the permanent address of a card that has come since.
    """

    missing: Sequence[int] = ()
    down: Sequence[int] = ()
    bare: Sequence[int] = ()
    macs: Mapping[int, str] = field(default_factory=dict)


FINE = Odd()


def _rail(tree: Host, host: str, rail: int, name: str, state: Odd) -> None:
    node, number, above = int(rail >= RAILS / 2), NAMES.index(host) + 1, bus(rail) - 4
    switch = f"{above:02x}:01.0 {above + 1:02x}:00.0"
    tree.gpu(f"{switch} {above + 2:02x}:00.0 {above + 3:02x}:00.0", node)
    information = f"Model: \t\t NVIDIA H100 80GB HBM3\nGPU UUID: \t GPU-{number}-{rail}"
    tree.file(f"/proc/driver/nvidia/gpus/0000:{above + 3:02x}:00.0/information", information)
    if rail in state.missing:
        return
    address = NETS[rail][number]
    gids = {0: f"v1 fe80::{rail + 1} {name}"} | ({} if rail in state.bare else {3: f"v2 {address} {name}"})
    port = {"state": "DOWN" if rail in state.down else "ACTIVE", "gids": gids}
    tree.nic(f"mlx5_{rail}", f"{switch} {above + 2:02x}:01.0 {pci(rail)[5:]}", node, name, **port)
    base = f"/sys/class/net/{name}"
    own = state.macs.get(rail, mac(host, rail))
    for key, value in {"address": own, "ifindex": str(rail + 3), "phys_port_name": "p1", "type": "1"}.items():
        tree.file(f"{base}/{key}", value)
    if rail in state.bare:
        return  # It has been given to another name.
    profile = PROFILE.format(rail=rail, name=name, host=number, address=address)
    path = f"/etc/NetworkManager/system-connections/{name}.nmconnection"
    tree.file(path, profile.rstrip("\n"))
    (tree.root / path[1:]).chmod(0o600)


def write(place: Path, host: str, names: Mapping[int, str] | None = None, odd: Odd = FINE) -> Path:
    """Write the tree of a host; return its root.

    :param names: of rails that have other names by now.
    """
    tree, number = Host(place / host), NAMES.index(host) + 1
    own = {rail: (names or {}).get(rail, former(host, rail)) for rail in range(RAILS)}
    for rail, name in own.items():
        _rail(tree, host, rail, name, odd)
    tree.netdev(MANAGEMENT, "01:00.0", address=f"02:{number:02x}:00:00:00:ff", ifindex="2", type="1")
    reached = [rail for rail in range(RAILS) if rail not in (*odd.missing, *odd.bare)]
    table = {own[rail]: NETS[rail] for rail in reached}
    gateway = f"{MANAGEMENT} 00000000 {16 * number:02X}6433C6 3 0 0 0 00000000"
    tree.file("/proc/net/route", route_table(table) + "\n" + gateway)
    tree.file("/proc/net/fib_trie", "\n".join(f"|-- {NETS[rail][number]}\n/32 host LOCAL" for rail in reached))
    tree.file("/proc/driver/nvidia/version", OPEN.format("570.86.15"))
    tree.file("/sys/module/nvidia/version", "570.86.15")
    tree.file("/sys/module/nvidia_peermem/refcnt", "0")
    tree.file("/proc/sys/kernel/osrelease", "5.14.0-503.el9.x86_64")
    tree.file("/etc/os-release", 'ID="rhel"\nVERSION_ID="9.5"\nPLATFORM_ID="platform:el9"')
    tree.file("/etc/NetworkManager/dispatcher.d/50-rails", DISPATCHER.format(name=own[0]))
    return tree.root


def inventory(place: Path, hosts: Sequence[str] = tuple(NAMES), **variables: Any) -> Path:
    """Write an inventory of hosts whose trees are below a directory; return its path.

    :param hosts: of pools prefill (p...) and decode (d...), two to an instance.
    :param variables: of all hosts.
    """
    pool = {"nodes_per_instance": 2, "tp": 16}
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "sglang_become": False,
        "network_root": f"{place}/{{{{ inventory_hostname }}}}",
        "sglang_cluster": "east",
        "sglang_stack": "sglang-0.5.8-cu12",
        "sglang_router_stack": "sglang-router-0.3.2",
        "sglang_model": {"path": "/opt/models/DeepSeek-R1", "name": "deepseek-r1", "config": "deepseek-r1"},
        "sglang_fabric_network": "203.0.113.0/24",
        "sglang_args": {"mem-fraction-static": 0.8, "trust-remote-code": True, "context-length": 8192},
        "sglang_gpu": {"count": 8, "memory_gib": 80, "arch": "sm90"},
        "sglang_pools": {"prefill": {**pool, "port": 30000}, "decode": {**pool, "port": 30001}},
        **variables,
    }
    rows = {
        host: {
            "sglang_fabric_address": str(NETS[0][NAMES.index(host) + 1]),
            "sglang_management_address": f"198.51.100.{NAMES.index(host) + 1}",
        }
        for host in hosts
    }
    groups = {
        "prefill": {"hosts": {host: row for host, row in rows.items() if host[0] == "p"}},
        "decode": {"hosts": {host: row for host, row in rows.items() if host[0] == "d"}},
        "router": {"hosts": {"r0": {"sglang_management_address": "198.51.100.200", "ansible_host": "198.51.100.200"}}},
    }
    path = place / "hosts.yml"
    path.write_text(yaml.safe_dump({"all": {"vars": common, "children": groups}}, sort_keys=False), encoding="utf-8")
    return path


def done(place: Path, host: str, odd: Odd = FINE) -> None:
    """Write the tree of a host anew as it is once the network stage has been there: files as nic_names would write them.

    :param odd: what has happened since. A card that has come since has the name that it has from the start.
    """
    nics = [{"name": f"roce{rail}", "rail": rail} for rail in range(RAILS)]
    rails = {str(rail): former(host, rail) for rail in range(RAILS)}
    wanted, faults = parameters.build({"state": "present", "nics": nics, "rails": rails})
    found = planned.prospect(str(place / host), _nothing, wanted, True)
    assert not faults + found.problems, faults + found.problems
    shutil.rmtree(place / host)
    tree = Host(write(place, host, {rail: f"roce{rail}" for rail in range(RAILS) if rail not in odd.macs}, odd))
    for change in found.plan.files:
        if change.after is not None:
            tree.file(change.path, change.after)


def _nothing(command: list[str]) -> tuple[int, str, str]:
    raise AssertionError(f"a tree of files is not asked: {command}")
