# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as one HTML page of heat maps that needs nothing else. On the controller."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest import report
from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.perftest import BANDWIDTH
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import natural
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import style

Row = Mapping[str, Any]
CSS = """
.maps { display: flex; flex-wrap: wrap; gap: 18px; }
.map { background: var(--card); border: 1px solid var(--rule); border-radius: 10px; padding: 12px 16px; overflow-x: auto; }
.map h3 { margin: 0 0 8px; }
table.heat { width: auto; border-collapse: separate; border-spacing: 2px; font-size: 12px; }
table.heat th, table.heat td { min-width: 0; border: 0; padding: 3px 6px; text-align: center; }
table.heat th { font-size: 12px; } table.heat th.side { text-align: right; }
table.heat td { min-width: 3.6em; border-radius: 4px; background: var(--code); color: var(--ink); }
table.heat td.heat { background: color-mix(in srgb, var(--decode) calc(var(--h) * 1%), var(--card)); }
table.heat td.ms { background: color-mix(in srgb, var(--warning) calc(var(--h) * 1%), var(--card)); }
table.heat td.slow { outline: 2px solid var(--warning); outline-offset: -2px; font-weight: 600; }
table.heat td.failed { background: var(--error); color: var(--on-badge); font-weight: 600; }
table.heat td.none { background: none; color: var(--muted); }
"""
VERDICTS = {
    "failed": ("error", "failed"), "slow": ("warning", "slow"), "not measured": ("warning", "not all measured"), "ok": ("good", "good"),
}
NOTHING = '<td class="none">&middot;</td>'
WORDS = {"failed": "failed", "not measured": "n/m"}


def _cell(row: Row | None, key: str, most: float, kind: str, digits: int) -> str:
    if row is None:
        return NOTHING
    value = row.get(key)
    title = escape(f"{report.name(row)}: " + (row["reason"] or f"{value:.3f}" if value is not None else row["reason"] or row["state"]))
    if value is None:
        state = "failed" if row["state"] == "failed" else "none"
        return f'<td class="{state}" title="{title}">{WORDS.get(row["state"], row["state"])}</td>'
    heat = 15 + 70 * (value / most if most else 0)
    slow = " slow" if row["state"] == "slow" else ""
    return f'<td class="{kind}{slow}" style="--h:{heat:.0f}" title="{title}">{value:.{digits}f}</td>'


def _table(across: Sequence[str], down: Sequence[str], cell: Callable[[str, str], str], corner: str) -> str:
    head = "".join(f"<th>{escape(label)}</th>" for label in across)
    body = "".join(
        f'<tr><th class="side">{escape(side)}</th>{"".join(cell(side, label) for label in across)}</tr>' for side in down
    )
    return f'<table class="heat"><tr><th>{escape(corner)}</th>{head}</tr>{body}</table>'


def _hosts(rows: Iterable[Row]) -> list[str]:
    return sorted({row[role]["host"] for row in rows for role in ("client", "server")}, key=natural)


def _maps(rows: Sequence[Row], test: str) -> str:
    """Return one map of hosts per rail."""
    wide = test in BANDWIDTH
    key, kind, digits = ("gbps", "heat", 1) if wide else ("latency_us", "ms", 1)
    most = max((row[key] for row in rows if row[key] is not None), default=0)
    digits = 2 if wide and most < 10 else digits
    hosts = _hosts(rows)

    def one(rail: int) -> str:
        own = {(row["client"]["host"], row["server"]["host"]): row for row in rows if row["client"]["rail"] == rail}
        table = _table(hosts, hosts, lambda a, b: _cell(own.get((a, b)), key, most, kind, digits), "from / to")
        return f'<div class="map"><h3>Rail {rail}</h3>{table}</div>'

    return f'<div class="maps">{"".join(map(one, sorted({row["client"]["rail"] for row in rows})))}</div>'


def _summary_map(rows: Sequence[Row], test: str) -> str:
    """Return one map of rails over pairs of hosts: how the rails differ."""
    wide = test in BANDWIDTH
    key, kind = ("gbps", "heat") if wide else ("latency_us", "ms")
    most = max((row[key] for row in rows if row[key] is not None), default=0)
    digits = 2 if wide and most < 10 else 1
    own = {(f"{row['client']['host']} > {row['server']['host']}", f"rail {row['client']['rail']}"): row for row in rows}
    pairs, rails = list(dict.fromkeys(pair for pair, _rail in own)), sorted({rail for _pair, rail in own}, key=lambda text: int(text[5:]))
    return f'<div class="map">{_table(rails, pairs, lambda a, b: _cell(own.get((a, b)), key, most, kind, digits), "pair")}</div>'


def _crossing(result: Row) -> list[str]:
    rows = [row for row in result["measurements"] if row["kind"] == "cross"]
    if not rows:
        return []
    rails = [f"rail {number}" for number in range(len(result["rails"]))]

    def cell(a: str, b: str) -> str:
        own = [row for row in rows if (f"rail {row['client']['rail']}", f"rail {row['server']['rail']}") == (a, b)]
        good = sum(row["state"] in ("ok", "slow") for row in own)
        if not own:
            return NOTHING
        title = escape("; ".join(f"{report.name(row)}: {row['reason'] or row['state']}" for row in own[:6]))
        kind = f'class="heat" style="--h:{20 + 60 * good / len(own):.0f}"' if good else 'class="none"'
        return f'<td {kind} title="{title}">{good} of {len(own)}</td>'

    lead = f'<p class="lead">{escape(result["cross_rail"])}. A way that is not there is no fault by itself.</p>'
    return ["<h2>Across rails</h2>", lead, f'<div class="map">{_table(rails, rails, cell, "from / to")}</div>']


def _rows(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="card"><table><tr>{head}</tr>{body}</table></div>'


def _groups(result: Row) -> list[str]:
    rows = [row for row in result["measurements"] if row["kind"] == "allreduce"]
    if not rows:
        return []
    cells = []
    for row in rows:
        sizes = ", ".join(f"{size['bytes'] / (1 << 20):g} MiB {size['busbw_gbps']:.2f}" for size in row["rows"])
        cells.append((report.name(row), row["test"], len(row["where"]), sizes, row["state"], row["reason"]))
    return ["<h2>All-reduce</h2>", _rows(("ranks", "backend", "processes", "bus bandwidth, Gb/s", "state", "why"), cells)]


def _faults(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    items = []
    for number, row in enumerate(rows, 1):
        kind = "error" if row["state"] == "failed" else "warning"
        said = f"<pre>{escape(chr(10).join(row['said']))}</pre>" if row["said"] else ""
        where = ", ".join(part for part in (row["state"], row["test"], row["signature"]) if part)
        items.append(
            f'<li><span class="mark {kind}">{number}</span><div><b>{escape(report.name(row))}</b> {escape(row["reason"])}<br>'
            f'Fix: {escape(row["fix"])}{said}<div class="where">{escape(where)}</div></div></li>'
        )
    return ["<h2>Not as it should be</h2>", f'<ol class="findings card">{"".join(items)}</ol>']


def _tile(pair: tuple[object, str]) -> str:
    return f'<div class="tile"><b>{escape(str(pair[0]))}</b><span>{escape(pair[1])}</span></div>'


def view(result: Row, require_perftest: bool, title: str) -> str:
    """Return the page."""
    bad = report.failures(result, require_perftest)
    worst = next((state for state in ("failed", "slow", "not measured") if any(row["state"] == state for row in bad)), "ok")
    kind, word = VERDICTS[worst]
    start = report.first(result)
    told = f"First: {report.name(start)}: {start['reason']}" if start else "Everything that was measured is as it should be."
    ways = [row for row in result["measurements"] if row["kind"] in ("same", "loopback")]
    measured = sum(row["state"] != "not measured" for row in ways)
    tiles = [(len(result["hosts"]), "hosts"), (len(result["rails"]), "rails"), (measured, "ways measured"),
             (f"{result['seconds']['spent']} s", "spent")]
    body = [
        f"<h1>{escape(title)}</h1>", f'<p class="lead"><span class="verdict {kind}">{word}</span> {escape(told)}</p>',
        f'<div class="tiles">{"".join(map(_tile, tiles))}</div>',
        *_faults(bad),
    ]
    for test in dict.fromkeys(row["test"] for row in ways):
        own = [row for row in ways if row["test"] == test]
        unit = "Gb/s" if test in BANDWIDTH else "microseconds"
        body += [f"<h2>{escape(test)} within rails, {unit}</h2>", _summary_map(own, test) if len(_hosts(own)) < 4 else _maps(own, test)]
    body += [*_crossing(result), *_groups(result)]
    rows = [(port, counter, f"+{value}") for port, own in result["errors"].items() for counter, value in own.items()]
    body += ["<h2>Error counters that moved</h2>", _rows(("port", "counter", "by"), rows) if rows else '<p class="card">None.</p>']
    proof = [row for row in ways if row.get("carried") and row["carried"]["enough"] is not None]
    if proof:
        good = sum(bool(row["carried"]["enough"]) for row in proof)
        names = ", ".join(sorted({str(row["carried"]["counter"]) for row in proof}))
        told = f"By counters of the ports ({names}), RDMA carried the bytes of {good} of {len(proof)} ways."
        body.append(f'<p class="lead">{escape(told)}</p>')
    hosts = [(host, row["user"], row["unit"], row["perftest"] or "not installed") for host, row in result["hosts"].items()]
    body += ["<h2>Measured as</h2>", _rows(("host", "user", "hardening of", "perftest"), hosts)]
    left = [(row["what"], row["test"], row["why"]) for row in result["left_out"]] + [(note, "", "") for note in result["notes"]]
    body += ["<h2>Not measured</h2>", _rows(("what", "test", "why"), left)] if left else []
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    top = ["<!DOCTYPE html>", '<html lang="en">', f"<head>{head}<style>{style.CSS}{CSS}</style></head>", "<body>"]
    return "\n".join([*top, *body, "</body>", "</html>", ""])
