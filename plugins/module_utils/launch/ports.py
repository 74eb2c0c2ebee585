# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every port that a planned process listens on, and the rule that none is used twice.

Source of the list: sglang 0.5.8 server_args.PortArgs, disaggregation/common/conn.py; sglang-router 0.3.2 router_args.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch import hosts
from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings
from ansible_collections.railyard.sglang.plugins.module_utils.launch.inputs import Cluster
from ansible_collections.railyard.sglang.plugins.module_utils.launch.instance import Instance
from ansible_collections.railyard.sglang.plugins.module_utils.launch.keys import HIGHEST_PORT
from ansible_collections.railyard.sglang.plugins.module_utils.launch.stacks import EngineStack

# Linux' default net.ipv4.ip_local_port_range; preflight compares the host's own.
EPHEMERAL = (32768, 60999)
# Mooncake picks one port per rank in this range (MC_MIN_PRC_PORT and MC_MAX_PRC_PORT, its own spelling).
MOONCAKE = (15000, 17000)


def port(number: int, address: str, purpose: str, variable: str) -> dict[str, Any]:
    """Return one row of the port table: a TCP port, the address it is bound to and what it is for."""
    return {"port": number, "address": address, "purpose": purpose, "variable": variable}


# Above the rendezvous port, with DP attention (sglang 0.5.8 server_args.PortArgs; 0.5.23 adds the load collector).
DP_PORTS = {1: "tokenizer", 2: "detokenizer", 3: "RPC", 4: "scheduler metrics", 5: "scheduler input", 13: "DP handshake"}
LOAD_COLLECTOR = 6


def rank(instance: Instance, number: int, cluster: Cluster, stack: EngineStack) -> list[dict[str, Any]]:
    """Return the fixed ports of one rank."""
    host = instance.hosts[number]
    own = hosts.bind(cluster, host)
    rows = [port(instance.port, own, "rank health" if number else "API", instance.port_variable("port"))]
    if number:
        return rows
    if instance.mode == "prefill":
        rows.append(port(instance.bootstrap_port, own, "KV bootstrap", instance.port_variable("bootstrap_port")))
    meeting = instance.dist_init_port
    where = hosts.dist_init(cluster, host) if instance.meets else "127.0.0.1"
    variable = instance.port_variable("dist_init_port")
    if instance.meets or instance.sizes.dp == 1:
        rows.append(port(meeting, where, "rendezvous", variable))
    if instance.sizes.dp_attention:
        numbers = dict(DP_PORTS) | ({LOAD_COLLECTOR: "load collector"} if stack.version != "0.5.8" else {})
        rows += [port(meeting + step, where, what, variable) for step, what in sorted(numbers.items())]
    return rows


def check(host: str, rows: list[dict[str, Any]], findings: Findings) -> None:
    """Report ports of one host that clash with each other or with the ephemeral range; Mooncake's is a matter of the contract."""
    seen: dict[int, dict[str, Any]] = {}
    for row in rows:
        number = row["port"]
        if number in seen:
            findings.add(
                "port.twice", row["variable"], f"port {number} is both {seen[number]['purpose']} and {row['purpose']}",
                f"change {row['variable']} or {seen[number]['variable']}", host,
            )
        seen.setdefault(number, row)
        if not 1 <= number <= HIGHEST_PORT:
            findings.add(
                "port.number", row["variable"], f"port {number} ({row['purpose']}) is not from 1 to {HIGHEST_PORT}",
                "start lower: instances that share a host count on from this port, and DP attention takes 13 more above a rendezvous port",
                host,
            )
        low, high = EPHEMERAL
        if low <= number <= high:
            findings.add(
                "port.range", row["variable"], f"port {number} ({row['purpose']}) lies in the ephemeral range {low}-{high}",
                "choose a port outside of it: another process may hold it at any start", host,
            )
