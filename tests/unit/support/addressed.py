# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trees of machines whose RoCE ports have their addresses on VLANs, beside others, or of IPv6.

The network of data is C(DATA), that of management C(MANAGEMENT).
"""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Mapping, Sequence

from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

DATA, MANAGEMENT, DATA6 = "198.51.100.0/24", "192.0.2.0/24", "2001:db8::/32"
WAYS = ("17:01.0 18:00.0", "27:01.0 28:00.0")


def word(address: ipaddress.IPv4Address) -> str:
    """Return an address as C(/proc/net/route) has it."""
    return f"{int.from_bytes(address.packed, sys.byteorder):08X}"


def addressed(host: Host, rows: Mapping[str, Sequence[str]]) -> None:
    """Give network devices their addresses with prefix."""
    trie, routes, inet6 = ["Local:"], ["Iface Destination Gateway Flags RefCnt Use Metric Mask"], []
    for name, addresses in rows.items():
        for found in map(ipaddress.ip_interface, addresses):
            if isinstance(found, ipaddress.IPv4Interface):
                trie += [f"  |-- {found.ip}", "     /32 host LOCAL"]
                routes.append(f"{name} {word(found.network.network_address)} 00000000 1 0 0 0 {word(found.network.netmask)}")
            else:
                inet6.append(f"{found.ip.packed.hex()} 02 {found.network.prefixlen:02x} 00 80 {name}")
    host.files("/proc/net", {"fib_trie": "\n".join(trie), "route": "\n".join(routes), "if_inet6": "\n".join(inet6)})


def vlan(host: Host) -> Host:
    """Write two ports without addresses, each with a VLAN that has one."""
    for number, way in enumerate(WAYS):
        own = f"ens{number}"
        gids = {1: f"v2 fe80::{number + 1} {own}", 3: f"v2 fe80::{number + 1} {own}.100", 5: f"v2 198.51.100.{64 * number + 5} {own}.100"}
        host.nic(f"mlx5_{number}", way, netdev=own, gids=gids)
        host.netdev(f"{own}.100")
    addressed(host, {f"ens{number}.100": [f"198.51.100.{64 * number + 5}/26"] for number in range(2)})
    return host


def vlan_beside_management(host: Host) -> Host:
    """Write the same where the ports have addresses of management, too."""
    for number, way in enumerate(WAYS):
        own = f"ens{number}"
        here, above = f"192.0.2.{128 * number + 5}", f"198.51.100.{64 * number + 5}"
        gids = {1: f"v2 fe80::{number + 1} {own}", 3: f"v2 {here} {own}", 5: f"v2 {above} {own}.100"}
        host.nic(f"mlx5_{number}", way, netdev=own, gids=gids)
        host.netdev(f"{own}.100")
    rows = {f"ens{number}.100": [f"198.51.100.{64 * number + 5}/26"] for number in range(2)}
    addressed(host, {**rows, "ens0": ["192.0.2.5/25"], "ens1": ["192.0.2.133/25"]})
    return host


def vlan_on_bonds(host: Host) -> Host:
    """Write two cards with two bonded ports each, and a VLAN with an address on each bond."""
    for number, way in enumerate(WAYS):
        own = f"bond{number}"
        gids = {1: f"v2 fe80::{number + 1} {own}", 3: f"v2 fe80::{number + 1} {own}.7", 5: f"v2 198.51.100.{64 * number + 5} {own}.7"}
        host.nic(f"mlx5_bond_{number}", way, netdev=f"ens{number}a", gids=gids)
        host.netdev(f"ens{number}b", way[:-1] + "1")
        host.bond(own, [f"ens{number}a", f"ens{number}b"])
        host.netdev(f"{own}.7")
    addressed(host, {f"bond{number}.7": [f"198.51.100.{64 * number + 5}/26"] for number in range(2)})
    return host


def storage_vlan(host: Host) -> Host:
    """Write two ports with addresses of data, and VLANs of storage on them."""
    for number, way in enumerate(WAYS):
        own = f"ens{number}"
        gids = {3: f"v2 198.51.100.{64 * number + 5} {own}", 5: f"v2 192.0.2.{128 * number + 5} {own}.9"}
        host.nic(f"mlx5_{number}", way, netdev=own, gids=gids)
        host.netdev(f"{own}.9")
    rows = {f"ens{number}": [f"198.51.100.{64 * number + 5}/26"] for number in range(2)}
    addressed(host, {**rows, "ens0.9": ["192.0.2.5/25"], "ens1.9": ["192.0.2.133/25"]})
    return host


def ipv6(host: Host, also_ipv4: bool = False) -> Host:
    """Write two ports with addresses of IPv6, whose GIDs have different indexes."""
    rows = {}
    for number, way in enumerate(WAYS):
        own, address = f"ens{number}", f"2001:db8:0:{number}::5"
        gids = {1: f"v2 fe80::{number + 1} {own}", 3 + 2 * number: f"v2 {address} {own}"}
        rows[own] = [f"{address}/64", f"fe80::{number + 1}/64"]
        if also_ipv4:
            gids[7] = f"v2 192.0.2.{64 * number + 5} {own}"
            rows[own].append(f"192.0.2.{64 * number + 5}/26")
        host.nic(f"mlx5_{number}", way, netdev=own, gids=gids)
    addressed(host, rows)
    return host
