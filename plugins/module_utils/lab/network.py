# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network namespaces of a lab, and the bridges and links in them."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab import hostfiles
from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import CONTROLLER
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey

BRIDGES = ("mgmt", "fabric")


def make_network(lab: Lab, record: Record, dead: Sequence[HostRecord], switch_whole: bool, survey: Survey) -> None:
    """Make the namespaces, bridges and links that are missing; a dead host gets all of its anew."""
    switch = lab.paths.switch_namespace
    ports = [f"{letter}-{host.name}" for host in dead for letter in "mf"]
    if switch_whole:
        # At once: those of a namespace that is deleted go some time later.
        lines = [f"link delete {port}" for port in ports if port in survey.links]
        demand(
            lab.run,
            [*lab.inside(), "ip", "-batch", "-"],
            "remove the links of dead hosts",
            "\n".join(lines) + "\n",
        )
    fresh = [*([] if switch_whole else [switch]), *(lab.paths.host_namespace(host.name) for host in dead)]
    batch = [f"netns delete {name}" for name in fresh if name in survey.namespaces]
    batch += [f"netns add {name}" for name in fresh]
    demand(lab.run, ["ip", "-batch", "-"], "make the lab's network namespaces", "\n".join(batch) + "\n")
    lines = []
    if not switch_whole:
        for bridge in BRIDGES:
            lines += [f"link add {bridge} type bridge stp_state 0 forward_delay 0", f"link set {bridge} up"]
        management = IPv4Network(record.management_network)
        lines += ["link set lo up", f"address add {management[CONTROLLER]}/{management.prefixlen} dev mgmt"]
    for host in dead:
        for letter, bridge, interface, address in (
            ("m", "mgmt", hostfiles.MANAGEMENT_INTERFACE, host.management_address),
            ("f", "fabric", hostfiles.FABRIC_INTERFACE, host.fabric_address),
        ):
            port, mac = f"{letter}-{host.name}", hostfiles.interface_mac(address)
            namespace = lab.paths.host_namespace(host.name)
            lines.append(f"link add {port} type veth peer name {interface} address {mac} netns {namespace}")
            lines += [f"link set {port} master {bridge}", f"link set {port} up"]
    demand(lab.run, [*lab.inside(), "ip", "-batch", "-"], "make the lab's links", "\n".join(lines) + "\n")
    ask_soon(lab)


def ask_soon(lab: Lab) -> None:
    """Ask for a host that is booting again soon, not after a second."""
    setting = "/proc/sys/net/ipv4/neigh/mgmt/retrans_time_ms"
    demand(lab.run, [*lab.inside(), "sh", "-c", f"echo 100 > {setting}"], "set up the lab's bridge")
