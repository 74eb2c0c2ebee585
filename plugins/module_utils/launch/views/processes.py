# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Instances and routers on the page: command line, environment with reasons, files. What all ranks share is written once."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import reading
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.instancebox import anchor
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views.text import listening, sizes, spans

# Options that name workers, which have a table of their own.
WORKERS = ("--prefill", "--decode", "--worker-urls")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML already."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def command(process: Mapping[str, Any]) -> str:
    """Return the command line as one would type it, one option per line."""
    lines: list[str] = []
    for word in (process["python"], *process["argv"]):
        if word.startswith("--") or not lines:
            lines.append(shlex.quote(word))
        else:
            lines[-1] += " " + shlex.quote(word)
    return " \\\n  ".join(lines)


def _values(processes: Sequence[Mapping[str, Any]], of: Sequence[Mapping[str, str]], kind: str) -> list[tuple[str, str, str, str]]:
    """Return kind, name, value and reason: one row for a value that all processes share, else one per rank."""
    rows = []
    for name in sorted({name for values in of for name in values}):
        found: dict[tuple[str, str], list[str]] = {}
        for process, values in zip(processes, of):
            if name in values:
                key = (values[name], process["reasons"].get(name, ""))
                found.setdefault(key, []).append(str(process.get("rank", "")))
        values_of = {value for value, _why in found}
        whole = len(values_of) == 1 and sum(map(len, found.values())) == len(processes)
        for (value, why), numbers in found.items():
            place = "" if whole else f" (rank {spans([int(number) for number in numbers])})"
            rows.append((kind, name + place, value, why))
            if whole:
                break
    return rows


def _settings(processes: Sequence[Mapping[str, Any]], arguments: Sequence[Mapping[str, str]]) -> str:
    rows = _values(processes, arguments, "argument") + _values(processes, [row["environment"] for row in processes], "environment")
    cells = [(escape(kind), _code(name), _code(value) if value else "set", escape(why)) for kind, name, value, why in rows]
    for name, why in {row["name"]: row["why"] for process in processes for row in process.get("unknown", ())}.items():
        cells.append(("not known yet", f'<code class="unknown-value">{escape(name)}</code>', "", escape(why)))
    return table(("", "name", "value", "why"), cells)


def _files(process: Mapping[str, Any]) -> str:
    rows = [(_code(row["path"]), _code(row["sha256"])) for row in process["files"]]
    return "<h3>Files</h3>" + table(("path", "SHA-256"), rows) if rows else ""


def instance(row: Mapping[str, Any]) -> str:
    """Return an instance, folded: ranks, settings with reasons, command lines."""
    ranks = row["ranks"]
    rows = [
        (
            str(rank["rank"]), escape(rank["host"]), _code(rank["address"]), escape(spans(reading.gpus(rank)) or "none"),
            escape(listening(rank["ports"])), _code(rank["environment"].get("SGLANG_HOST_IP", "")),
        )
        for rank in ranks
    ]
    head = f"{row['cluster']}, {sizes(row)}, {reading.count(len(ranks), 'rank')}, {row['url']}, digest {row['digest']}"
    parts = [
        f'<details id="{escape(anchor(row["cluster"], row["name"]))}">',
        f"<summary><b>{escape(row['name'])}</b><span>{escape(head)}</span></summary>",
        table(("rank", "host", "address", "GPUs", "ports", "KV address"), rows),
        f"<p class=\"where\">unit {_code(row['unit'])}, arguments {_code(ranks[0]['argument_file'])}, "
        f"environment {_code(ranks[0]['environment_file'])}</p>",
        "<h3>Settings</h3>", _settings(ranks, [reading.arguments(rank) for rank in ranks]), _files(ranks[0]),
        f"<h3>Command line of rank 0</h3><pre>{escape(command(ranks[0]))}</pre>",
    ]
    return "\n".join([*parts, "</details>"])


def router(row: Mapping[str, Any]) -> str:
    """Return a router, folded: workers, settings with reasons, command line."""
    workers = [
        (escape(one["instance"] or "outside of the plan"), escape(one["role"]), _code(one["url"]), str(one["bootstrap_port"] or "none"))
        for one in row["workers"]
    ]
    given = {name: " ".join(words) for name, words in reading.options(row["argv"]).items() if name not in WORKERS}
    head = f"{row['cluster']}, {reading.count(len(workers), 'worker')}, {row['url']}, digest {row['digest']}"
    parts = [
        f"<details><summary><b>router on {escape(row['host'])}</b><span>{escape(head)}</span></summary>",
        table(("worker", "role", "URL", "bootstrap port"), workers),
        "<h3>Settings</h3>", _settings([row], [given]), _files(row),
        f"<h3>Command line</h3><pre>{escape(command(row))}</pre>",
    ]
    return "\n".join([*parts, "</details>"])
