# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What machines are: GPUs, how they are connected, NIC models, drivers, firmware, kernels; and which of them there are facts about."""

from __future__ import annotations

from collections import Counter

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare import majority
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.hosts import Host
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules import common
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import listed

MOST_SHOWN = 3


def check(seen: Comparison, report: Report) -> None:
    """Compare the machines themselves."""
    _looked_at(seen, report)
    found = majority.odd([(host, host.gpus) for host in seen.engines], beyond="pools")
    common.tell(report, "compare.gpus", found, "GPUs", "replace the host in this instance, or look why a GPU is missing", column="GPUs")
    _topology(seen, report, {odd.host.name for odd in found})
    boards = common.by_rail(seen, lambda host, rail: rail.board or None, beyond="pools")
    common.tell_rails(report, "compare.nic-model", boards, "NIC model", "look whether the right device was chosen on this host")
    rows = [(host, host.driver) for host in seen.engines if host.driver]
    common.tell(report, "compare.driver", majority.odd(rows), "GPU driver", "install the same driver on all hosts", column="driver")
    rows = [(host, host.kernel) for host in seen.engines if host.kernel]
    common.tell(report, "compare.kernel", majority.odd(rows), "kernel", "boot the same kernel on all hosts", column="kernel")
    _firmware(seen, report)


def _looked_at(seen: Comparison, report: Report) -> None:
    clusters = list(dict.fromkeys(host.member.cluster for host in seen.hosts))
    for cluster in clusters:
        own = [host for host in seen.hosts if host.member.cluster == cluster]
        absent = sorted(host.name for host in own if not host.looked_at)
        if absent:
            report.add(
                "compare.not-in-run", "--limit", f"not in this run, and not compared: {listed(absent)}",
                "run without --limit to compare all", cluster=cluster,
            )
        some = any(host.facts for host in own)
        for host in own:
            wanted = host.member.rdma or (host.member.rdma is None and some)
            if host.looked_at and host.member.serves and wanted and not host.facts:
                end = report.add(
                    "compare.facts-missing", common.FACTS, "there are no facts about this host, so that it is not compared",
                    "gather them with rdma_facts before", cluster=cluster, host=host.name,
                )
                report.mark(host.name, "host", "no facts", end)


def _topology(seen: Comparison, report: Report, other_gpus: set[str]) -> None:
    """Hosts with other numbers of GPUs or devices have findings of their own, and cannot be compared piece by piece."""
    by_digest = {host.digest: host for host in seen.engines}
    sizes = majority.odd([(host, (len(host.rails), host.gpus)) for host in seen.engines], beyond="pools")
    left_out = other_gpus | {odd.host.name for odd in sizes}
    rows = [(host, host.digest) for host in seen.engines if host.digest and host.name not in left_out]
    for odd in majority.odd(rows, beyond="pools"):
        host = odd.host
        other = by_digest[odd.usual] if odd.usual else by_digest[next(value for value, _names in odd.rivals if value != odd.value)]
        differences = _differences(host, other)
        text = f"connected otherwise than {'most others' if odd.usual else other.name} (hash {odd.value}, {other.digest}): {differences}"
        end = report.add(
            "compare.topology", common.FACTS, text,
            "compare BIOS settings (NPS, SNC, ACS, slots) and the kernel's command line (numa=off) with another host's",
            cluster=host.member.cluster, host=host.name, place=common.place(odd), severity=common.severity("compare.topology", odd),
        )
        report.mark(host.name, "topology", f"hash {odd.value}, the others {other.digest}: {differences}", end)


def _differences(host: Host, other: Host) -> str:
    names = [name for name in dict.fromkeys([*host.topology, *other.topology]) if host.topology.get(name) != other.topology.get(name)]
    parts = [f"{name} {host.topology.get(name, 'absent')} instead of {other.topology.get(name, 'absent')}" for name in names[:MOST_SHOWN]]
    more = f", and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return "; ".join(parts) + more


def _firmware(seen: Comparison, report: Report) -> None:
    """Compare all data devices of one board, those of one host among them."""
    boards: dict[tuple[str, str], list[tuple[Host, int, str]]] = {}
    for host in seen.engines:
        for index, rail in enumerate(host.rails):
            if rail.board and rail.firmware:
                boards.setdefault((host.member.cluster, rail.board), []).append((host, index, rail.firmware))
    for (cluster, board), rows in boards.items():
        usual = majority.usual([version for _host, _index, version in rows], [])
        if usual is None:
            versions = Counter(version for _host, _index, version in rows)
            shown = ", ".join(f"{version} on {count} devices" for version, count in sorted(versions.items()))
            report.add(
                "compare.firmware", common.FACTS, f"firmware of {board}: {shown}: none of them is usual", "install one version on all",
                cluster=cluster,
            )
        odd: dict[str, list[tuple[int, str]]] = {}
        for host, index, version in rows:
            if usual is not None and version != usual:
                odd.setdefault(host.name, []).append((index, version))
        for name, own in odd.items():
            parts = [f"rail {index} {version}" for index, version in own]
            end = report.add(
                "compare.firmware", common.FACTS, f"firmware of {board}: {listed(parts)}, most devices have {usual}",
                "install the same version on all hosts (mlxfwmanager, or the maker's tool)", cluster=cluster, host=name,
            )
            for index, version in own:
                report.mark(name, f"rail {index}", f"firmware {version}, most have {usual}", end, f"firmware {version}")
