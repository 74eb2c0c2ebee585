# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of the module to what is wanted, with everything that is wrong with them at once."""

from __future__ import annotations

import ipaddress
import re
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import RAILS, VARIABLES, Flow, Wanted

PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
HIGHEST_PORT = 65535
#: Without networks given, these come from anywhere: a filter that shuts out the controller or all clients is of no use.
OPEN = ("clients", "controllers", RAILS)


def _networks(given: Iterable[Any], variable: str, faults: List[str]) -> Tuple[str, ...]:
    found = []
    for text in map(str, given):
        try:
            found.append(str(ipaddress.ip_network(text, strict=False)))
        except ValueError:
            faults.append(f"{variable}: {text!r} is neither an address nor a network. Fix: write 192.0.2.7 or 192.0.2.0/24")
    return tuple(dict.fromkeys(_short(found)))


def _short(networks: Iterable[str]) -> Tuple[str, ...]:
    """Return networks, those of a single address as that: firewalld lists them so."""
    return tuple(text[: text.index("/")] if text.endswith(("/128" if ":" in text else "/32",)) else text for text in networks)


def _ports(text: str, variable: str, faults: List[str]) -> str:
    match = PORTS.fullmatch(text)
    rows = [int(part) for part in match.groups() if part] if match else []
    if not rows or not all(1 <= number <= HIGHEST_PORT for number in rows) or rows != sorted(rows):
        faults.append(f"{variable}: {text!r} is no port. Fix: write 9100 or 9100-9110, from 1 to {HIGHEST_PORT}")
    return text


def planned(given: Mapping[str, Any], outside: Mapping[str, Tuple[str, ...]]) -> List[Flow]:
    """Return the flows of a slice, with the networks of their sources."""
    found = []
    for row in given.get("flows") or []:
        name = str(row["source"])
        sources: Optional[Tuple[str, ...]] = _short(given["sources"][name]) if name in given["sources"] else outside.get(name, ())
        if name in OPEN and not sources:
            sources = None
        found.append(Flow(row["scope"], row["address"], row["protocol"], str(row["port"]), row["purpose"], sources, name, row["needed"]))
    return found


def _interfaces(plan: Mapping[str, Any]) -> List[str]:
    rails = ((plan.get("rdma") or {}).get("rails") or []) if (plan.get("rdma") or {}).get("link_layer") != "InfiniBand" else []
    names = [plan.get("fabric_interface"), *(row.get("netdev") for row in rails)]
    return [str(name) for name in dict.fromkeys(names) if name]


def _also(rows: Iterable[Mapping[str, Any]], faults: List[str]) -> List[Flow]:
    variable = "network_firewall_also"
    return [
        Flow(
            row["scope"], "", row["protocol"], _ports(str(row["port"]), f"{variable}[{number}].port", faults), row["purpose"],
            _networks(row["sources"] or [], f"{variable}[{number}].sources", faults) or None, variable,
        )
        for number, row in enumerate(rows)
    ]


def build(params: Dict[str, Any]) -> Tuple[Wanted, List[str]]:
    """Return what is wanted, and what is wrong with it: variable, fault, fix.

    :param params: of the module.
    """
    if params["state"] == "absent":
        return Wanted(present=False, provider=params["provider"]), []
    faults: List[str] = []
    plan = params["plan"] or {}
    given = plan.get("firewall") or {}
    if not given:
        faults.append("network_firewall: the plan says nothing of this host. Fix: run site.yml without --skip-tags always")
        return Wanted(), faults
    outside = {name: _networks(params[name], variable, faults) for name, variable in VARIABLES.items()}
    flows = planned(given, outside)
    peers = given["peers"]
    for text in map(str, params["fabric_test_ports"]) if peers else ():
        ports = _ports(text, "network_firewall_fabric_test", faults)
        flows.append(Flow("fabric", "", "tcp", ports, "fabric test", _short(given["sources"][peers]), peers, "feature"))
    flows += _also(params["also"], faults)
    wanted = Wanted(
        provider=params["provider"],
        # What nobody may reach opens nothing: metrics without networks that read them.
        flows=tuple(flow for flow in flows if flow.sources is None or flow.sources),
        fabric_interfaces=tuple(_interfaces(plan)),
        addresses=tuple(dict.fromkeys([*filter(None, [plan.get("fabric_address")]), *(plan.get("addresses") or {})])),
        management_address=str(given["management_address"]),
        controllers=outside["controllers"],
        take=params["take"],
    )
    return wanted, faults
