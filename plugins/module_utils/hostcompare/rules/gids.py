# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""GID indexes: equal everywhere, or different with every rank told its own host's, or none, so that libraries look for themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rails import Rail
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules import common
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import ETHERNET
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import NOTE
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import listed

# Each library reads its own; Mooncake falls back to NCCL's.
INDEXES = ("MC_GID_INDEX", "NCCL_IB_GID_INDEX", "NVSHMEM_IB_GID_INDEX", "UCX_IB_GID_INDEX")
RANGE, FAMILY = "NCCL_IB_ADDR_RANGE", "NCCL_IB_ADDR_FAMILY"
VARIABLE = "sglang_gid_index"


def check(seen: Comparison, report: Report) -> None:
    """Judge the GID indexes of all rails against the environments of the ranks, and compare them with each other."""
    wrong = {host.name: _against_plan(host, report) for host in seen.engines}
    _none(seen, report)
    _differing(seen, report, {name for name, bad in wrong.items() if bad})


def _roce(host: Host) -> Iterator[tuple[int, Rail]]:
    return ((index, rail) for index, rail in enumerate(host.rails) if rail.active and rail.layer == ETHERNET and rail.gids_read)


def told(environment: Mapping[str, Any]) -> dict[str, int]:
    """Return the GID indexes that an environment sets; a negative one lets the library look for itself."""
    found = {}
    for name in INDEXES:
        text = str(environment.get(name, "")).strip()
        if text.isdigit():
            found[name] = int(text)
    return found


def _against_plan(host: Host, report: Report) -> bool:
    """Report ranks that would use another GID than that of the host's own addresses; return whether there is one."""
    wrong = False
    for rank in host.member.ranks:
        environment, instance = rank["environment"], rank["instance"]
        for name, index in told(environment).items():
            rails = [(number, rail) for number, rail in _roce(host) if rail.gid_index not in (None, index)]
            if rails:
                wrong = True
                parts = [f"rail {number} ({rail.label}) {rail.gid_index}" for number, rail in rails]
                _bad(
                    report, host, "compare.gid-index",
                    f"{name} is {index}, and the RoCE v2 GID of the host's own address has another index: {listed(parts)}",
                    "set sglang_gid_index of this host to its own index where all its rails have the same, else leave it out and set "
                    "sglang_rdma_address_range",
                    instance=instance, rails=[number for number, _rail in rails],
                )
        # Within one host NCCL does not use the network. What it finds by itself of IPv6 addresses is not among the facts.
        searches = rank["device"] != "cpu" and rank["nodes"] > 1 and str(environment.get(FAMILY, "")).upper() != "AF_INET6"
        if searches and "NCCL_IB_GID_INDEX" not in told(environment) and not environment.get(RANGE):
            wrong = _automatic(host, instance, report) or wrong
    return wrong


def _automatic(host: Host, instance: str, report: Report) -> bool:
    rails = [(number, rail) for number, rail in _roce(host) if rail.gid_index is not None and rail.nccl_gid != rail.gid_index]
    if rails:
        parts = [f"rail {number} ({rail.label}) {rail.nccl_gid} instead of {rail.gid_index}" for number, rail in rails]
        _bad(
            report, host, "compare.gid-auto",
            f"no GID index is set, and NCCL by itself takes another than that of the port's own address: {listed(parts)}",
            f"set sglang_gid_index of this host, or {RANGE} with sglang_rdma_address_range",
            instance=instance, rails=[number for number, _rail in rails],
        )
    return bool(rails)


def _bad(report: Report, host: Host, rule: str, text: str, fix: str, *, instance: str, rails: list[int]) -> None:
    end = report.add(rule, VARIABLE, text, fix, cluster=host.member.cluster, host=host.name, place=instance)
    for number in rails:
        report.mark(host.name, f"rail {number}", text, end, f"GID {host.rails[number].gid_index}")


def _none(seen: Comparison, report: Report) -> None:
    anybody = {(host.member.cluster, index) for host in seen.engines for index, rail in _roce(host) if rail.gid_index is not None}
    for host in seen.engines:
        rails = [(index, rail) for index, rail in _roce(host) if rail.gid_index is None]
        if not rails:
            continue
        others = any((host.member.cluster, index) in anybody for index, _rail in rails)
        parts = [f"rail {common.named(index, rail)}" for index, rail in rails]
        end = report.add(
            "compare.gid-missing", common.FACTS,
            f"no RoCE v2 GID of an own address on {listed(parts)}" + (", and other hosts have one there" if others else ""),
            "give the interface its address, and see that no DHCP client takes it away",
            cluster=host.member.cluster, host=host.name, severity=common.error_or_warning(others),
        )
        for index, _rail in rails:
            report.mark(host.name, f"rail {index}", f"rail {index} has no RoCE v2 GID of an own address", end)


def _differing(seen: Comparison, report: Report, wrong: set[str]) -> None:
    """Say of hosts whose indexes differ how that is handled. Those that are not have a finding already."""
    for entry in common.by_rail(seen, lambda host, rail: rail.gid_index if rail.layer == ETHERNET else None):
        host = entry.odd.host
        if host.name in wrong:
            continue
        end = report.add(
            "compare.gid-index", VARIABLE, f"GID index: {common.places(entry.rows)}; {_handled(host)}",
            "nothing, unless the environment is changed by hand", cluster=host.member.cluster, host=host.name, severity=NOTE,
        )
        for index, _rail, odd in entry.rows:
            others = common.among(odd.rivals) if odd.rivals else f"the others have {odd.usual}"
            report.mark(host.name, f"rail {index}", f"GID index {odd.value}; {others}; {_handled(host)}", end)


def _handled(host: Host) -> str:
    ways = []
    for rank in host.member.ranks:
        environment = rank["environment"]
        given = [f"{name}={index}" for name, index in told(environment).items()]
        if given:
            ways.append(f"handled for {rank['instance']} by {', '.join(given)}")
        elif environment.get(RANGE):
            ways.append(f"handled for {rank['instance']} by {RANGE}={environment[RANGE]}")
        else:
            ways.append(f"{rank['instance']} sets no index: each library looks for the GID itself")
    return "; ".join(ways)
