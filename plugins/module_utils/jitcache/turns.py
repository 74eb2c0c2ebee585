# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who compiles, who receives, who has to stop for it and who may not start: decided for all hosts of a run together."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.compiling import Job
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.look import UNKNOWN, UNUSED
from ansible_collections.railyard.sglang.plugins.module_utils.jitcache.store import KEPT, WHOLE

Row = Dict[str, Any]
Place = Tuple[str, str]
THERE = (WHOLE, KEPT)
AT_START = "deepgemm_compile_at_start: true lets the engines compile while they start"


def _instances(looked: Mapping[str, Mapping[str, Any]], clusters: Mapping[str, str]) -> Dict[Place, Dict[str, Row]]:
    """Return the rows by instance and host; two clusters may have instances of the same name."""
    found: Dict[Place, Dict[str, Row]] = {}
    for host, result in looked.items():
        for row in result.get("caches", []):
            held = any(other["active"] for other in result["caches"] if other["path"] == row["path"])
            found.setdefault((clusters.get(host, ""), str(row["instance"])), {})[host] = {**row, "held": held}
    return found


def _errors(instances: Mapping[Place, Mapping[str, Row]], check: bool) -> List[str]:
    return sorted({
        f"{host}: {row['instance']}: {row['error']}"
        for rows in instances.values() for host, row in rows.items() if row["error"] and not (check and row["later"])
    })


def _lacks(row: Mapping[str, Any], check: bool) -> bool:
    """Whether kernels have to come to a row; in check mode also where they will as far as it is known."""
    if row["state"] == UNKNOWN:
        return check and bool(row["later"] and row["certain"])
    return row["state"] not in (UNUSED, *THERE)


def _target(row: Mapping[str, Any]) -> Row:
    return {name: row[name] for name in ("instance", "path", "key", "parts", "partial", "trees", "units")}


def _name(row: Mapping[str, Any]) -> str:
    """Return a row's key, or in check mode what stands for it as long as the host cannot tell it."""
    return str(row["key"] or row["expected"])


def _compiling(instances: Mapping[Place, Mapping[str, Row]], have: Mapping[str, Place], check: bool) -> List[Place]:
    """Return the instances that compile: one for each key that nobody has, the first that lacks it."""
    coming = set(have)
    chosen = []
    for name, rows in instances.items():
        if {_name(row) for row in rows.values() if _lacks(row, check)} - coming:
            chosen.append(name)
            coming |= {_name(row) for row in rows.values()}
    return chosen


def _needed(instances: Mapping[Place, Mapping[str, Row]], chosen: Sequence[Place]) -> Dict[str, Set[int]]:
    """Return the GPUs that compilations need, by host."""
    needed: Dict[str, Set[int]] = {}
    for name in chosen:
        for host, row in instances[name].items():
            needed.setdefault(host, set()).update(row["gpus"])
    return needed


def _stops(instances: Mapping[Place, Mapping[str, Row]], needed: Mapping[str, Set[int]]) -> List[Place]:
    """Return the instances that run on a GPU that is needed."""
    return [
        name for name, rows in instances.items()
        if any(row["active"] and needed.get(host, set()) & set(row["gpus"]) for host, row in rows.items())
    ]


def _strangers(
    looked: Mapping[str, Mapping[str, Any]], clusters: Mapping[str, str], needed: Mapping[str, Set[int]],
) -> Dict[Place, Dict[str, Row]]:
    """Return the engines that the plan has no more and that run where a GPU is needed, by unit, with all their hosts."""
    found: Dict[Place, Dict[str, Row]] = {}
    for host, result in looked.items():
        for row in result.get("others", []):
            found.setdefault((clusters.get(host, ""), str(row["unit"])), {})[host] = dict(row)
    return {name: rows for name, rows in found.items() if set(rows) & set(needed)}


def _orphans(looked: Mapping[str, Mapping[str, Any]], compiling: Mapping[str, Sequence[Row]]) -> Dict[str, List[str]]:
    """Return the instances whose compilation is at work and is not begun anew in this run, by host: it would hold GPUs for nothing."""
    return {
        host: [name for name in result.get("compiling", []) if name not in [row["instance"] for row in compiling[host]]]
        for host, result in looked.items()
    }


def turns(
    looked: Mapping[str, Mapping[str, Any]], clusters: Mapping[str, str], at_start: bool = False, allow_stop: bool = False,
    check: bool = False,
) -> Dict[str, Any]:
    """Return what each host does, and what speaks against it.

    :param looked: what M(railyard.sglang.kernel_cache) has found, by host.
    :param clusters: name of each host's cluster.
    :param at_start: the engines compile while they start: nothing is compiled before, and nothing is refused for being missing.
    :param allow_stop: consent to stop what uses the GPUs.
    :param check: nothing was installed by earlier stages, and nothing will be.
    """
    instances = _instances(looked, clusters)
    by_host: Dict[str, Dict[str, List[Any]]] = {
        name: {host: [] for host in looked} for name in ("compile", "stop_heads", "stop_others", "settle", "send", "receive")
    }
    made: Dict[str, Any] = {**by_host, "refused": _errors(instances, check), "interrupts": [], "work": False}
    if at_start:
        return {**made, "orphans": _orphans(looked, made["compile"])}
    have: Dict[str, Place] = {}
    sizes: Dict[str, int] = {}
    for rows in instances.values():
        for host, row in rows.items():
            if row["state"] in THERE:
                have.setdefault(_name(row), (host, row["path"]))
                sizes.setdefault(_name(row), int(row["bytes"]))
    chosen = _compiling(instances, have, check)
    for name in chosen:
        rows = instances[name]
        nodes = {row["nodes"] for row in rows.values()}
        if nodes != {len(rows)}:
            made["refused"].append(
                f"{name[1]}: its ranks compile together, and {len(rows)} of {max(nodes)} take part in this run. "
                "Fix: run without --limit, or name all its hosts"
            )
        for host, row in rows.items():
            made["compile"][host].append(_target(row))
            have.setdefault(_name(row), (host, row["path"]))
    for name, rows in instances.items():
        for host, row in rows.items():
            others = made["settle"][host] + made["receive"][host] + made["compile"][host]
            if name in chosen or any(other["path"] == row["path"] for other in others):
                continue
            if row["state"] == KEPT and not row["held"]:
                made["settle"][host].append(_target(row))
            elif _lacks(row, check) and _name(row) in have:
                source, path = have[_name(row)]
                made["receive"][host].append({**_target(row), "source": source, "source_path": path, "bytes": sizes.get(_name(row), 0)})
                wanted = {"path": path, "key": row["key"]}
                if wanted not in made["send"][source]:
                    made["send"][source].append(wanted)
    needed = _needed(instances, chosen)
    for name in _stops(instances, needed):
        running = sorted(host for host, row in instances[name].items() if row["active"])
        made["interrupts"].append(f"{name[1]} runs on {', '.join(running)}, and its GPUs are needed to compile kernels")
        for host in running:
            row = instances[name][host]
            made["stop_heads" if row["rank"] == 0 else "stop_others"][host].append(row["unit"])
    for name, found in _strangers(looked, clusters, needed).items():
        made["interrupts"].append(
            f"{name[1]}, which the plan has no more, runs on {', '.join(sorted(found))}, and its GPUs may be needed to compile kernels"
        )
        for host, row in found.items():
            made["stop_heads" if row["rank"] == 0 else "stop_others"][host].append(name[1])
    if made["interrupts"] and not allow_stop and not check:
        made["refused"] += [
            f"{line}. Fix: set sglang_allow_restart: true to consent to stopping it for the time of the compilation; {AT_START}"
            for line in made["interrupts"]
        ]
    made["orphans"] = _orphans(looked, made["compile"])
    made["work"] = any(rows for name in ("compile", "settle", "receive") for rows in made[name].values())
    return made


def gate(looked: Mapping[str, Mapping[str, Any]], at_start: bool = False) -> List[str]:
    """Return why instances may not start, a line for each host and instance; none where all have their kernels.

    Whole kernels of an engine that runs from others are put in use by the stage that restarts it.

    :param at_start: the engines are to compile while they start.
    """
    found = []
    for host, result in looked.items():
        found += [
            f"{host}: {instance}: its kernels are being compiled by {Job(instance).unit}, which holds the GPUs. "
            "Fix: site.yml --tags deepgemm, which ends it or goes on with it; or wait for its end"
            for instance in result.get("compiling", [])
        ]
        for row in result.get("caches", []):
            name = f"{host}: {row['instance']}"
            if row["error"]:
                if not (at_start and row["later"]):
                    found.append(f"{name}: {row['error']}")
            elif not at_start and row["state"] not in (UNUSED, WHOLE) and not (row["state"] == KEPT and row["active"]):
                what = {KEPT: "are there and not in use"}.get(row["state"], f"are {row['state']}")
                more = [*row["problems"][:2], *row["differs"][:2]]
                detail = f" ({'; '.join(more)})" if more else ""
                found.append(f"{name}: its DeepGEMM kernels at {row['path']} {what}{detail}. Fix: site.yml --tags deepgemm; {AT_START}")
    return found


def failures(
    compiling: Mapping[str, Sequence[Mapping[str, Any]]], compiled: Mapping[str, Mapping[str, Any]], clusters: Mapping[str, str],
) -> Dict[str, List[str]]:
    """Return C(keys) that were not compiled by all ranks of their instance, and C(lines) that say why.

    :param compiling: what C(turns) has each host compile.
    :param compiled: how each host's compilations ended.
    """
    lines, lost = [], set()
    for host, result in compiled.items():
        for row in result.get("jobs", []):
            if row["state"] != "done":
                lost.add((clusters.get(host, ""), row["instance"]))
                lines.append("\n  ".join([f"{host}: {row['instance']}: {row['why'] or row['state']} (log: {row['log']})", *row["tail"]]))
    keys = {row["key"] for host, rows in compiling.items() for row in rows if (clusters.get(host, ""), row["instance"]) in lost}
    return {"keys": sorted(keys), "lines": lines}
