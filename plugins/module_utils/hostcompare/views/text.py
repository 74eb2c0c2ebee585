# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary as plain text."""

from __future__ import annotations

from dataclasses import asdict

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views import summary
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.text import findings
from ansible_collections.railyard.sglang.plugins.module_utils.report.tables import table

LEGEND = (
    "Rails: device, Gb/s, GID index (g) or IB. MTU: of the network device/of RDMA. Topology: a hash, equal where connected alike.",
    "Clock: against the controller's. * differs from the others, ~ differs and is accepted or harmless; the findings say how.",
)


def rows(seen: Comparison, report: Report) -> list[str]:
    """Return the table."""
    groups, columns = summary.groups(seen, report), summary.header(seen)
    shown = summary.used(groups, columns)
    several = len({group.cluster for group in groups}) > 1
    body = []
    for group in groups:
        name = f"{group.cluster} {group.name}" if several else group.name
        for _host, cells in group.rows:
            body.append([name, *(cells[index].text for index in shown)])
    return table(["instance", *(columns[index] for index in shown)], body)


def view(seen: Comparison, report: Report) -> str:
    """Return table, networks of the rails, and findings."""
    found = [asdict(row) for row in report.findings()]
    clusters = list(dict.fromkeys(host.member.cluster for host in seen.hosts))
    lines = [f"{reading.count(len(seen.hosts), 'host')} compared: {reading.tally(found)}", "", *rows(seen, report), ""]
    for cluster in clusters:
        nets = [f"{index} {net}" for index, net in enumerate(summary.subnets(seen, cluster)) if net]
        if nets:
            lines.append(f"Networks of the rails{' of ' + cluster if len(clusters) > 1 else ''}: {', '.join(nets)}")
    lines += [*LEGEND, "", "Findings", "========", *findings(found, several=len(clusters) > 1)]
    return "\n".join(line.rstrip() for line in lines) + "\n"
