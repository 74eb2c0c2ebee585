# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The comparison of stacks with their locks as text and as plain data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.report.tables import table
from ansible_collections.railyard.sglang.plugins.module_utils.stack.drift import NOTHING, Compared

SCHEMA = 1
HEADER = ("host", "stack", "id", "python", "packages", "drift")
MACHINE = ("host", "system", "kernel", "glibc", "driver", "CUDA", "GPUs", "GPU firmware", "NIC firmware")


def alike(values: Iterable[str | None]) -> str:
    """Return values in one cell, those that are equal once with their number: 8 x 28.39.1002."""
    counts: dict[str, int] = {}
    for value in values:
        if value:
            counts[value] = counts.get(value, 0) + 1
    return ", ".join(f"{count} x {value}" if count > 1 else value for value, count in counts.items())


def _stack_rows(seen: Compared) -> list[list[str]]:
    rows = []
    for host, names in seen.wanted.items():
        for name in names:
            if host not in seen.facts:
                rows.append([host, name, "", "", "", "not in this run"])
                continue
            found = seen.facts[host]["stacks"][name]
            locked = found["accepted"] or seen.definitions[name].packages()
            good = sum(found["packages"].get(package) == version for package, version in locked.items())
            count = sum(drift.host == host and drift.stack == name for drift in seen.drifts)
            state = "" if found["state"] == "complete" else f" ({found['state']})"
            state += " (external)" if found["external"] else ""
            rows.append([host, name, found["id"] + state, found["python"], f"{good}/{len(locked)}", str(count or "none")])
    return rows


def _machine_rows(seen: Compared) -> list[list[str]]:
    rows = []
    for host in seen.wanted:
        if host in seen.facts:
            row = seen.facts[host]
            driver = row["nvidia"]["driver"] or row["amd"]["driver"] or ""
            cuda = alike(f"{kit['version'] or kit['path']}{'' if kit['nvcc'] != '' else ' without nvcc'}" for kit in row["cuda"])
            rows.append([
                host, row["os"]["name"], row["kernel"] or "", row["glibc"] or "", driver, cuda or row["amd"]["rocm"] or "",
                alike(gpu["model"] for gpu in row["gpus"]), alike(gpu["firmware"] or gpu["bios"] for gpu in row["gpus"]),
                alike(nic["firmware"] for nic in row["nics"]),
            ])  # fmt: skip
    return rows


def _used(header: tuple[str, ...], rows: list[list[str]]) -> list[str]:
    """Return a table without the columns in which no host has anything."""
    columns = [index for index in range(len(header)) if any(row[index] for row in rows)]
    return table([header[index] for index in columns], [[row[index] for index in columns] for row in rows]) if rows else []


def _unplanned(seen: Compared) -> list[str]:
    """Return one line per tree of a stack that no host plans to use."""
    hosts: dict[str, list[str]] = {}
    sizes: dict[str, str] = {}
    for host, row in seen.facts.items():
        for entry in row.get("unplanned", []):
            hosts.setdefault(entry["tree"], []).append(host)
            sizes[entry["tree"]] = f" ({entry['mib']} MiB)" if entry["mib"] is not None else ""
    return [f"{tree}{sizes[tree]} on {', '.join(names)}" for tree, names in sorted(hosts.items())]


def summary(seen: Compared) -> str:
    """Return one line per host and stack, one per host, and the differences."""
    hosts, drifts = len(seen.facts), len(seen.drifts)
    count = f"{drifts or 'no'} difference{'' if drifts == 1 else 's'}"
    lines = [f"{hosts} host{'' if hosts == 1 else 's'} against the locks: {count}"]
    lines += ["", *table(HEADER, _stack_rows(seen)), "", *_used(MACHINE, _machine_rows(seen))]
    unplanned = _unplanned(seen)
    if unplanned:
        title = "Trees of stacks that are not planned: nobody removes them"
        lines += ["", title, "=" * len(title), *unplanned]
    if seen.drifts:
        lines += ["", "Drift", "=====", *(drift.line() for drift in seen.drifts)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def packages(seen: Compared) -> str:
    """Return every package of every stack: the locked version, and which hosts have another one."""
    lines = []
    for name, definition in seen.definitions.items():
        hosts = [host for host, names in seen.wanted.items() if name in names and host in seen.facts]
        if not hosts:
            continue
        has = {host: seen.facts[host]["stacks"][name]["packages"] for host in hosts}
        locked = definition.packages()
        rows = []
        for package in sorted({*locked, *(key for row in has.values() for key in row)}):
            same = [host for host in hosts if has[host].get(package) == locked.get(package)]
            others = [f"{host} {has[host].get(package, NOTHING)}" for host in hosts if host not in same]
            rows.append([package, locked.get(package, NOTHING), f"{len(same)}/{len(hosts)}", ", ".join(others)])
        lines += ["", f"{name} on {', '.join(hosts)}", *table(("package", "locked", "hosts with it", "others"), rows)]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def data(seen: Compared) -> dict[str, Any]:
    """Return everything as plain data."""
    stacks: Mapping[str, Any] = {
        name: {"kind": definition.kind, "python": list(definition.pythons), "packages": definition.packages()}
        for name, definition in seen.definitions.items()
    }
    return {
        "schema": SCHEMA,
        "locked": stacks,
        "hosts": {host: dict(row) for host, row in seen.facts.items()},
        "wanted": {host: list(names) for host, names in seen.wanted.items()},
        "absent": list(seen.absent),
        "drift": [drift.plain() for drift in seen.drifts],
    }
