# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks of a router: where clients reach it, and where it reaches the engines."""

from __future__ import annotations

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, hosts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.rules import networks
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract


def check(contract: Contract, findings: Findings) -> None:
    """Report routers that clients reach in the wrong network, or that may not reach the engines."""
    _routers(contract, findings)
    _router_fabric(contract, findings)


def _routers(contract: Contract, findings: Findings) -> None:
    network = addresses.network(contract.cluster.variables["sglang_fabric_network"])
    for router in contract.routers:
        address = addresses.parse(router["address"])
        if router["address"] in hosts.WILDCARDS:
            findings.add(
                "networks.router-wildcard", "sglang_management_address",
                f"the router binds {router['address']}: its API and its metrics are open on every network of the host",
                "write the address that clients use, or let a firewall close the others", router["host"], place="router",
            )
        elif network is not None and address is not None and address in network:
            findings.add(
                "networks.clients-in-fabric", "sglang_management_address",
                f"clients reach the router at {address}, in the fabric network {network}: they also reach the engines' ports, "
                "which ask for no key",
                "give the router an address of its own network, or close the engines' ports to clients", router["host"], place="router",
            )


def _router_fabric(contract: Contract, findings: Findings) -> None:
    """A router connects to the engines from the address that its routing table chooses."""
    cluster = contract.cluster
    network = addresses.network(cluster.variables["sglang_fabric_network"])
    where = str(network) if network is not None else "the fabric network"
    reached = {networks.usual(hosts.reached(cluster, head.host)) for head in contract.heads}
    for router in contract.routers:
        address = addresses.parse(router["address"])
        inside = address is not None and (address in network if network is not None else networks.usual(str(address)) in reached)
        if not hosts.fabric(cluster, router["host"]) and not inside:
            findings.add(
                "networks.router-fabric", "sglang_fabric_address",
                f"the router must reach the engines in {where}, and no address of this host there is named; the firewall files let the "
                "networks of the workers in instead",
                "set sglang_fabric_address of the router host", router["host"], place="router",
            )
