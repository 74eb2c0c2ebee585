# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The kernel caches of all hosts, as a table and as data."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.look import UNUSED
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.store import WHOLE
from ansible_collections.railyard.sglang.plugins.module_utils.report.tables import table

SCHEMA = 1
MIB = 1 << 20


def data(looked: Mapping[str, Mapping[str, Any]], absent: List[str]) -> Dict[str, Any]:
    """Return what was found, by host.

    :param absent: hosts of the plan that were not looked at.
    """
    hosts = {
        host: {"caches": result.get("caches", []), "kept": result.get("kept", []), "bytes": result.get("bytes", {})}
        for host, result in looked.items()
    }
    return {"schema": SCHEMA, "hosts": hosts, "absent": absent}


def problems(looked: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Return what is not whole, a line each."""
    found = []
    for host, result in looked.items():
        for row in result.get("caches", []):
            name = f"{host}: {row['instance']}"
            if row["error"]:
                found.append(f"{name}: {row['error']}")
            elif row["state"] not in (WHOLE, UNUSED):
                found += [f"{name}: {line}" for line in row["problems"][:5] or [f"kernels are {row['state']}"]]
                found += [f"{name}: not the key in use: {line}" for line in row["differs"]]
    return found


def warnings(looked: Mapping[str, Mapping[str, Any]]) -> List[str]:
    """Return what works and may surprise, a line each."""
    rows = [(host, row) for host, result in looked.items() for row in result.get("caches", [])]
    return [f"{host}: {row['instance']}: {line}" for host, row in rows for line in row["warnings"]]


def text(looked: Mapping[str, Mapping[str, Any]], absent: List[str]) -> str:
    """Return two tables, what is wrong, and who was not looked at."""
    rows, sizes = [], []
    for host, result in looked.items():
        caches = result.get("caches", [])
        for row in caches:
            parts = row["parts"]
            made = f"{'+'.join(parts['architectures'])} nvcc {parts['nvcc']}" if parts else ""
            size = f"{row['bytes'] / MIB:.1f}" if row["key"] else ""
            rows.append((host, row["instance"], row["key"] or "-", row["state"], row["kernels"], size, made, row["why"]))
        used = {(row["path"], row["key"]) for row in caches}
        rows += [
            (host, "-", row["key"], row["state"], row["kernels"], f"{row['size'] / MIB:.1f}", "", "of another key")
            for row in result.get("kept", []) if (row["path"], row["key"]) not in used
        ]
        sizes += [(host, name, f"{size / MIB:.1f}") for name, size in sorted(result.get("bytes", {}).items())]
    header = ("host", "instance", "key", "state", "kernels", "MiB", "for", "")
    lines = table(header, rows) if rows else ["No host of this plan has kernel caches."]
    if sizes:
        lines += ["", *table(("host", "cache", "MiB"), sizes)]
    wrong = problems(looked) + warnings(looked)
    lines += ["", *wrong] if wrong else []
    lines += ["", f"not looked at: {', '.join(absent)}"] if absent else []
    return "\n".join(lines) + "\n"
