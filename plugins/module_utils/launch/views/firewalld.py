# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flows as data for firewalld: ipsets of addresses, and rich rules by host as ansible.posix.firewalld takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any
from xml.sax.saxutils import escape

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.porttable import Flow, Group
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import filters

SCHEMA = 1
# The kernel's limit is 31 characters.
LONGEST = 31
INET = {4: "inet", 6: "inet6"}


def xml(row: Mapping[str, Any]) -> str:
    """Return an ipset as the file that firewalld keeps below /etc/firewalld/ipsets."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', f'<ipset type="{row["type"]}">']
    lines.append(f'  <option name="family" value="{row["family"]}"/>')
    lines += [f"  <entry>{escape(entry)}</entry>" for entry in row["entries"]]
    return "\n".join([*lines, "</ipset>", ""])


class _Rules:
    """Makes rich rules and the ipsets that they use."""

    def __init__(self, sources: Mapping[str, Mapping[int, list[str]]]) -> None:
        self.sources = sources
        self.names = filters.Names("-", LONGEST - len("sglang--4"))
        self.sets: dict[str, dict[str, Any]] = {}

    def ipset(self, source: str, family: int) -> str:
        """Return the name of a group's ipset."""
        name = f"sglang-{self.names.of(source)}-{family}"
        if name not in self.sets:
            kind = "hash:net" if source in porttable.OUTSIDE else "hash:ip"
            self.sets[name] = {"name": name, "type": kind, "family": INET[family], "entries": self.sources[source][family]}
        return name

    def of(self, flow: Flow) -> list[tuple[str, str]]:
        """Return rules with the ipset that each needs, empty for none."""
        port = f'port port="{flow.port}" protocol="{flow.protocol}" accept'
        anywhere = filters.anywhere(flow.source, self.sources)
        if anywhere and not flow.address:
            return [(f"rule {port}", "")]
        rows = []
        for family in filters.FAMILIES:
            if flow.address and filters.family(flow.address) != family:
                continue
            if not anywhere and flow.source not in porttable.OUTSIDE and not self.sources[flow.source][family]:
                continue
            name = "" if anywhere else self.ipset(flow.source, family)
            parts = [f'rule family="ipv{family}"']
            if name:
                parts.append(f'source ipset="{name}"')
            if flow.address:
                parts.append(f'destination address="{flow.address}"')
            rows.append((" ".join([*parts, port]), name))
        return rows


def _flow(flow: Flow) -> dict[str, str]:
    keys = ("source", "address", "protocol", "port", "purpose", "why", "needed")
    return {key: getattr(flow, key) for key in keys}


def data(found: list[Flow], groups: Mapping[str, Group], outside: Mapping[str, Iterable[str]], zone: str = "public") -> dict[str, Any]:
    """Return the flows by host, the groups that they name, ipsets, and rich rules by host.

    :param outside: networks of C(clients), C(monitoring) and C(controllers).
    :param zone: zone of the interfaces on which the processes are reached.
    """
    rules, hosts = _Rules(filters.sources(groups, outside)), {}
    rows = porttable.by_host(found)
    for host, own in rows.items():
        if host:
            made = dict.fromkeys(pair for flow in own for pair in rules.of(flow))
            hosts[host] = {
                "flows": [_flow(flow) for flow in own],
                "ipsets": sorted({name for _rule, name in made if name}),
                "rich_rules": [
                    {"zone": zone, "rich_rule": rule, "permanent": True, "immediate": True, "state": "enabled"} for rule, _name in made
                ],
            }
    return {
        "schema": SCHEMA,
        "groups": {name: {"hosts": group.hosts, "addresses": group.addresses} for name, group in groups.items()},
        "outside": {name: list(outside.get(name, ())) for name in porttable.OUTSIDE if name != porttable.RAILS},
        "hosts": hosts,
        "workers_elsewhere": [_flow(flow) for flow in rows.get("", [])],
        "ipsets": [{**row, "xml": xml(row)} for row in rules.sets.values()],
    }
