# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What must reach each host, as a part of its own slice: the port table of the plan without the other hosts.

Addresses of a group are put together to networks that hold exactly them. A slice then has a few lines of sources, whatever the number
of hosts, as long as their addresses follow one another.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses, porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.porttable import Flow
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Plan

FABRIC, MANAGEMENT = "fabric", "management"
# Needed where RDMA is done by the kernel: what a card does passes by the host's own filter.
SOFT_ROCE = "soft-roce"
SOFT = "RDMA over Ethernet by a soft device (rxe), whose packets pass the kernel's filter; those of a card do not"


def exactly(texts: Iterable[str]) -> list[str]:
    """Return the fewest networks that hold these addresses and networks and nothing else, IPv4 before IPv6; a single address is one."""
    found: dict[int, list[Any]] = {4: [], 6: []}
    for text in texts:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        found[network.version].append(network)
    return [str(network) for rows in found.values() for network in ipaddress.collapse_addresses(rows)]


class _Slices:
    """Makes the slices of one cluster, the sources of each group once."""

    def __init__(self, part: Plan, management: Mapping[str, str], ssh: Mapping[str, int], network: str) -> None:
        self.part = part
        self.management = management
        self.ssh = ssh
        self.network = addresses.network(network) if network else None
        self.groups = porttable.groups(part)
        self.engines = [host for host, row in part["hosts"].items() if row["ranks"]]
        self.rails = self._rails()
        self.sources: dict[str, list[str]] = {}

    def _rails(self) -> list[str]:
        """Return the addresses of the rails of all engines, none where they are not known of every one of them."""
        found: list[str] = []
        for host in self.engines:
            rows = (self.part["hosts"][host]["rdma"] or {}).get("rails") or []
            own = [address.partition("/")[0] for row in rows for address in row["addresses"]]
            if not own:
                return []
            found += [address for address in own if not ipaddress.ip_address(address).is_link_local]
        return found

    def source(self, name: str) -> list[str]:
        """Return the networks of a group."""
        if name not in self.sources:
            self.sources[name] = exactly(self.groups[name].addresses) if name in self.groups else exactly(self.rails)
        return self.sources[name]

    def scope(self, host: str, flow: Flow) -> str:
        """Return on which of a host's networks a flow arrives: as its address says, else as who connects."""
        if not flow.address:
            return MANAGEMENT if flow.source in (porttable.CLIENTS, porttable.MONITORING, porttable.CONTROLLERS) else FABRIC
        if flow.address == self.part["hosts"][host]["fabric_address"]:
            return FABRIC
        address = addresses.parse(flow.address)
        return FABRIC if address is not None and self.network is not None and address in self.network else MANAGEMENT

    def roce(self, host: str) -> list[Flow]:
        """Return the flow of soft RoCE between the rails of a cluster's engines."""
        row = self.part["hosts"][host]
        if row["rdma"] is None or row["rdma"]["link_layer"] == "InfiniBand" or len(self.engines) == 1:
            return []
        source = f"{row['cluster']} rails" if self.rails else porttable.RAILS
        return [Flow(row["cluster"], source, host, "", "udp", porttable.ROCE, "RoCE v2", SOFT, SOFT_ROCE)]

    def of(self, host: str, flows: Iterable[Flow]) -> dict[str, Any]:
        """Return what must reach a host.

        :param flows: of the port table, to this host.
        """
        row = self.part["hosts"][host]
        peers = f"{row['cluster']} engines" if row["ranks"] and len(self.engines) > 1 else ""
        kept = [*(flow for flow in flows if flow.source != porttable.RAILS), *self.roce(host)]
        names = dict.fromkeys([*(flow.source for flow in kept), *([peers] if peers else [])])
        return {
            "management_address": self.management[host],
            "peers": peers,
            "sources": {name: self.source(name) for name in names if name not in porttable.OUTSIDE},
            "flows": [
                {
                    "source": flow.source,
                    "scope": self.scope(host, flow),
                    "address": flow.address,
                    "protocol": flow.protocol,
                    "port": str(self.ssh[host]) if flow.source == porttable.CONTROLLERS else flow.port,
                    "purpose": flow.purpose,
                    "why": flow.why,
                    "needed": flow.needed,
                }
                for flow in kept
            ],
        }


def add(part: Plan, management: Mapping[str, str], ssh: Mapping[str, int], network: str) -> None:
    """Give each host's slice its key C(firewall).

    :param part: the plan of one cluster.
    :param management: host to the address that clients, monitoring and the controller reach it by, empty where that is a name.
    :param ssh: host to the port of its SSH server.
    :param network: the fabric's, empty where it is not given.
    """
    slices = _Slices(part, management, ssh, network)
    rows = porttable.by_host(porttable.flows(part))
    for host, row in part["hosts"].items():
        row["firewall"] = slices.of(host, rows.get(host, []))
