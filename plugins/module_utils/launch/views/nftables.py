# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The flows as a file for nft: sets of addresses and one chain of accept rules, the same for every host.

Each rule names the destination, so a host that loads the file lets in what is meant for itself. Nothing is dropped and no hook is taken:
the host's own rules jump to the chain.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ansible_collections.railyard.sglang.plugins.module_utils.launch import porttable
from ansible_collections.railyard.sglang.plugins.module_utils.launch.porttable import Flow, Group
from ansible_collections.railyard.sglang.plugins.module_utils.launch.views import filters

TABLE = "inet railyard_sglang"
ADDRESS = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}
HEAD = """\
# What the processes of the plan must be reached on. Made by playbooks/plan.yml: change the inventory, not this file.
# The same file serves every host. Loading it drops nothing and hooks nothing; a rule set of yours uses it so:
#   table inet railyard_sglang {
#     chain input {
#       type filter hook input priority filter; policy drop;
#       iif lo accept
#       ct state established,related accept
#       jump flows
#     }
#   }
# Check it with: nft -c -f firewall.nft
"""


class _Sets:
    """Collects sets and the rules that use them."""

    def __init__(self, sources: Mapping[str, Mapping[int, list[str]]]) -> None:
        self.sources = sources
        self.names = filters.Names("_", 60)
        self.sets: dict[str, tuple[str, dict[str, None]]] = {}
        self.rules: dict[str, None] = {}

    def put(self, name: str, kind: str, elements: Iterable[str]) -> str:
        """Add elements to a set and return its name."""
        _kind, held = self.sets.setdefault(name, (kind, {}))
        held.update(dict.fromkeys(elements))
        return name

    def source(self, name: str, family: int) -> str:
        """Return the set of a group's addresses."""
        return self.put(f"from_{self.names.of(name)}_v{family}", ADDRESS[family][1], self.sources[name][family])

    def add(self, flow: Flow, within: bool) -> None:
        """Add the rules of a flow, one per address family."""
        what = filters.plain(f"{flow.source}: {flow.purpose}")
        anywhere = filters.anywhere(flow.source, self.sources)
        match = f"{flow.protocol} dport"
        if not flow.address and anywhere:
            self.rules[f'{match} {flow.port} accept comment "{what}"'] = None
            return
        for family, (word, kind) in ADDRESS.items():
            if flow.address and filters.family(flow.address) != family:
                continue
            if within:
                name = f"within_{self.names.of(flow.cluster)}_v{family}"
                pairs = [f"{source} . {flow.address} . {flow.port}" for source in self.sources[flow.source][family]]
                self.put(name, f"{kind} . {kind} . inet_service", pairs)
                what = filters.plain(f"{flow.cluster}: within instances")
                self.rules[f'{word} saddr . {word} daddr . {match} @{name} accept comment "{what}"'] = None
                continue
            outside = flow.source in porttable.OUTSIDE
            if not anywhere and not outside and not self.sources[flow.source][family]:
                continue
            start = "" if anywhere else f"{word} saddr @{self.source(flow.source, family)} "
            to = ""
            if flow.address and "-" in flow.port:
                # Ranges of several instances on one host may overlap, which a set of concatenations refuses.
                name = self.names.of(f"{flow.source} {flow.purpose} {flow.port}")
                to = f"{word} daddr @{self.put(f'to_{name}_v{family}', kind, [flow.address])} "
            if flow.address and not to:
                name = f"to_{self.names.of(f'{flow.source} {flow.purpose}')}_v{family}"
                self.put(name, f"{kind} . inet_service", [f"{flow.address} . {flow.port}"])
                self.rules[f'{start}{word} daddr . {match} @{name} accept comment "{what}"'] = None
            else:
                self.rules[f'{start}{to}{match} {flow.port} accept comment "{what}"'] = None


def _set(name: str, kind: str, elements: Iterable[str]) -> list[str]:
    rows = list(elements)
    # Networks and port ranges are intervals; an empty set is for the operator to fill with either.
    interval = not rows or any("/" in row or "-" in row for row in rows)
    lines = [f"  set {name} {{", f"    type {kind}"]
    if interval:
        lines.append("    flags interval")
    if interval and " . " not in kind:
        lines.append("    auto-merge")
    if rows:
        lines += ["    elements = {", *(f"      {row}," for row in rows[:-1]), f"      {rows[-1]}", "    }"]
    return [*lines, "  }"]


def text(found: list[Flow], groups: Mapping[str, Group], outside: Mapping[str, Iterable[str]]) -> str:
    """Return the file.

    :param outside: networks of C(clients), C(monitoring) and C(controllers). Without them clients and controllers may come from anywhere,
        and monitoring from nowhere.
    """
    sets = _Sets(filters.sources(groups, outside))
    within = {name for name in groups if "/" in name}
    for flow in found:
        if flow.host:
            sets.add(flow, flow.source in within and bool(flow.address))
    lines = [HEAD, f"table {TABLE} {{", "}", f"delete table {TABLE}", "", f"table {TABLE} {{"]
    for name, (kind, elements) in sets.sets.items():
        lines += [*_set(name, kind, elements), ""]
    return "\n".join([*lines, "  chain flows {", *(f"    {rule}" for rule in sets.rules), "  }", "}", ""])
