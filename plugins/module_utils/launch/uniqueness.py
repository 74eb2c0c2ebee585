# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What belongs to one host of the whole inventory, whatever its cluster: fabric addresses, and the address Ansible connects to."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.railyard.sglang.plugins.module_utils.launch import addresses
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster


@dataclass
class Owners:
    """Who has which address, cluster by cluster in one pass.

    :ivar fabric: fabric address to its host and cluster.
    :ivar connected: address or name that Ansible connects to, and its host.
    """

    fabric: dict[str, tuple[str, str]] = field(default_factory=dict)
    connected: dict[str, str] = field(default_factory=dict)

    def check(self, cluster: Cluster, findings: Findings) -> None:
        """Report what a host of the cluster shares with a host before it. Engines of one cluster among themselves: hosts.check."""
        name = cluster.variables["sglang_cluster"]
        for host, row in cluster.hosts.items():
            self._fabric(host, row["sglang_fabric_address"], name, findings)
            given = addresses.canonical(row["ansible_host"])
            owner = self.connected.setdefault(given, host)
            if owner != host:
                findings.add(
                    "address.same-host", "ansible_host", f"{given} is also ansible_host of {owner}: both names may be one machine",
                    "give each host the address of its own machine", host,
                )

    def _fabric(self, host: str, given: str, name: str, findings: Findings) -> None:
        if addresses.parse(given) is None:
            return
        owner, theirs = self.fabric.setdefault(addresses.canonical(given), (host, name))
        if theirs != name:
            findings.add(
                "address.twice", "sglang_fabric_address", f"{given} is also the address of {owner} in cluster {theirs}",
                "each host has an address of its own", host,
            )
