# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones as a table of nftables of our own, and the unit that loads it.

The table drops on the interfaces of its zones only, and touches no other table: a ruleset is never flushed. Accepting there does not undo
what another table drops.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Dict, List, Mapping, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Rule, Zone

FAMILY, TABLE = "inet", "railyard_sglang"
PATH = "/etc/railyard-sglang.nft"
UNIT = "railyard-firewall.service"
UNIT_PATH = f"/etc/systemd/system/{UNIT}"
LINK = f"/etc/systemd/system/sysinit.target.wants/{UNIT}"
MARK = "Made by railyard.sglang, module host_firewall: changes are lost."
DIGEST = re.compile(r"railyard ([0-9a-f]{16})")
DHCP = 'ip6 saddr fe80::/10 udp dport 546 accept comment "DHCPv6"'
WORD = {4: "ip", 6: "ip6"}
#: Of a rule set of several services, one after another: loaded after nftables.service, which flushes everything when it starts.
SERVICE = f"""\
# {MARK}
[Unit]
Description=What the plan of railyard.sglang lets in
Documentation=file:{PATH}
Wants=network-pre.target
Before=network-pre.target shutdown.target
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Conflicts=shutdown.target
DefaultDependencies=no

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {PATH}
ExecReload=/usr/sbin/nft -f {PATH}
ExecStop=/usr/sbin/nft delete table {FAMILY} {TABLE}

[Install]
WantedBy=sysinit.target
"""


def _set(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else "{ " + ", ".join(words) + " }"


def rule(row: Rule) -> str:
    """Return a rule."""
    parts = []
    if row.sources is not None:
        parts.append(f"{WORD[row.family]} saddr {_set(row.sources)}")
    if row.destination:
        parts.append(f"{WORD[row.family]} daddr {row.destination}")
    return " ".join([*parts, f'{row.protocol} dport {row.port} accept comment "{row.comment}"'])


def _chain(zone: Zone) -> List[str]:
    own = [DHCP] if zone.scope == "management" else []
    rows = [*own, *map(rule, zone.rules), "counter reject with icmpx admin-prohibited"]
    return [f"  chain {zone.scope} {{", *(f"    {row}" for row in rows), "  }", ""]


def text(zones: Mapping[str, Zone]) -> bytes:
    """Return the file. Loading it replaces the table in one step."""
    lines: List[str] = []
    for zone in zones.values():
        lines += _chain(zone)
    jumps = ["    iifname {} jump {}".format(_set([f'"{name}"' for name in zone.interfaces]), zone.scope) for zone in zones.values()]
    body = [
        *lines,
        "  chain input {",
        "    type filter hook input priority filter; policy accept;",
        '    iifname "lo" accept comment "railyard DIGEST"',
        "    ct state established,related accept",
        "    meta l4proto { icmp, ipv6-icmp } accept",
        *jumps,
        "  }",
    ]
    digest = hashlib.sha256("\n".join(body).encode()).hexdigest()[:16]
    head = [f"# {MARK}", f"table {FAMILY} {TABLE}", f"delete table {FAMILY} {TABLE}", "", f"table {FAMILY} {TABLE} {{"]
    return "\n".join([*head, *(line.replace("DIGEST", digest) for line in body), "}", ""]).encode()


def files(zones: Mapping[str, Zone]) -> Dict[str, bytes]:
    """Return the files by path."""
    return {PATH: text(zones), UNIT_PATH: SERVICE.encode()}


def own(content: bytes) -> bool:
    """Whether a file was made here."""
    return MARK.encode() in content


def ruleset(output: str) -> List[Any]:
    """Return the objects that C(nft -j list ruleset) lists.

    :raises ValueError: it is no such list.
    """
    data = json.loads(output)
    if not isinstance(data, dict) or not isinstance(data.get("nftables"), list):
        raise ValueError("no list of nftables")
    return list(data["nftables"])


def _ours(row: Mapping[str, Any]) -> bool:
    return row.get("family") == FAMILY and TABLE in (row.get("table"), row.get("name"))


def others(found: Sequence[Any]) -> List[Any]:
    """Return a ruleset without our table."""
    return [row for row in found if not any(isinstance(value, dict) and _ours(value) for value in row.values())]


def loaded(found: Sequence[Any], content: bytes) -> bool:
    """Whether the rules that are loaded are those of a file: its mark, and as many rules."""
    rules = [row["rule"] for row in found if "rule" in row and _ours(row["rule"])]
    digest = DIGEST.search(content.decode("utf-8", "replace"))
    marks = [match.group(1) for match in (DIGEST.search(str(row.get("comment", ""))) for row in rules) if match]
    lines = [line for line in content.decode("utf-8", "replace").splitlines() if line.startswith("    ") and "type filter hook" not in line]
    return bool(digest) and marks == [digest.group(1) if digest else ""] and len(rules) == len(lines)


def there(found: Sequence[Any]) -> bool:
    """Whether our table is loaded."""
    return any(_ours(row["table"]) for row in found if isinstance(row.get("table"), dict))
