# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From the module's parameters to what is wanted."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import checks, ports
from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning.wanted import (
    CLASS_MODULE,
    Limit,
    Port,
    Wanted,
    canonical,
    module_name,
    value_text,
)

#: Settings of rails of which more is stricter.
STRICTER = ("arp_ignore", "arp_announce")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


def _settings(params: Dict[str, Any], rails: List[Port]) -> Tuple[Dict[str, str], Dict[str, int]]:
    """Return exact and least values: those of the rails, then the operator's over them; a null takes a key out."""
    exact: Dict[str, str] = {}
    least = {canonical(key): int(value) for key, value in (params.get("sysctl_least") or {}).items()}
    for rail in rails if len(rails) > 1 else []:
        for key, value in (params.get("rail_sysctl") or {}).items():
            name = f"net.ipv4.conf.{rail.netdev.replace('.', '/')}.{key}"
            if key in STRICTER and value_text(value).isdigit():
                least[name] = int(value_text(value))
            elif value is not None:
                exact[name] = value_text(value)
    for key, value in (params.get("sysctl") or {}).items():
        least.pop(canonical(key), None)
        exact.pop(canonical(key), None)
        if value is not None:
            exact[canonical(key)] = value_text(value)
    return exact, least


def build(params: Dict[str, Any]) -> Tuple[Wanted, List[str]]:
    """Return what the module's parameters want, and what is wrong with them: variable, fault and fix."""
    link_layer = params.get("link_layer") or "Ethernet"
    rows = params.get("rails") or []
    rails = [Port(str(row.get("device")), int(row.get("port") or 1), str(row["netdev"])) for row in rows if row.get("netdev")]
    bad = [rail.name for rail in rails if not NAME.fullmatch(rail.device) or not NAME.fullmatch(rail.netdev)]
    if bad:
        return Wanted(), [f"rails: {', '.join(bad)}: no names of devices. Fix: run the plan again"]
    misshapen = checks.shapes(params)
    if misshapen:
        return Wanted(), misshapen
    given = params.get("traffic_class", -1)
    traffic_class = given if given >= 0 and link_layer == "Ethernet" else None
    modules = [module_name(name) for name in params.get("modules") or []]
    if traffic_class is not None and rails:
        modules.append(CLASS_MODULE)
    faults = []
    numbers: List[int] = []
    try:
        numbers = sorted(ports.numbers(",".join(str(item) for item in params.get("reserved_ports") or [])))
    except ValueError as error:
        faults.append(f"rdma_reserved_ports: {error}. Fix: numbers and ranges such as 15000-17000")
    exact, least = _settings(params, rails if link_layer == "Ethernet" else [])
    wanted = Wanted(
        modules=tuple(dict.fromkeys(modules)),
        sysctl=exact,
        least=least,
        reserved_ports=tuple(numbers),
        limits=tuple(Limit(str(row["domain"]), row["type"], row["item"], str(row["value"])) for row in params.get("limits") or []),
        udev_rules=tuple(params.get("udev_rules") or []),
        drop_ins={
            unit: {section: {key: str(value) for key, value in values.items()} for section, values in sections.items()}
            for unit, sections in (params.get("drop_ins") or {}).items()
        },
        default_memlock=str(params.get("default_memlock") or ""),
        rails=tuple(rails),
        trust=params.get("trust"),
        pfc=None if params.get("pfc") is None else tuple(sorted(params["pfc"])),
        priority=params.get("priority"),
        traffic_class=traffic_class,
    )
    return wanted, faults + checks.settings(wanted) + checks.lines(wanted) + checks.traffic(wanted, link_layer)
