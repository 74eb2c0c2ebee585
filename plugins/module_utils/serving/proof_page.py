# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The result as one HTML page that needs nothing else, with heat maps of the pairs. On the controller."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import style
from ansible_collections.railyard.sglang.plugins.module_utils.serving.outliers import MEASURES

CSS = """
table.heat { width: auto; border-collapse: separate; border-spacing: 2px; font-size: 12px; }
table.heat th, table.heat td { min-width: 3.6em; border: 0; padding: 3px 6px; text-align: center; }
table.heat th.side { text-align: right; }
table.heat td { border-radius: 4px; background: color-mix(in srgb, var(--warning) calc(var(--h, 0) * 1%), var(--card)); }
table.heat td.slow { outline: 2px solid var(--error); outline-offset: -2px; font-weight: 600; }
table.heat td.none { background: none; color: var(--muted); }
.state { font-weight: 600; } .state.proven { color: var(--decode); } .state.failed { color: var(--error); }
.state.not { color: var(--muted); }
ul.against { margin: 4px 0 0; padding-left: 18px; } ul.against li.note { color: var(--muted); }
"""
KINDS = {"proven": "good", "failed": "error", "in part": "warning"}


def _steps(row: Mapping[str, Any]) -> str:
    body = []
    for step in row["steps"]:
        items = [f"<li>{escape(text)}</li>" for text in step["problems"]] + [
            f'<li class="note">{escape(text)}</li>' for text in step["notes"]
        ]
        told = f'<ul class="against">{"".join(items)}</ul>' if items else ""
        seen = "" if step["problems"] else escape(step["evidence"])
        seconds = f"{step['seconds']:.2f}" if step["seconds"] else ""
        state = f'<span class="state {escape(step["state"].split()[0])}">{escape(step["state"])}</span>'
        body.append(f"<tr><td><b>{escape(step['step'])}</b></td><td>{state}</td><td>{seconds}</td><td>{seen}{told}</td></tr>")
    head = "<tr><th>step</th><th>state</th><th>seconds</th><th>evidence</th></tr>"
    return f'<div class="card"><table>{head}{"".join(body)}</table></div>'


def _map(row: Mapping[str, Any], measure: str, words: str) -> str:
    timed = {(pair["prefill"], pair["decode"]): pair for pair in row["pairs"] if pair.get(measure) is not None}
    if not timed:
        return ""
    down, across = (list(dict.fromkeys(key[at] for key in timed)) for at in (0, 1))
    most = max(pair[measure] for pair in timed.values()) or 1.0
    slow = [found for found in row["slow"] if found["measure"] == measure]

    def cell(a: str, b: str) -> str:
        pair = timed.get((a, b))
        if pair is None:
            return '<td class="none">&middot;</td>'
        mark = any(found["name"] in (pair["pair"], a, b) for found in slow)
        digits = 2 if pair[measure] >= 0.1 else 4
        title = escape(f"{pair['pair']}: {', '.join(str(value) for value in pair[measure.rpartition('_')[0]])}")
        heat = 60 * pair[measure] / most
        slowness = ' class="slow"' if mark else ""
        return f'<td{slowness} style="--h:{heat:.0f}" title="{title}">{pair[measure]:.{digits}f}</td>'

    head = "".join(f"<th>{escape(b)}</th>" for b in across)
    body = "".join(f'<tr><th class="side">{escape(a or "-")}</th>{"".join(cell(a, b) for b in across)}</tr>' for a in down)
    table = f'<table class="heat"><tr><th>prefill / decode</th>{head}</tr>{body}</table>'
    return f'<h3>Seconds {escape(words)}</h3><div class="card">{table}</div>'


def _answers(pairs: Sequence[Mapping[str, Any]]) -> str:
    texts = list(dict.fromkeys(pair["text"] for pair in pairs if pair["text"]))
    if not texts:
        return ""
    return f"<h3>Answers of the pairs</h3>{''.join(f'<pre>{escape(text)}</pre>' for text in texts[:8])}"


def view(result: Mapping[str, Any], title: str, made: str) -> str:
    """Return the page.

    :param made: when it was made, in words.
    """
    body = [f"<h1>{escape(title)}</h1>"]
    body.append(f'<p class="lead"><span class="verdict {KINDS[result["verdict"]]}">{escape(result["verdict"])}</span> {escape(made)}</p>')
    for row in result["clusters"]:
        states = [step["state"] for step in row["steps"]]
        tiles = [(states.count("proven"), "steps proven"), (states.count("failed"), "failed"), (len(row["pairs"]), "pairs asked"),
                 (len(row["slow"]), "slow")]  # fmt: skip
        shown = "".join(f'<div class="tile"><b>{value}</b><span>{escape(what)}</span></div>' for value, what in tiles)
        body += [f"<h2>{escape(row['name'])}</h2>", f'<div class="tiles">{shown}</div>', _steps(row)]
        body += [_map(row, measure, words) for measure, words, _test in MEASURES]
        body.append(_answers(row["pairs"]))
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{escape(title)}</title>'
    top = ["<!DOCTYPE html>", '<html lang="en">', f"<head>{head}<style>{style.CSS}{CSS}</style></head>", "<body>"]
    return "\n".join([*top, *filter(None, body), "</body>", "</html>", ""])
