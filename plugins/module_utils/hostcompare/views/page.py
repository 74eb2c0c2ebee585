# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The summary as one HTML page that needs nothing else, in the style of the plan's page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from html import escape

from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.catalogue import Report
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.rules.common import Comparison
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views import summary
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views.summary import Cell, Group
from ansible_collections.railyard.sglang.plugins.module_utils.hostcompare.views.text import LEGEND
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading, style
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Entry

CSS = """
body { max-width: none; }
.hosts.card { padding: 0; overflow: auto; max-height: 85vh; }
.hosts table { width: auto; min-width: 100%; font-size: 13px; border-collapse: separate; border-spacing: 0; }
.hosts th, .hosts td { padding: 5px 10px; min-width: 0; white-space: nowrap; line-height: 1.35; }
.hosts thead th { position: sticky; top: 0; background: var(--card); border-bottom: 1px solid var(--rule); z-index: 2; }
.hosts tbody th, .hosts thead th:first-child { position: sticky; left: 0; background: var(--card); }
.hosts thead th:first-child { z-index: 3; }
.hosts tbody th { color: var(--ink); border-bottom: 1px solid var(--rule); z-index: 1; }
.hosts tr.group th, .hosts tr.group td { background: var(--code); color: var(--muted); font-weight: 600; }
.hosts small { display: block; color: var(--muted); font-size: 11px; font-weight: 400; }
.hosts .odd { box-shadow: inset 0 0 0 2px var(--odd); border-radius: 4px; }
.hosts .odd i { font-style: normal; font-weight: 700; color: var(--odd); margin-right: 3px; }
.odd.error { --odd: var(--error); } .odd.warning { --odd: var(--warning); } .odd.note { --odd: var(--note); }
.odd.waived { --odd: var(--waived); }
@media print { .hosts.card { max-height: none; } }
"""
VERDICTS = (("error", "hosts do not fit together"), ("warning", "hosts differ"))


def _cell(cell: Cell, tag: str) -> str:
    """Return a cell; a mark is a colour, a sign, and what the others have."""
    # What the page shows anyway is not said again.
    extra = cell.extra if not any(cell.extra in line for line in cell.lines) else ""
    first, *more = [cell.lines[0], *([f"[{extra}]"] if extra else []), *cell.lines[1:]]
    small = "".join(f"<small>{escape(line)}</small>" for line in more)
    if not cell.severity:
        return f"<{tag}>{escape(first)}{small}</{tag}>"
    return f'<{tag} class="odd {cell.severity}" title="{escape(cell.title)}"><i>{cell.sign}</i>{escape(first)}{small}</{tag}>'


def _group(group: Group, shown: Sequence[int], several: bool) -> list[str]:
    title = f"{group.name}{' of ' + group.cluster if several else ''}, {reading.count(len(group.rows), 'host')}"
    lines = [f'<tr class="group"><th>{escape(title)}</th><td colspan="{max(1, len(shown) - 1)}"></td></tr>']
    for _host, cells in group.rows:
        parts = [_cell(cells[index], "td" if place else "th") for place, index in enumerate(shown)]
        lines.append(f"<tr>{''.join(parts)}</tr>")
    return lines


def _table(seen: Comparison, report: Report) -> list[str]:
    groups, columns = summary.groups(seen, report), summary.header(seen)
    shown, clusters = summary.used(groups, columns), list(dict.fromkeys(group.cluster for group in groups))
    nets = summary.subnets(seen, clusters[0]) if len(clusters) == 1 else []
    head = []
    for index in shown:
        name = columns[index]
        net = nets[int(name[5:])] if nets and name.startswith("rail ") else ""
        head.append(f"<th>{escape(name)}{f'<small>{escape(net)}</small>' if net else ''}</th>")
    body = [line for group in groups for line in _group(group, shown, len(clusters) > 1)]
    return ['<div class="hosts card"><table>', f"<thead><tr>{''.join(head)}</tr></thead>", "<tbody>", *body, "</tbody></table></div>"]


def _finding(entry: Entry, several: bool) -> str:
    row = entry.first
    where = ", ".join([entry.severity, *entry.where(several), f"rule {row['rule']}"])
    return (
        f'<li id="finding-{entry.number}"><span class="mark {entry.severity}">{entry.number}</span><div><b>{escape(row["variable"])}</b> '
        f'{escape(entry.text)}<br>Fix: {escape(row["fix"])}<br><span class="where">{escape(where)}</span></div></li>'
    )


def view(seen: Comparison, report: Report) -> str:
    """Return the page."""
    found = [asdict(row) for row in report.findings()]
    names = ", ".join(dict.fromkeys(host.member.cluster for host in seen.hosts))
    several, worst = "," in names, {row["severity"] for row in found}
    kind, said = next((pair for pair in VERDICTS if pair[0] in worst), ("good", "hosts fit together"))
    items = [_finding(entry, several) for entry in reading.entries(found)]
    tiles = [
        (len(seen.hosts), "hosts"), (sum(host.facts for host in seen.hosts), "with facts"), (seen.width, "rails"),
        (len({mark.host for mark in report.marks}), "hosts with a mark"),
    ]
    shown = "".join(f"<div class=\"tile\"><b>{value}</b><span>{escape(what)}</span></div>" for value, what in tiles)
    return "\n".join([
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Hosts of {escape(names)}</title>",
        f"<style>{style.CSS}{CSS}</style>", "</head>", "<body>", f"<h1>Hosts of {escape(names)}</h1>",
        f'<p class="lead"><span class="verdict {kind}">{said}</span> {escape(reading.tally(found))}</p>',
        f'<div class="tiles">{shown}</div>',
        *_table(seen, report), *(f'<p class="lead">{escape(line)}</p>' for line in LEGEND), '<h2 id="findings">Findings</h2>',
        f'<ol class="findings card">{"".join(items)}</ol>' if items else '<p class="card">None.</p>', "</body>", "</html>", "",
    ])
