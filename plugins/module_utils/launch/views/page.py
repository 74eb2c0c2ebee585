# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The plan as one HTML page that needs nothing else: no script, no font, no picture from anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.porttable import Flow
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import drawing, picture, processes, reading, style
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import text as words
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.reading import Entry, Plan

LEGEND = (
    ("request", "", "requests and health checks: clients, routers, rank 0"),
    ("kv", "", "KV cache, prefill and decode, both ways"),
    ("bootstrap", "dashed", "bootstrap: decode asks prefill's rank 0 where the KV cache is"),
    ("rendezvous", "dotted", "ranks of an instance meet at rank 0, prefill ranks register there"),
)
COLOUR = {"request": "router"}
VERDICTS = (("error", "refused"), ("warning", "planned, with warnings"), ("note", "planned"))


def _document(title: str, body: Iterable[str]) -> str:
    markers = "".join(drawing.marker(kind) for kind, _style, _text in LEGEND)
    defs = f'<svg width="0" height="0" style="position:absolute;min-width:0" aria-hidden="true"><defs>{markers}</defs></svg>'
    head = [
        "<!DOCTYPE html>", '<html lang="en">', "<head>", '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>", f"<style>{style.CSS}</style>", "</head>", "<body>", defs,
    ]
    return "\n".join([*head, *body, "</body>", "</html>", ""])


def _verdict(rows: Sequence[Mapping[str, Any]]) -> str:
    found = {row["severity"] for row in rows}
    kind, text = next((pair for pair in VERDICTS if pair[0] in found), ("good", "planned"))
    return f'<p class="lead"><span class="verdict {kind}">{text}</span> {escape(reading.tally(rows))}</p>'


def _tiles(values: Iterable[tuple[object, str]]) -> str:
    tiles = "".join(f'<div class="tile"><b>{escape(str(value))}</b><span>{escape(what)}</span></div>' for value, what in values)
    return f'<div class="tiles">{tiles}</div>'


def _finding(entry: Entry, several: bool) -> str:
    number, row = entry.number, entry.first
    where = ", ".join([entry.severity, *entry.where(several), f"rule {row['rule']}"])
    fix = f"Fix: {escape(row['fix'])}<br>" if row["fix"] else ""
    return (
        f'<li id="finding-{number}"><span class="mark {entry.severity}">{number}</span><div><b>{escape(row["variable"])}</b> '
        f'{escape(entry.text)}<br>{fix}<span class="where">{escape(where)}</span></div></li>'
    )


def _findings(rows: list[Entry]) -> list[str]:
    several = len({entry.first["cluster"] for entry in rows}) > 1
    items = [_finding(entry, several) for entry in rows]
    body = f'<ol class="findings card">{"".join(items)}</ol>' if items else '<p class="card">None.</p>'
    return ['<h2 id="findings">Findings</h2>', body]


def _cluster(plan: Plan, cluster: Mapping[str, Any], rows: list[Entry]) -> list[str]:
    name = cluster["name"]
    own = [row for row in plan["instances"] if row["cluster"] == name]
    shown = picture.cluster(plan, name, rows)
    drawn = {line.kind for line in shown.lines}
    legend = "".join(
        f'<span><i class="{dashes}" style="color:var(--{COLOUR.get(kind, kind)})"></i>{escape(text)}</span>'
        for kind, dashes, text in LEGEND if kind in drawn
    )
    gpus = sum(len(reading.gpus(rank)) for row in own for rank in row["ranks"])
    tiles = [
        (cluster["model"]["name"], "model"),
        (cluster["stacks"]["engine"], "engine"),
        *((len(members), f"instances of {pool}") for pool, members in cluster["pools"].items()),
        (sum(row["cluster"] == name for row in plan["hosts"].values()), "hosts"),
        *([(gpus, "GPUs")] if gpus else []),
    ]
    lines = [f"<h2>Cluster {escape(name)}</h2>", _tiles(tiles)]
    if cluster["unverified"]:
        lines.append(f'<p class="lead">{escape(cluster["stacks"]["engine"])}: {escape(cluster["unverified"])}</p>')
    picture_of = f"Cluster {name}: {reading.count(len(own), 'instance')} and who talks to whom"
    return [*lines, f'<div class="card">{drawing.svg(shown, picture_of)}<div class="legend">{legend}</div></div>']


def _unknown(plan: Plan) -> list[str]:
    rows = words.unknown(plan)
    if not rows:
        return []
    cells = [(f'<code class="unknown-value">{escape(name)}</code>', escape(why), escape(where)) for name, why, where in rows]
    table = processes.table(("value", "why", "where"), cells)
    return ["<h2>Not known before the hosts are looked at</h2>", f'<div class="card">{table}</div>']


def _firewall(flows: list[Flow]) -> list[str]:
    why = {(flow.purpose, flow.protocol): flow.why for flow in reversed(flows)}
    cells = [
        (*(escape(cell) for cell in row[:2]), escape(f"{row[2]} {row[3]}"), escape(row[4]), escape(why[row[4], row[2]]), escape(row[5]))
        for row in porttable.summary(flows)
    ]
    header = ("from", "to", "port", "purpose", "why", "needed")
    return ["<h2>Who must reach whom</h2>", f'<div class="card">{processes.table(header, cells)}</div>']


def _parts(plan: Plan, findings: Sequence[Mapping[str, Any]]) -> list[str]:
    rows = reading.entries(findings)
    body = [part for cluster in plan["clusters"] for part in _cluster(plan, cluster, rows)]
    body += [*_findings(rows), *_unknown(plan), "<h2>Instances</h2>"]
    body += [processes.instance(row) for row in plan["instances"]]
    return [*body, "<h2>Routers</h2>", *(processes.router(row) for row in plan["routers"])]


def view(plan: Plan, flows: list[Flow]) -> str:
    """Return the page of a plan."""
    names = ", ".join(cluster["name"] for cluster in plan["clusters"])
    body = [f"<h1>Plan of {escape(names)}</h1>", _verdict(plan["findings"]), *_parts(plan, plan["findings"]), *_firewall(flows)]
    return _document(f"Plan of {names}", body)


def refusal(findings: Sequence[Mapping[str, Any]], draft: Plan | None = None) -> str:
    """Return the page of an inventory that cannot be planned.

    :param draft: what was planned all the same: the findings then stand beside what they concern.
    """
    names = ", ".join(dict.fromkeys(row["cluster"] for row in findings if row["cluster"])) or "this inventory"
    said = "What follows is what was written, not a plan: it would not work." if draft else (
        "Nothing else can be said of this inventory before its errors are gone."
    )
    parts = _parts(draft, findings) if draft else _findings(reading.entries(findings))
    body = [f"<h1>No plan of {escape(names)}</h1>", _verdict(findings), f'<p class="lead">{said}</p>', *parts]
    return _document(f"No plan of {names}", body)
