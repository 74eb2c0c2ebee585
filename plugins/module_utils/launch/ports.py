# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every port that a planned process listens on, and the rule that none is used twice.

Source of the list: sglang 0.5.8 server_args.PortArgs, disaggregation/common/conn.py; sglang-router 0.3.2 router_args.
"""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.launch.findings import Findings

# Linux' default net.ipv4.ip_local_port_range; preflight compares the host's own.
EPHEMERAL = (32768, 60999)
# Mooncake picks one port per rank in this range (MC_MIN_PRC_PORT and MC_MAX_PRC_PORT, its own spelling).
MOONCAKE = (15000, 17000)


def port(number: int, address: str, purpose: str, variable: str) -> dict[str, Any]:
    """Return one row of the port table: a TCP port, the address it is bound to and what it is for."""
    return {"port": number, "address": address, "purpose": purpose, "variable": variable}


def check(host: str, rows: list[dict[str, Any]], findings: Findings) -> None:
    """Report ports of one host that clash with each other or with a range that others draw from."""
    seen: dict[int, dict[str, Any]] = {}
    for row in rows:
        number = row["port"]
        if number in seen:
            findings.add(
                "port.twice", row["variable"], f"port {number} is both {seen[number]['purpose']} and {row['purpose']}",
                f"change {row['variable']} or {seen[number]['variable']}", host,
            )
        seen.setdefault(number, row)
        for name, (low, high) in (("ephemeral", EPHEMERAL), ("Mooncake", MOONCAKE)):
            if low <= number <= high:
                findings.add(
                    "port.range", row["variable"], f"port {number} ({row['purpose']}) lies in the {name} range {low}-{high}",
                    "choose a port outside of it: another process may hold it at any start", host,
                )
