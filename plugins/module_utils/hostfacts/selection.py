# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data devices of a host with the reason for every choice; a question to the operator where the facts allow several answers."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, Dict, List, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import candidates, gpumap, narrowing, summary
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.candidates import VARIABLES, Narrowed, Options, gbps
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.locality import Locality
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.ports import (
    ACTIVE,
    ETHERNET,
    Port,
    beside,
    flatten,
    gid_index,
    inside,
    is_network,
    named,
    natural,
    without_ports,
)

__all__ = ["Options", "select"]


def _derive(ports: Sequence[Port], locality: Locality, options: Options) -> Narrowed:
    """Let the facts decide."""
    state = candidates.usable(ports, locality, options)
    candidates.without_virtual_functions(state)
    candidates.fastest(state)
    for rule in (
        narrowing.by_link_layer, narrowing.by_place, narrowing.by_model, narrowing.by_function, narrowing.by_count,
    ):
        if state.ports:
            rule(state)
    return state


def _listed(ports: Sequence[Port], locality: Locality, options: Options, problems: List[str]) -> Narrowed:
    """Take the operator's list as it stands, without what is not there or not ACTIVE."""
    state = Narrowed(locality, options, [])
    variable = VARIABLES["include"]
    for item in options.include or []:
        found = [port for port in ports if named(port, {item})]
        if not found:
            problems.append(f"{variable}: the host has no RDMA device {item}; it has {candidates.labels(ports) or 'none'}")
        elif found[0].plane_management:
            problems.append(f"{variable}: {item} is the management device of a multi-plane card")
        elif found and all(port.state != ACTIVE for port in found):
            problems.append(f"{variable}: {item} is {found[0].state}, not ACTIVE")
        active = [port for port in found if port.state == ACTIVE and not port.plane_management]
        if any(port in state.ports for port in active):
            problems.append(f"{variable}: {item} is in the list twice")
        state.ports += [port for port in active if port not in state.ports]
        state.down += [port for port in found if port.state != ACTIVE]
    keys = {port.key for port in state.ports}
    state.left_out = {port.key: f"not in {variable}" if port.state == ACTIVE else f"{port.state}, not {ACTIVE}"
                      for port in ports if port.key not in keys}
    state.reasons.append(f"{variable} names {', '.join(options.include or []) or 'nothing'}")
    return state


def _missing(state: Narrowed, chosen: Sequence[Port]) -> List[Port]:
    """Return ports of the chosen models that ought to carry data and are not ACTIVE.

    Second ports that no card uses, and spare cards on no GPU's switch, are not missing.
    """
    if state.options.include is not None:
        return state.down
    where, models = state.locality, {port.model for port in chosen}
    used = Counter(port.card for port in chosen)
    # As many ports as most cards use are meant to be used on every card.
    usual = max(Counter(used.values()).items(), key=lambda row: (row[1], row[0]))[0] if used else 0
    served = where.covers(chosen) or (not where.known(chosen) and bool(where.gpus) and where.fits(len(chosen)))
    found = []
    for port in state.down:
        beside = bool(where.on_switch([port]))
        if port.model in models and used[port.card] < usual and (beside or not served):
            found.append(port)
            used[port.card] += 1
    return found


def _degraded(state: Narrowed, ports: Sequence[Port], chosen: Sequence[Port]) -> List[str]:
    """Return a warning for every slower port of the chosen model beside a GPU that no chosen port is beside."""
    where, models, keys = state.locality, {port.model for port in chosen if port.model[0]}, {port.key for port in chosen}
    without = [gpu for gpu in where.gpus if gpu not in where.covered(chosen)]
    if state.options.include is not None:
        return []
    least = min((port.rate or 0.0 for port in chosen), default=0.0)
    slower = [port for port in ports
              if port.key not in keys and port.state == ACTIVE and port.model in models and (port.rate or 0.0) < least]
    return [f"{port.label} is of the same model as the data devices, and has only {gbps(port.rate)}"
            for port in slower if any(gpu in where.covered([port]) for gpu in without)]


def _rails(chosen: Sequence[Port], found: gpumap.Map, indexes: Dict[str, Optional[int]]) -> List[Dict[str, Any]]:
    """Return one row per data port; where GPU and device are one to one, the rail is the GPU's index."""
    serves: Dict[str, List[int]] = {}
    for gpu, names in found.items():
        for name in names:
            serves.setdefault(name, []).append(int(gpu))
    rows: List[Dict[str, Any]] = [
        {
            "gpus": serves.get(port.device, []), "device": port.device, "port": port.number, "pci": port.pci or None,
            "netdev": port.netdev or None, "gid_index": indexes[port.key],
            "addresses": list(beside(port, indexes[port.key])),
        }
        for port in chosen
    ]
    if gpumap.one_to_one(found) and len(serves) == len(rows):
        rows.sort(key=lambda row: row["gpus"])
    return [{"rail": rail, **row} for rail, row in enumerate(rows)]


def _common(values: Sequence[Any]) -> Any:
    """Return the value that all have, or None."""
    return values[0] if values and all(value == values[0] for value in values) else None


def _expectations(chosen: Sequence[Port], options: Options) -> List[str]:
    problems = []
    count = len({port.device for port in chosen})
    if options.expected_devices is not None and count != options.expected_devices:
        problems.append(f"{count} data devices, {VARIABLES['expected_devices']} is {options.expected_devices}")
    expected = options.expected_rate_gbps
    if expected is not None:
        problems += [f"{port.label} has {gbps(port.rate)}, {VARIABLES['expected_rate_gbps']} is {expected:g}"
                     for port in chosen if port.rate != expected]
    return problems


def _warnings(chosen: Sequence[Port], missing: Sequence[Port], options: Options) -> List[str]:
    found = [f"{port.label} is of the same model as the data devices and {port.state}" for port in missing]
    if len({port.rate for port in chosen}) > 1:
        found.append("the data devices have different rates: " + ", ".join(f"{port.label} {gbps(port.rate)}" for port in chosen))
    if len({port.layer for port in chosen}) > 1:
        found.append("the data devices have different link layers: " + ", ".join(f"{port.label} {port.layer}" for port in chosen))
    without = [port.label for port in chosen if port.layer == ETHERNET and port.gids_read and port.gid_index is None]
    if without:
        found.append(f"{', '.join(without)}: no RoCE v2 GID; the port's interface needs an address")
    zeroconf = [port.label for port in chosen if port.zeroconf]
    if zeroconf and len(zeroconf) < len(chosen):
        text = "only an address that the host gave itself (169.254.0.0/16), other data ports have real ones"
        found.append(f"{', '.join(zeroconf)}: {text}")
    slaves: Dict[str, List[Port]] = {}
    for port in chosen:
        slaves.setdefault(port.bond, []).append(port)
    found += [f"{candidates.labels(ports)} are slaves of {bond} and share its one address; bond them in the card (RoCE LAG)"
              for bond, ports in slaves.items() if bond and len({port.device for port in ports}) > 1]
    network = options.address_range
    if network and options.include is not None:
        found += [f"{port.label} has no address in {network}" for port in chosen if port.layer == ETHERNET and not inside(port, network)]
    return found


def select(facts: Dict[str, Any], options: Optional[Options] = None) -> Dict[str, Any]:
    """Return which RDMA devices of a host carry data.

    :param facts: devices, gpus and system, as C(rdma_facts) returns them.
    :returns: data_devices and data_ports in order, left_out {device:port: reason}, missing, gpu_map {GPU index: [device]},
        gpu_paths, rails, gid_indexes, uniform_gid_index, link_layer, rate, ambiguous, gpu_map_ambiguous, proposed, problems, warnings
        and reasons. With C(ambiguous) set nothing is chosen; C(proposed) then holds the likeliest answer.
    """
    options = options or Options()
    options = replace(options, address_range=options.address_range or None)
    ports, locality = flatten(facts), Locality(facts)
    problems: List[str] = []
    if options.address_range is not None and not is_network(options.address_range):
        problems.append(f"{VARIABLES['address_range']}: {options.address_range} is not a network such as 192.0.2.0/24")
        options = replace(options, address_range=None)
    state = _derive(ports, locality, options) if options.include is None else _listed(ports, locality, options, problems)
    nobody = [name for name in options.exclude if not any(named(port, {name}) for port in ports)]
    warnings = [f"{VARIABLES['exclude']}: the host has no RDMA device {name}" for name in nobody]
    likeliest, question = list(state.ports), state.question
    left_out = {**state.left_out, **dict.fromkeys(without_ports(facts), "device has no port")}
    chosen = [] if question else likeliest
    if options.gpu_map is None or question:
        found, unknown = gpumap.deal(locality, chosen)
    else:
        found, wrong = gpumap.verify(options.gpu_map, locality, chosen, options.whole_map)
        unknown, problems = None, problems + wrong
    missing = _missing(state, likeliest)
    problems += _expectations(chosen, options) if question is None else []
    indexes = {port.key: gid_index(port, options.address_range) for port in chosen}
    return {
        "data_devices": list(dict.fromkeys(port.device for port in chosen)),
        "data_ports": [port.key for port in chosen],
        "proposed": list(dict.fromkeys(port.device for port in likeliest)),
        "left_out": {key: left_out[key] for key in sorted(left_out, key=natural)},
        "missing": [port.key for port in missing],
        "gpu_map": found,
        "gpu_paths": gpumap.paths(found, locality, chosen),
        "rails": _rails(chosen, found, indexes),
        "gid_indexes": indexes,
        "uniform_gid_index": _common(list(indexes.values())),
        "link_layer": _common([port.layer for port in chosen]),
        "rate": _common([port.rate for port in chosen]),
        "ambiguous": question,
        "gpu_map_ambiguous": unknown,
        "problems": problems,
        "warnings": warnings + _warnings(chosen, missing, options) + _degraded(state, ports, likeliest),
        "reasons": [summary.sentence(likeliest, ports, left_out), *state.reasons],
    }
