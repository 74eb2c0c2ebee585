# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the proof asks of a host, from its slice of the plan."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping


def wanted(plan: Mapping[str, Any]) -> Dict[str, Any]:
    """Return which counters to read on a host, as C(evidence.snapshot) takes it."""
    rdma = plan.get("rdma") or {}
    firewall = plan.get("firewall") or {}
    return {
        "fabric_interface": plan.get("fabric_interface") or "",
        "fabric_address": plan.get("fabric_address") or "",
        "management_address": firewall.get("management_address") or "",
        "rdma": bool(rdma),
        "ports": list(rdma.get("ports") or []),
    }


def ports(plan: Mapping[str, Any]) -> List[Dict[str, Any]]:
    """Return the planned ports of a host's ranks and router, each with its unit."""
    parts = [*(plan.get("ranks") or []), *([plan["router"]] if plan.get("router") else [])]
    return [
        {"port": row["port"], "address": row["address"], "purpose": row["purpose"], "unit": part["unit"]}
        for part in parts
        for row in part["ports"]
    ]
