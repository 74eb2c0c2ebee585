# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of the rails: rail i of all hosts in one subnet, and no address twice."""

from __future__ import annotations

import ipaddress

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rails import Rail
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules import common
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import INFINIBAND
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import MANY, listed


def check(seen: Comparison, report: Report) -> None:
    """Compare the addresses of all rails."""
    _subnets(seen, report)
    _twice(seen, report)


def _subnets(seen: Comparison, report: Report) -> None:
    def value(host: Host, rail: Rail) -> tuple[str, ...] | None:
        # A subnet manager makes one network of InfiniBand ports, whatever addresses IPoIB has.
        if host.member.cluster in seen.routed or rail.layer == INFINIBAND:
            return None
        return rail.subnets() or None

    apart = common.by_rail(seen, value, same=lambda own, others: bool(set(own) & set(others)), hints=False)
    common.tell_rails(
        report, "compare.subnet", apart, "subnet",
        "list the data devices of every host in the order of their networks (sglang_rdma_devices), or set sglang_rails_routed: true "
        "where rails are routed",
        variable="sglang_rdma_devices", short="in",
    )


def _twice(seen: Comparison, report: Report) -> None:
    holders: dict[tuple[str, str], list[tuple[Host, int]]] = {}
    for host in seen.engines:
        for index, rail in enumerate(host.rails):
            for text in rail.addresses:
                key = (host.member.cluster, str(ipaddress.ip_interface(text).ip))
                holders.setdefault(key, []).append((host, index))
    found: dict[str, list[tuple[int, str, str]]] = {}
    for (_cluster, address), rows in sorted(holders.items(), key=lambda row: row[0]):
        everybody = sorted({host.name for host, _index in rows})
        for host, index in rows if len(everybody) > 1 else ():
            others = listed([name for name in everybody[: MANY + 2] if name != host.name])
            found.setdefault(host.name, []).append((index, address, others))
    for host in seen.engines:
        own = sorted(found.get(host.name, ()))
        if not own:
            continue
        parts = [f"rail {index} has {address}, and so has a rail of {others}" for index, address, others in own]
        end = report.add(
            "compare.address-twice", common.FACTS, "; ".join(parts[:2]) + (f"; and {len(parts) - 2} more" if len(parts) > 2 else ""),
            "give each rail of each host an address of its own", cluster=host.member.cluster, host=host.name,
        )
        for index, address, others in own:
            report.mark(host.name, f"rail {index}", f"{address} is also that of {others}", end, address)
