# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which data devices serve which GPU: the nearest ones, ties dealt fairly; or the operator's own map, verified."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.candidates import VARIABLES
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.locality import CLASSES, Locality
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import Port

Map = Dict[str, List[str]]


def _names(ports: Sequence[Port]) -> List[str]:
    return list(dict.fromkeys(port.device for port in ports))


def _share(names: Sequence[str], part: int, parts: int) -> List[str]:
    """Return one of so many equal parts of a list, consecutive ones; with fewer names than parts, names repeat in turn."""
    if len(names) < parts:
        return [names[part % len(names)]]
    return list(names[part * len(names) // parts : (part + 1) * len(names) // parts])


def deal(locality: Locality, ports: Sequence[Port]) -> Tuple[Map, Optional[Dict[str, Any]]]:
    """Return the devices of every GPU, and a question instead where nothing tells which device is near which GPU."""
    names = _names(ports)
    if not ports or not locality.gpus:
        return {}, None
    if not locality.known(ports) and len(names) > 1 and len(locality.gpus) > 1:
        question = {
            "question": f"neither PCI nor NUMA tells which of {', '.join(names)} is near which of {len(locality.gpus)} GPUs",
            "variable": VARIABLES["gpu_map"],
            "candidates": [[name] for name in names],
        }
        return {}, question
    groups: Dict[Tuple[int, Tuple[str, ...]], List[int]] = {}
    for gpu in locality.gpus:
        groups.setdefault((locality.rank(gpu, ports), tuple(_names(locality.nearest(gpu, ports)))), []).append(gpu)
    found: Dict[int, List[str]] = {}
    load = dict.fromkeys(names, 0)
    # GPUs with a device of their own come first: those without one then share what is left idle.
    for (_rank, tied), gpus in sorted(groups.items(), key=lambda row: (row[0][0], row[1])):
        least = min(load[name] for name in tied)
        idle = [name for name in tied if load[name] == least]
        for part, gpu in enumerate(gpus):
            found[gpu] = _share(idle, part, len(gpus))
            for name in found[gpu]:
                load[name] += 1
    return {str(gpu): found[gpu] for gpu in locality.gpus}, None


def verify(given: Dict[Any, Any], locality: Locality, ports: Sequence[Port], whole: bool = True) -> Tuple[Map, List[str]]:
    """Return what holds of an operator's map, with lists for values, and everything that is wrong with it.

    :param whole: whether every GPU must be in it.
    """
    variable, names, problems = VARIABLES["gpu_map"], _names(ports), []
    found: Map = {}
    for gpu, value in given.items():
        parts = list(value) if isinstance(value, (list, tuple)) else str(value if value is not None else "").split(",")
        listed = [str(part).strip() for part in parts if str(part).strip()]
        if str(gpu) not in map(str, locality.gpus):
            problems.append(f"{variable}: the host has no GPU {gpu}")
        else:
            found[str(gpu)] = [name for name in listed if name in names]
        if not listed:
            problems.append(f"{variable}: GPU {gpu} has no device")
        problems += [f"{variable}: {name} of GPU {gpu} is not a data device ({', '.join(names) or 'none'})"
                     for name in listed if name not in names]
    if whole:
        problems += [f"{variable}: GPU {gpu} is not in it" for gpu in locality.gpus if str(gpu) not in found]
    return found, problems


def paths(found: Map, locality: Locality, ports: Sequence[Port]) -> Dict[str, str]:
    """Return the path class between every GPU and the farthest of its devices."""
    result = {}
    for gpu, names in found.items():
        ranks = [locality.between(int(gpu), port)[0] for port in ports if port.device in names]
        result[gpu] = CLASSES[max(ranks)] if ranks else "UNKNOWN"
    return result


def one_to_one(found: Map) -> bool:
    """Return whether every GPU has one device, and no two GPUs the same."""
    flat = [name for names in found.values() for name in names]
    return bool(found) and all(len(names) == 1 for names in found.values()) and len(set(flat)) == len(flat)
