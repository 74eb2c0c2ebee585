# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What interfaces carry: addresses, routes, rules, NetworkManager's profiles, firewalld's zones; and what is lacking of it afterwards."""

from __future__ import annotations

import re
import socket
import struct
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.netlink import Netlink, attributes
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import rtnl
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Device, Manager, Runner, difference

FAMILIES = ("4", "6")
PERMANENT, NO_PREFIX_ROUTE = 0x80, 0x200
IFA_LABEL, IFA_BROADCAST, IFA_FLAGS, IFA_PRIORITY, IFA_PROTO = 3, 4, 8, 9, 11
SCOPES = {0: "global", 253: "link", 254: "host"}
#: Words of a route that tell its state, not what it is; each with the number of words that follow.
STATES = {"linkdown": 0, "dead": 0, "pervasive": 0, "offload": 0, "trap": 0, "expires": 1, "nhid": 1, "pref": 1, "error": 1, "cache": 0}
PORT_WORDS = ("dev", "iif", "oif")
#: Routes that the kernel, a router's announcement or a routing daemon brings, each in its own time.
OF_OTHERS = re.compile(r"\b(?:table local|proto (?:ra|redirect|babel|bgp|bird|eigrp|gated|isis|keepalived|mrt|openr|ospf|rip|zebra))\b")


@dataclass
class Situation:
    """What a set of interfaces carries. A JSON object on the host while a transaction is open.

    :ivar addresses: interface to its permanent addresses with prefix length.
    :ivar words: interface to such an address to the words with which C(ip address add) brings it as it was, in the kernel's order.
    :ivar passing: interface to addresses that come and go by themselves (DHCP, SLAAC), or that a daemon has marked as its own.
    :ivar announced: interface to the prefixes that a router announces.
    :ivar routes: family (4, 6) to routes as C(ip) shows and takes them.
    :ivar rules: family to routing rules that name an interface.
    :ivar devices: interface to state and profile of NetworkManager.
    :ivar zones: zone of firewalld to its interfaces.
    :ivar primaries: bond to its primary port.
    :ivar mtus: interface to its MTU.
    """

    addresses: Dict[str, List[str]] = field(default_factory=dict)
    words: Dict[str, Dict[str, List[str]]] = field(default_factory=dict)
    passing: Dict[str, List[str]] = field(default_factory=dict)
    announced: Dict[str, List[str]] = field(default_factory=dict)
    routes: Dict[str, List[str]] = field(default_factory=dict)
    rules: Dict[str, List[str]] = field(default_factory=dict)
    devices: Dict[str, Device] = field(default_factory=dict)
    zones: Dict[str, List[str]] = field(default_factory=dict)
    primaries: Dict[str, str] = field(default_factory=dict)
    mtus: Dict[str, int] = field(default_factory=dict)

    def plain(self) -> Dict[str, Any]:
        """Return it as data for JSON."""
        return asdict(self)

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> Situation:
        """Return it from such data."""
        values = dict(data)
        values["devices"] = {name: Device(**row) for name, row in values.get("devices", {}).items()}
        return cls(**values)


@dataclass(frozen=True)
class Address:
    """An address of an interface.

    :ivar row: address with prefix length.
    :ivar words: with which C(ip address add) brings it as it is.
    :ivar permanent: whether it stays until somebody takes it away.
    :ivar passing: whether it comes and goes by itself, or a daemon has marked it as its own.
    """

    name: str
    row: str
    words: Tuple[str, ...]
    permanent: bool
    passing: bool


def _address(body: bytes, names: Mapping[int, str]) -> Optional[Address]:
    family, prefix, flags, scope, index = struct.unpack_from("=BBBBI", body)
    values = dict(attributes(body[8:]))
    number = {kind: struct.unpack("=I", values[kind])[0] for kind in (IFA_FLAGS, IFA_PRIORITY) if len(values.get(kind, b"")) == 4}
    marks = number.get(IFA_FLAGS, flags)
    other = values.get(netlink.IFA_ADDRESS) or b""
    own = values.get(netlink.IFA_LOCAL) or other
    if index not in names or (family, len(own)) not in ((socket.AF_INET, 4), (socket.AF_INET6, 16)):
        return None
    own_text, label = socket.inet_ntop(family, own), netlink.text(values.get(IFA_LABEL)) or names[index]
    row = f"{own_text}/{prefix}"
    words = [row] if other in (b"", own) else [own_text, "peer", f"{socket.inet_ntop(family, other)}/{prefix}"]
    if len(values.get(IFA_BROADCAST, b"")) == 4:
        words += ["broadcast", socket.inet_ntop(family, values[IFA_BROADCAST])]
    words += ["label", label] if label != names[index] else []
    words += ["scope", SCOPES[scope]] if scope and scope in SCOPES and family == socket.AF_INET else []
    words += ["metric", str(number[IFA_PRIORITY])] if number.get(IFA_PRIORITY) else []
    words += ["noprefixroute"] if marks & NO_PREFIX_ROUTE else []
    # Nobody else has taken it in the moment for which it was gone.
    words += ["nodad"] if family == socket.AF_INET6 else []
    permanent = bool(marks & PERMANENT)
    return Address(names[index], row, tuple(words), permanent, not permanent or any(values.get(IFA_PROTO, b"")))


def parse_addresses(bodies: Iterable[bytes], names: Mapping[int, str]) -> List[Address]:
    """Return the addresses of some interfaces, from the answers to RTM_GETADDR, in the kernel's order."""
    rows = [_address(body, names) for body in bodies if len(body) >= 8]
    return [row for row in rows if row is not None]


def addresses(names: Mapping[int, str]) -> List[Address]:
    """Return the addresses of some interfaces.

    :param names: index to name of the interfaces to look at.
    """
    with Netlink(netlink.NETLINK_ROUTE) as connection:
        return parse_addresses(connection.ask(netlink.RTM_GETADDR, struct.pack("=BBBBI", 0, 0, 0, 0, 0)), names)


def canonical(line: str) -> str:
    """Return a route without what tells its state."""
    words, kept = line.replace("\\", " ").split(), []
    while words:
        word = words.pop(0)
        if word in STATES:
            del words[: STATES[word]]
        else:
            kept.append(word)
    return " ".join(kept)


def named(line: str, names: Iterable[str]) -> bool:
    """Whether a route or rule goes by one of some interfaces."""
    words, wanted = line.split(), set(names)
    return any(word in PORT_WORDS and following in wanted for word, following in zip(words, words[1:]))


def moved(line: str, names: Mapping[str, str]) -> str:
    """Return a route or rule with other names of interfaces."""
    words = line.split(" ")
    return " ".join(names.get(word, word) if number and words[number - 1] in PORT_WORDS else word for number, word in enumerate(words))


def parted(row: str) -> List[str]:
    """Return the routes that a route of several next hops consists of: IPv6 makes one of single ones with the same metric."""
    head, *hops = row.split(" nexthop ")
    ends = [hop[: -len(" weight 1")] for hop in hops if hop.endswith(" weight 1")]
    target, _space, rest = head.partition(" ")
    return [f"{target} {end} {rest}".rstrip() for end in ends] if hops and len(ends) == len(hops) else [row]


def routes(output: str, names: Iterable[str], split: bool = False) -> List[str]:
    """Return the routes by some interfaces, of C(ip -o route show table all), without those that come of addresses by themselves.

    :param split: whether one of several next hops is as many routes.
    """
    wanted = list(names)
    rows = [part for line in output.splitlines() for part in (parted(canonical(line)) if split else [canonical(line)])]
    return sorted(row for row in rows if named(row, wanted) and not OF_OTHERS.search(row))


def announced(output: str, names: Iterable[str]) -> Dict[str, List[str]]:
    """Return interface to the prefixes that routers announce there, of C(ip -o -6 route show table all)."""
    found: Dict[str, List[str]] = {}
    for line in output.splitlines():
        words = line.split()
        if re.search(r"\bproto ra\b", line) and "/" in words[0]:
            for name in names:
                if named(line, [name]):
                    found.setdefault(name, []).append(words[0])
    return found


def rules(output: str, names: Iterable[str]) -> List[str]:
    """Return the rules that name some interfaces, of C(ip -o rule), as C(ip rule add) takes them."""
    wanted, found = list(names), []
    for line in output.splitlines():
        priority, _colon, rest = line.partition(":")
        row = re.sub(r" \[(?:detached|unresolved)\]", "", " ".join(rest.split()))
        if priority.strip().isdigit() and named(row, wanted):
            found.append(f"pref {priority.strip()} {row}")
    return found


def zones(output: str, names: Iterable[str]) -> Dict[str, List[str]]:
    """Return zone to those of some interfaces that are in it, of C(firewall-cmd --get-active-zones)."""
    wanted, found, zone = set(names), {}, ""
    for line in output.splitlines():
        if line[:1].strip():
            zone = line.split()[0]
        elif line.strip().startswith("interfaces:"):
            inside = [name for name in line.split()[1:] if name in wanted]
            if inside:
                found[zone] = inside
    return found


def primaries(names: Iterable[str]) -> Dict[str, str]:
    """Return bond to its primary port, of bonds among some interfaces."""
    found = {}
    for name in names:
        try:
            with open(f"/sys/class/net/{name}/bonding/primary", encoding="ascii") as stream:
                port = stream.read().strip()
        except OSError:
            continue
        if port:
            found[name] = port
    return found


def _shown(run: Runner, words: List[str], strict: bool) -> str:
    rc, out, err = run(words)
    if rc != 0 and strict:
        raise OSError(0, f"{' '.join(words)}: {' '.join((err or out).split()) or rc}")
    return out


def look(run: Runner, manager: Optional[Manager], names: List[str], first: bool = False) -> Situation:
    """Return what some interfaces carry now.

    :param manager: None where it is not asked.
    :param first: whether it is what all later looks are compared with: then firewalld is asked, too, and what gives no answer is an error.
    :raises OSError: the kernel, or a program, does not answer.
    """
    known = {link.index: link for link in rtnl.links() if link.name in names}
    seen = Situation(primaries=primaries(names), mtus={link.name: link.mtu for link in known.values()})
    for held in addresses({number: link.name for number, link in known.items()}):
        if held.permanent:
            seen.addresses.setdefault(held.name, []).append(held.row)
            seen.words.setdefault(held.name, {})[held.row] = list(held.words)
        if held.passing:
            seen.passing.setdefault(held.name, []).append(held.row)
    seen.addresses = {name: sorted(rows) for name, rows in seen.addresses.items()}
    for family in FAMILIES:
        shown = _shown(run, ["ip", f"-{family}", "-o", "route", "show", "table", "all"], first)
        seen.routes[family] = routes(shown, names, split=family == "6")
        seen.rules[family] = rules(_shown(run, ["ip", f"-{family}", "-o", "rule", "show"], first), names)
        if family == "6":
            seen.announced = announced(shown, names)
    devices = manager.devices(strict=first) if manager is not None else {}
    seen.devices = {name: device for name, device in devices.items() if name in names}
    seen.zones = active_zones(run, names) if first else {}
    return seen


def active_zones(run: Runner, names: Iterable[str]) -> Dict[str, List[str]]:
    """Return zone of firewalld to those of some interfaces that are in it; none where it does not run."""
    rc, out, _err = run(["firewall-cmd", "--get-active-zones"])
    return zones(out, names) if rc == 0 else {}


def ways(rows: Iterable[str]) -> Set[str]:
    """Return routes without their metrics: NetworkManager chooses some in the order in which it activates profiles."""
    return {re.sub(r" metric [0-9]+", "", row) for row in rows}


def lapsed(row: str, before: Situation, now: Situation) -> bool:
    """Whether a route was that of an address that has passed, as one by DHCP whose lease is another one now."""
    words = row.split()
    source = words[words.index("src") + 1] if "src" in words[:-1] else ""
    had, has = ({each.partition("/")[0] for rows in found.passing.values() for each in rows} for found in (before, now))
    return bool(source) and source in had - has


def lacking(before: Situation, now: Situation, names: Mapping[str, str]) -> List[str]:
    """Return what is not there any more, a sentence without an end each.

    :param names: name before to name now.
    """
    found = []
    for name, rows in before.addresses.items():
        here = names.get(name, name)
        found += [f"{here} lacks address {row}" for row in rows if row not in now.addresses.get(here, [])]
    for family in FAMILIES:
        wanted = ways(moved(row, names) for row in before.routes.get(family, []) if not lapsed(row, before, now))
        found += [f"route {row} is missing" for row in sorted(wanted - ways(now.routes.get(family, [])))]
        rules_wanted = [moved(row, names) for row in before.rules.get(family, [])]
        found += [f"rule {row} is missing" for row in rules_wanted if row not in now.rules.get(family, [])]
    for bond, port in before.primaries.items():
        if now.primaries.get(bond) != names.get(port, port):
            found.append(f"bond {bond} has not {names.get(port, port)} as its primary port")
    for name, device in before.devices.items():
        here = names.get(name, name)
        found += [text for text in [difference(here, device, now.devices.get(here))] if text]
    return found
