# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ports that are drawn at run time, and ports that a unit may not have.

Sources: Mooncake transfer_metadata_plugin.cpp findAvailableTcpPort and config.cpp, v0.3.8.post1 and v0.3.12.post1; sglang 0.5.8
utils/common.py get_open_port.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import ports
from ansible_collections.railyard.sglang.plugins.module_utils.launch.catalogue import WARNING
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import HIGHEST_PORT
from ansible_collections.railyard.sglang.plugins.module_utils.launch.ranks import Rank
from ansible_collections.railyard.sglang.plugins.module_utils.launch.texts import number
from ansible_collections.railyard.sglang.plugins.module_utils.launch.view import Contract

FIRST_FREE = 1024
# sglang takes the first free port from SGLANG_PORT on; a host's ranks take far fewer.
SGLANG_REACH = 100
# Ports that are open only where they are written.
OPTIONAL = ("grpc-port", "gated-launch-port", "smg-http-sidecar-port", "engine-info-bootstrap-port", "encoder-bootstrap-port")
Range = tuple[int, int]


def check(contract: Contract, findings: Findings) -> None:
    """Report ports that a process cannot have, or that another one may take first."""
    rows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for rank in contract.ranks:
        rows[rank.host] += ports.rank(rank.instance, rank.number, contract.cluster, contract.engine)
    for router in contract.routers:
        rows[router["host"]] += router["ports"]
    for host, own in rows.items():
        _privileged(host, own, findings)
    needed: dict[str, int] = defaultdict(int)
    for rank in contract.ranks:
        needed[rank.host] += rank.instance.gpus_per_host * (2 if "MC_FORCE_TCP" in rank.environment else 1)
    for rank in contract.ranks:
        if rank.instance.mode != "plain" and str(contract.value(rank, "disaggregation-transfer-backend")).startswith("mooncake"):
            _mooncake(rank, rows[rank.host], needed[rank.host], findings)
        _sglang(rank, rows[rank.host], findings)
        _optional(contract, rank, rows[rank.host], findings)


def _privileged(host: str, rows: list[dict[str, Any]], findings: Findings) -> None:
    for row in rows:
        if row["port"] < FIRST_FREE:
            findings.add(
                "port.privileged", row["variable"],
                f"port {row['port']} ({row['purpose']}) is for root, and the units run as users of their own",
                f"choose a port from {FIRST_FREE} on", host,
            )


def mooncake_ranges(environment: Mapping[str, str]) -> list[Range]:
    """Return the ranges that Mooncake may draw from: before 0.3.11 it reads the first spelling only, later the second one first."""
    def first(default: int, *names: str) -> int:
        return next((given for name in names if (given := number(environment.get(name, ""))) is not None), default)

    low, high = ports.MOONCAKE
    old = (first(low, "MC_MIN_PRC_PORT"), first(high, "MC_MAX_PRC_PORT"))
    new = (first(low, "MC_MIN_RPC_PORT", "MC_MIN_PRC_PORT"), first(high, "MC_MAX_RPC_PORT", "MC_MAX_PRC_PORT"))
    return list(dict.fromkeys([old, new]))


def _mooncake(rank: Rank, rows: list[dict[str, Any]], needed: int, findings: Findings) -> None:
    names = ("MC_MIN_PRC_PORT", "MC_MAX_PRC_PORT", "MC_MIN_RPC_PORT", "MC_MAX_RPC_PORT")
    variable = next((rank.written[name] for name in names if name in rank.written), "sglang_env.MC_MIN_PRC_PORT")
    for low, high in mooncake_ranges(rank.environment):
        if high - low + 1 < needed:
            findings.add(
                "port.mooncake-range", variable,
                f"Mooncake's range {low}-{high} has {max(high - low + 1, 0)} ports, and the ranks of this host take {needed}",
                'set sglang_env: {MC_MIN_PRC_PORT: "15000", MC_MAX_PRC_PORT: "17000"}, or leave both out', rank.host,
            )
        elif high > HIGHEST_PORT:
            findings.add(
                "port.number", variable, f"Mooncake's range {low}-{high} goes beyond {HIGHEST_PORT}", "choose a range from 1024 to 32767",
                rank.host,
            )
        elif low < FIRST_FREE or (low <= ports.EPHEMERAL[1] and high >= ports.EPHEMERAL[0]):
            findings.add(
                "port.mooncake-range", variable,
                f"Mooncake's range {low}-{high} meets ports for root or the ephemeral range {ports.EPHEMERAL[0]}-{ports.EPHEMERAL[1]}: "
                "Mooncake 0.3.12 ignores it and takes 15000-17000, an earlier one meets the ports of other connections",
                "choose a range from 1024 to 32767", rank.host, severity=WARNING,
            )
        for row in rows:
            if low <= row["port"] <= high:
                findings.add(
                    "port.range", row["variable"], f"port {row['port']} ({row['purpose']}) lies in the Mooncake range {low}-{high}",
                    "choose a port outside of it: another process may hold it at any start", rank.host,
                )


def _sglang(rank: Rank, rows: list[dict[str, Any]], findings: Findings) -> None:
    first = number(rank.environment.get("SGLANG_PORT", "")) or 0
    near = [row for row in rows if first and first <= row["port"] < first + SGLANG_REACH]
    if near:
        shown = ", ".join(f"{row['port']} ({row['purpose']})" for row in near)
        findings.add(
            "port.sglang-port", rank.written.get("SGLANG_PORT", "sglang_env.SGLANG_PORT"),
            f"sglang takes the first free ports from {first} on, and {shown} may be among them before their owner starts",
            f"set SGLANG_PORT so that no fixed port lies within {SGLANG_REACH} above it, for example 20000", rank.host,
        )


def _optional(contract: Contract, rank: Rank, rows: list[dict[str, Any]], findings: Findings) -> None:
    for spelling in OPTIONAL:
        option = contract.table.find(spelling)
        number = rank.arguments.get(option.dest) if option is not None else None
        if isinstance(number, int) and number > HIGHEST_PORT:
            findings.add(
                "port.number", contract.variable(rank, spelling), f"{number} is not from 1 to {HIGHEST_PORT}", "write the number of a port",
                rank.host,
            )
        for row in rows:
            if number == row["port"]:
                findings.add(
                    "port.twice", contract.variable(rank, spelling), f"port {number} is both {row['purpose']} and --{spelling}",
                    f"change {spelling} or {row['variable']}", rank.host,
                )
