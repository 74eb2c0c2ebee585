# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen on the hosts allows what is planned, and is what the inventory says."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import locality
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import IB_DEVICE, TRAFFIC_CLASS
from ansible_collections.railyard.sglang.plugins.module_utils.launch import environment, looked
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import NOTE, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.looked import Look
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

DEVICES = "sglang_rdma_devices"
VARIABLE = re.compile(r"\bsglang_[a-z_]+\b")
GID_VARIABLES = ("NCCL_IB_GID_INDEX", "MC_GID_INDEX", "NVSHMEM_IB_GID_INDEX", "UCX_IB_GID_INDEX")
AFFINITY = "MC_ENABLE_DEST_DEVICE_AFFINITY"
NO_GID = "no RoCE v2 GID"


def check(contract: Contract, findings: Findings) -> None:
    """Judge every host that was looked at, and what its ranks are told."""
    # A rank that shares nothing with other hosts needs no RDMA.
    ranks = [rank for rank in contract.ranks if rank.told is not None and (rank.instance.mode != "plain" or rank.instance.nodes > 1)]
    for host in dict.fromkeys(rank.host for rank in ranks):
        look = contract.cluster.looks[host]
        _devices(host, look, findings)
        _written(host, look, contract.cluster.hosts[host], contract.cluster.written[host], findings)
    _rail_names(contract, findings)
    for rank in ranks:
        _gpus(contract, rank, findings)
        _gid_index(contract, rank, findings)
        if rank.told is not None:
            _unanswered(contract, rank, findings)
            _registration(contract, rank, findings)
            _nccl(rank, findings)


def _blamed(text: str, usual: str = DEVICES) -> str:
    """Return the variable that a text names."""
    found = VARIABLE.search(text)
    return found.group() if found else usual


def _candidates(question: dict[str, Any]) -> str:
    rows = [", ".join(row) for row in question["candidates"]]
    return f"set {question['variable']}" + (f": {' or '.join(rows)}" if rows else "")


def _devices(host: str, look: Look, findings: Findings) -> None:
    selection = look.selection
    question = selection["ambiguous"]
    if question:
        findings.add("facts.ambiguous", question["variable"], question["question"], _candidates(question), host)
    for text in selection["problems"]:
        findings.add(
            "facts.contradiction", _blamed(text), text,
            "correct the variable, or repair the host; names that stage network is to give are written once it has given them", host,
        )
    if not question and not selection["data_ports"] and not selection["problems"]:
        findings.add(
            "facts.no-device", DEVICES, selection["reasons"][0],
            "repair the host (module rdma_facts shows what it has), or set sglang_rdma: false for a cluster that uses TCP", host,
        )
    for key in selection["missing"]:
        why = selection["left_out"].get(key, "not ACTIVE")
        findings.add(
            "facts.port-missing", DEVICES, f"{key} is of the same model as the data devices: {why}",
            "look at its cable and switch port, or name it in sglang_rdma_exclude", host,
        )
    for text in selection["warnings"]:
        if NO_GID in text:
            findings.add(
                "facts.no-gid", DEVICES, text,
                "give the interface its address again; a DHCP client may have taken it, or, with a new card or kernel, the interface has "
                "lost the name that its profile is bound to: playbooks/network.yml, for a new card with network_remap: true", host,
            )
        elif not any(_names(key.partition(":")[0], text) for key in selection["missing"]):
            findings.add("facts.devices", _blamed(text), text, "repair the host, or name the data devices", host)


def _names(name: str, text: str) -> bool:
    """Return whether a text names a device, and not only one whose name begins alike."""
    return bool(re.search(rf"(?<![\w.-]){re.escape(name)}(?![\w.-])", text))


def _written(host: str, look: Look, row: dict[str, Any], given: dict[str, Any], findings: Findings) -> None:
    """What the inventory says of addresses and distances, against what was seen.

    :param given: the variables of the host before the facts were added to them.
    """
    rails = {rail["device"]: [text.partition("/")[0] for text in rail["addresses"]] for rail in look.selection["rails"]}
    for device, text in given["sglang_rail_addresses"].items():
        if str(text).partition("/")[0] not in rails.get(device, [str(text).partition("/")[0]]):
            findings.add(
                "facts.contradiction", f"sglang_rail_addresses.{device}",
                f"{text} is not on it; it has {', '.join(rails[device]) or 'none'}",
                "correct the variable, or leave it out: the plan takes what the host shows", host,
            )
    paths = {path for path in look.selection["gpu_paths"].values() if path != "UNKNOWN"}
    said = row["sglang_gpu_nic_path"]
    if said and paths and said not in paths:
        findings.add(
            "facts.contradiction", "sglang_gpu_nic_path", f"is {said}, and the NICs are {', '.join(sorted(paths))} away from the GPUs",
            "leave it out: the plan takes what the host shows", host,
        )


def _gpus(contract: Contract, rank: Rank, findings: Findings) -> None:
    """A GPU that has fallen off the bus shifts the numbers of those behind it."""
    facts = contract.cluster.looks[rank.host].facts
    # Those that another driver holds, for a virtual machine, are none for a process.
    seen = len(locality.counted(facts))
    needed = rank.instance.gpu[rank.number] + rank.instance.gpus_per_host
    if contract.engine.device in looked.GPUS and facts.get("gpus") and seen < needed and not set(rank.environment) & set(looked.VISIBLE):
        findings.add(
            "facts.gpu-count", f"sglang_pools.{rank.instance.pool}.tp",
            f"the host shows {seen} GPUs, and {rank.instance.name} needs {needed}",
            "look for the missing ones (lspci, kernel log: Xid 79), or plan with fewer", rank.host, place=rank.instance.name,
        )


def _gid_index(contract: Contract, rank: Rank, findings: Findings) -> None:
    """An index that is written is the one of the port's own address on every data port."""
    indexes = contract.cluster.looks[rank.host].selection["gid_indexes"]
    index = contract.cluster.hosts[rank.host]["sglang_gid_index"]
    written = {"sglang_gid_index": str(index)} if index >= 0 else {}
    written |= {rank.written[name]: rank.environment.get(name, "") for name in GID_VARIABLES if name in rank.written}
    for variable, text in written.items():
        wrong = {key: right for key, right in indexes.items() if right is not None and str(right) != text}
        if text.isdigit() and wrong:
            shown = ", ".join(f"{key} {right}" for key, right in wrong.items())
            findings.add(
                "facts.gid-index", variable, f"{text} is not the RoCE v2 GID of the port's own address ({shown})",
                "leave it out: the plan takes what the host shows", rank.host,
            )


def _rail_names(contract: Contract, findings: Findings) -> None:
    """Compare the names of the rails where a NIC talks to the one of its own name only."""
    bound = [rank.host for rank in contract.ranks if rank.told is not None and AFFINITY in rank.environment]
    seen = {host: contract.cluster.looks[host].selection for host in bound}
    # A port that is missing shifts the numbers of those behind it, and is a finding of its own.
    rails = {host: [row["device"] for row in found["rails"]] for host, found in seen.items() if not found["missing"]}
    first = next(iter(rails), "")
    for host, names in rails.items():
        if len(names) != len(rails[first]):
            continue  # So does a soft one, of which nobody knows whether it ought to be up.
        apart = [index for index, (own, other) in enumerate(zip(names, rails[first])) if own != other]
        if apart:
            rail = apart[0]
            findings.add(
                "facts.rail-names", DEVICES,
                f"rail {rail} is {names[rail]} here and {rails[first][rail]} on {first}, and {AFFINITY} is set",
                "name the RDMA devices alike (udev), give each GPU one device (sglang_rdma_device_map), or, where rails reach each other, "
                "set sglang_rdma_cross_rail: true", host,
            )


def _unanswered(contract: Contract, rank: Rank, findings: Findings) -> None:
    """What even a look at the host did not answer."""
    told = rank.told
    option = contract.table.find(IB_DEVICE)
    for row in told.unknown if told else ():
        name, text = row["name"], f"{row['name']} is not known: {row['unknown']}; {row['why']}"
        if name in rank.written or (name == IB_DEVICE and option is not None and option.dest in rank.written):
            continue
        if name in environment.TRAFFIC_CLASSES:
            fix = f"set {TRAFFIC_CLASS} to what the switches have, or waive this rule"
            findings.add("facts.traffic-class", TRAFFIC_CLASS, f"is not set: {row['why']}", fix, severity=NOTE)
        elif NO_GID[3:] in row["unknown"]:
            if not any(NO_GID in text for text in contract.cluster.looks[rank.host].selection["warnings"]):
                text = f"{row['unknown']}: no GID could be read"
                findings.add("facts.no-gid", DEVICES, text, "gather the facts as root", rank.host, severity=WARNING)
        elif not contract.cluster.looks[rank.host].selection["ambiguous"]:
            variable = _blamed(f"{row['unknown']} {row['why']}", "sglang_rdma_device_map")
            severity = "" if name == IB_DEVICE else WARNING
            findings.add("facts.ambiguous", variable, text, f"set {variable} of this host", rank.host, severity=severity)


def _registration(contract: Contract, rank: Rank, findings: Findings) -> None:
    verdict = rank.told.verdict if rank.told and rank.instance.mode != "plain" else {}
    if verdict and verdict["ok"] is not True:
        fix = f"use {verdict['alternative'] or 'another backend: ' + ', '.join(contract.engine.backends)}"
        severity = "" if verdict["ok"] is False else WARNING
        findings.add("facts.registration", "sglang_transfer_backend", verdict["why"], fix, rank.host, severity=severity)


def _nccl(rank: Rank, findings: Findings) -> None:
    for row in rank.told.judged if rank.told else ():
        if row["ok"] is False or (row["ok"] is None and row["fix"]):
            findings.add(
                "facts.nccl", rank.written.get(row["name"], f"sglang_env.{row['name']}"), row["why"], row["fix"], rank.host,
                severity="" if row["ok"] is False else NOTE, place=rank.instance.name,
            )
