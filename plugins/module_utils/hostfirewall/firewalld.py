# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones as files of firewalld and as it lists them, and the operator's own files.

A reload keeps the entries that an ipset has at run time, so that a source that is gone would stay; each set is therefore named after
what it holds. It also keeps the interfaces where they are, whatever the files say.
"""

from __future__ import annotations

import hashlib
import re
from typing import Dict, List, Mapping, Optional, Sequence, Tuple
from xml.sax.saxutils import escape

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import NAMES, Rule, Runtime, Zone

DIRECTORY = "/etc/firewalld"
ZONES, IPSETS = f"{DIRECTORY}/zones", f"{DIRECTORY}/ipsets"
CONFIGURATION = f"{DIRECTORY}/firewalld.conf"
MARK = "Made by railyard.sglang, module host_firewall"
OWN_ZONES = {name: f"{ZONES}/{name}.xml" for name in NAMES.values()}
OWN_SET = re.compile(re.escape(IPSETS) + r"/railyard-[0-9a-f]{12}-[46]\.xml")
#: More sources than these are a set.
MOST_SOURCES = 8
TEXTS = {
    "fabric": "What the plan lets in on the network of engines and rails",
    "management": "What the plan lets in on the network of clients, monitoring and the controller",
}
INTERFACE = re.compile(r"""[ \t]*<interface\s+name=["']([^"']+)["']\s*(?:/>|>\s*</interface>)[ \t]*\n?""")
#: What a new system has open; it is not asked about.
USUAL = ("ssh", "dhcpv6-client", "cockpit", "mdns", "samba-client")


def set_name(sources: Sequence[str], family: int) -> str:
    """Return how a set of networks is called."""
    return f"railyard-{hashlib.sha256(' '.join(sources).encode()).hexdigest()[:12]}-{family}"


def _sources(rule: Rule) -> List[Tuple[str, str]]:
    """Return attribute and value of each source of a rule, one empty pair where it may come from anywhere."""
    if rule.sources is None:
        return [("", "")]
    if len(rule.sources) > MOST_SOURCES:
        return [("ipset", set_name(rule.sources, rule.family))]
    return [("address", text) for text in rule.sources]


def rich(zone: Zone) -> List[str]:
    """Return the rules of a zone as firewalld lists them."""
    found = []
    for rule in zone.rules:
        for attribute, value in _sources(rule):
            parts = ["rule", *([f'family="ipv{rule.family}"'] if rule.family else [])]
            parts += [f'source {attribute}="{value}"'] if attribute else []
            parts += [f'destination address="{rule.destination}"'] if rule.destination else []
            found.append(" ".join([*parts, f'port port="{rule.port}" protocol="{rule.protocol}" accept']))
    return found


def zone_xml(zone: Zone, bound: Sequence[str]) -> bytes:
    """Return a zone's file.

    :param bound: interfaces that the file binds; those of a profile of NetworkManager are bound by that.
    """
    lines = ['<?xml version="1.0" encoding="utf-8"?>', "<zone>", f"  <short>{zone.name}</short>"]
    lines.append(f"  <description>{MARK}: changes are lost. {TEXTS[zone.scope]}.</description>")
    lines += [f'  <interface name="{escape(name)}"/>' for name in bound]
    lines += ['  <service name="dhcpv6-client"/>'] if zone.scope == "management" else []
    for rule in zone.rules:
        lines.append(f"  <!-- {rule.comment} -->")
        for attribute, value in _sources(rule):
            lines.append(f'  <rule family="ipv{rule.family}">' if rule.family else "  <rule>")
            lines += [f'    <source {attribute}="{value}"/>'] if attribute else []
            lines += [f'    <destination address="{rule.destination}"/>'] if rule.destination else []
            lines += [f'    <port port="{rule.port}" protocol="{rule.protocol}"/>', "    <accept/>", "  </rule>"]
    return "\n".join([*lines, "</zone>", ""]).encode()


def set_xml(sources: Sequence[str], family: int) -> bytes:
    """Return the file of a set of networks."""
    lines = ['<?xml version="1.0" encoding="utf-8"?>', '<ipset type="hash:net">', f"  <description>{MARK}: changes are lost.</description>"]
    lines.append(f'  <option name="family" value="{"inet6" if family == 6 else "inet"}"/>')
    return "\n".join([*lines, *(f"  <entry>{text}</entry>" for text in sources), "</ipset>", ""]).encode()


def files(zones: Mapping[str, Zone], managed: Sequence[str]) -> Dict[str, bytes]:
    """Return the files of zones and of the sets that they name, by path.

    :param managed: interfaces that a profile of NetworkManager binds.
    """
    found = {}
    for zone in zones.values():
        found[OWN_ZONES[zone.name]] = zone_xml(zone, [name for name in zone.interfaces if name not in managed])
        for rule in zone.rules:
            if rule.sources is not None and len(rule.sources) > MOST_SOURCES:
                name = set_name(rule.sources, rule.family)
                found[f"{IPSETS}/{name}.xml"] = set_xml(rule.sources, rule.family)
    return found


def own(content: bytes) -> bool:
    """Whether a file was made here."""
    return MARK.encode() in content


def bound(content: bytes) -> List[str]:
    """Return the interfaces that a zone's file binds; those in comments are none."""
    return INTERFACE.findall(re.sub(r"<!--.*?-->", "", content.decode("utf-8", "replace"), flags=re.DOTALL))


def without(content: bytes, name: str) -> bytes:
    """Return a zone's file that does not bind an interface, and is the same otherwise."""
    text = content.decode("latin-1")
    for match in INTERFACE.finditer(text):
        if match.group(1) == name and text.count("<!--", 0, match.start()) == text.count("-->", 0, match.start()):
            return (text[: match.start()] + text[match.end() :]).encode("latin-1")
    return content


def binding(content: bytes, name: str) -> bytes:
    """Return a zone's file that binds an interface, too."""
    head, end, tail = content.rpartition(b"</zone>")
    return content if not end or name in bound(content) else head + f'  <interface name="{name}"/>\n'.encode() + end + tail


def default_zone(configuration: Optional[bytes]) -> str:
    """Return the zone of interfaces that are in none, by firewalld.conf."""
    match = re.search(r"^\s*DefaultZone\s*=\s*(\S+)", (configuration or b"").decode("utf-8", "replace"), re.MULTILINE)
    return match.group(1) if match else "public"


def _value(rows: List[str]) -> str:
    return " ".join(row.strip() for row in rows).strip()


def listed(output: str) -> Dict[str, Runtime]:
    """Return the zones that C(firewall-cmd --list-all-zones) lists, by name."""
    blocks: Dict[str, Dict[str, List[str]]] = {}
    keys: Dict[str, List[str]] = {}
    rows: List[str] = []
    for line in output.splitlines():
        if line and not line[0].isspace():
            keys = blocks.setdefault(line.split()[0], {})
        elif line.startswith("\t"):
            rows.append(line.strip())
        elif ":" in line:
            key, _colon, value = line.strip().partition(":")
            rows = keys.setdefault(key, [])
            rows += [value.strip()] if value.strip() else []
    return {name: _runtime(keys) for name, keys in blocks.items()}


#: Lines of a listing that open nothing, or have a place of their own.
APART = (
    "target", "interfaces", "sources", "rich rules", "ingress-priority", "egress-priority", "icmp-blocks", "icmp-block-inversion",
    "forward",
)


def _runtime(keys: Mapping[str, List[str]]) -> Runtime:
    opened = {key: _value(rows) for key, rows in keys.items() if key not in APART}
    return Runtime(
        target=_value(keys.get("target", [])) or "default",
        interfaces=tuple(_value(keys.get("interfaces", [])).split()),
        sources=tuple(_value(keys.get("sources", [])).split()),
        rich=tuple(sorted(keys.get("rich rules", []))),
        opened={key: value for key, value in opened.items() if value and value != "no"},
    )


def extras(zone: Runtime) -> List[str]:
    """Return what a zone lets in beyond what a new system has."""
    found = []
    for key, value in zone.opened.items():
        left = [word for word in value.split() if not (key == "services" and word in USUAL)]
        found += [f"{key} {' '.join(left)}"] if left else []
    found += [f"target {zone.target}"] if zone.target == "ACCEPT" else []
    return found + list(zone.rich)


def zone_of(runtime: Mapping[str, Runtime], name: str) -> str:
    """Return the zone in which an interface is, empty where it is in none and the default zone counts."""
    return next((zone for zone, row in runtime.items() if name in row.interfaces), "")
