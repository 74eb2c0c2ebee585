# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network of a lab of virtual machines: one namespace with a bridge per rail and one for the management."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.lab import Lab
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import CONTROLLER
from ansible_collections.railyard.sglang.plugins.module_utils.lab.network import ask_soon
from ansible_collections.railyard.sglang.plugins.module_utils.lab.pci_layouts import RAILS, slots_of
from ansible_collections.railyard.sglang.plugins.module_utils.lab.rails import bridge, management_tap, tap
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import demand
from ansible_collections.railyard.sglang.plugins.module_utils.lab.state import HostRecord, Paths, Record
from ansible_collections.railyard.sglang.plugins.module_utils.lab.survey import Survey

#: A switch takes whatever its hosts send.
SWITCH_MTU = 9000

BRIDGES = ("mgmt", *(bridge(rail) for rail in range(RAILS)))


def ports(host: HostRecord) -> dict[str, str]:
    """Return a host's ports, each with its bridge."""
    return {management_tap(host.name): "mgmt", **{tap(host.name, rail): bridge(rail) for rail in range(len(slots_of(host.group)))}}


def switch_is_whole(paths: Paths, survey: Survey) -> bool:
    """Tell whether the namespace and its bridges are there."""
    return paths.switch_namespace in survey.namespaces and set(BRIDGES) <= survey.links


def host_is_whole(survey: Survey, host: HostRecord) -> bool:
    """Tell whether a host runs and has its ports."""
    return host.name in survey.running and set(ports(host)) <= survey.links


def network_batch(record: Record, dead: Sequence[HostRecord], switch_whole: bool, links: frozenset[str]) -> list[str]:
    """Return the commands of `ip -batch` that make what is missing; ports outlive their host's QEMU.

    Args:
        record: the lab.
        dead: the hosts to be started.
        switch_whole: whether the bridges are there.
        links: all interfaces of the namespace.
    """
    lines = []
    if not switch_whole:
        for name in BRIDGES:
            mtu = "" if name == "mgmt" else f"mtu {SWITCH_MTU} "
            lines += [f"link add {name} {mtu}type bridge stp_state 0 forward_delay 0 mcast_snooping 0", f"link set {name} up"]
        management = IPv4Network(record.management_network)
        lines += ["link set lo up", f"address add {management[CONTROLLER]}/{management.prefixlen} dev mgmt"]
    for host in dead:
        for port, name in ports(host).items():
            if not switch_whole or port not in links:
                lines.append(f"tuntap add dev {port} mode tap vnet_hdr")
            mtu = "" if name == "mgmt" else f" mtu {SWITCH_MTU}"
            lines.append(f"link set {port}{mtu} master {name} up")
    return lines


def make_machine_network(lab: Lab, record: Record, dead: Sequence[HostRecord], switch_whole: bool, survey: Survey) -> None:
    """Make the namespace, bridges and ports that are missing. Raises LabError where that fails."""
    switch = lab.paths.switch_namespace
    if not switch_whole:
        batch = [f"netns delete {name}" for name in sorted(survey.namespaces)] + [f"netns add {switch}"]
        demand(lab.run, ["ip", "-batch", "-"], "make the lab's network namespace", "\n".join(batch) + "\n")
    lines = network_batch(record, dead, switch_whole, survey.links)
    demand(lab.run, [*lab.inside(), "ip", "-batch", "-"], "make the lab's links", "\n".join(lines) + "\n")
    ask_soon(lab)
