# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen on the hosts allows what is planned, and is what the inventory says."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.consumers import IB_DEVICE, TRAFFIC_CLASS
from ansible_collections.railyard.sglang.plugins.module_utils.launch import environment
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import NOTE, WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.looked import Look
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

DEVICES = "sglang_rdma_devices"
VARIABLE = re.compile(r"\bsglang_[a-z_]+\b")
AFFINITY = "MC_ENABLE_DEST_DEVICE_AFFINITY"
NO_GID = "no RoCE v2 GID"


def check(contract: Contract, findings: Findings) -> None:
    """Judge every host that was looked at, and what its ranks are told."""
    engines = dict.fromkeys(rank.host for rank in contract.ranks)
    for host in engines:
        look = contract.cluster.looks.get(host)
        if look is not None:
            _devices(host, look, findings)
            _gid_index(host, look, contract.cluster.hosts[host]["sglang_gid_index"], findings)
    _rail_names(contract, findings)
    for rank in contract.ranks:
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
        findings.add("facts.contradiction", _blamed(text), text, "correct the variable, or repair the host", host)
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
            findings.add("facts.no-gid", DEVICES, text, "give the interface its address again; a DHCP client may have taken it", host)
        elif not any(key.partition(":")[0] in text for key in selection["missing"]):
            findings.add("facts.devices", _blamed(text), text, "repair the host, or name the data devices", host)


def _gid_index(host: str, look: Look, written: int, findings: Findings) -> None:
    wrong = {key: index for key, index in look.selection["gid_indexes"].items() if index is not None and index != written}
    if written >= 0 and wrong:
        shown = ", ".join(f"{key} {index}" for key, index in wrong.items())
        findings.add(
            "facts.gid-index", "sglang_gid_index", f"{written} is not the RoCE v2 GID of the port's own address ({shown})",
            "leave it out: the plan takes what the host shows", host,
        )


def _rail_names(contract: Contract, findings: Findings) -> None:
    """Compare the names of the rails where a NIC talks to the one of its own name only."""
    bound = [rank.host for rank in contract.ranks if rank.told is not None and AFFINITY in rank.environment]
    rails = {host: [row["device"] for row in contract.cluster.looks[host].selection["rails"]] for host in bound}
    first = next(iter(rails), "")
    for host, names in rails.items():
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
        elif not contract.cluster.looks[rank.host].selection["ambiguous"] and NO_GID[3:] not in row["unknown"]:
            variable = _blamed(f"{row['unknown']} {row['why']}", "sglang_rdma_device_map")
            severity = "" if name == IB_DEVICE else WARNING
            findings.add("facts.ambiguous", variable, text, f"set {variable} of this host", rank.host, severity=severity)


def _registration(contract: Contract, rank: Rank, findings: Findings) -> None:
    verdict = rank.told.verdict if rank.told else {}
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
