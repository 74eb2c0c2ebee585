# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether a packet is what an expression of C(nft -j) matches: yes, no, or not to be told."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

NUMBERS = {"tcp": 6, "udp": 17}
#: Of a packet that begins a connection, and has come by no other rule.
STATE = "new"


@dataclass(frozen=True)
class Packet:
    """The first packet of a connection.

    :ivar interface: on which it comes in, empty where that is not known.
    :ivar source: None for one from anywhere.
    :ivar destination: None for any of the host's addresses.
    :ivar family: 4 or 6.
    """

    interface: str
    source: Optional[str]
    destination: Optional[str]
    family: int
    protocol: str
    port: int


class UnclearError(Exception):
    """An expression that is not understood."""


class UnsaidError(Exception):
    """What the packet leaves open: its source or destination may be any."""


class OtherError(Exception):
    """A field that packets of this kind do not have, so that no rule on it holds."""


def _payload(packet: Packet, words: Mapping[str, Any]) -> Any:
    protocol, name = words.get("protocol"), words.get("field")
    if protocol in ("ip", "ip6"):
        if (protocol == "ip") != (packet.family == 4):
            raise OtherError
        value = {"saddr": packet.source, "daddr": packet.destination, "protocol": packet.protocol, "nexthdr": packet.protocol}
        if name not in value:
            raise UnclearError
        if value[name] is None:
            raise UnsaidError
        return value[name]
    if protocol in ("tcp", "udp", "th"):
        if protocol not in ("th", packet.protocol):
            raise OtherError
        if name == "flags":
            return "syn"
        if name != "dport":
            raise UnclearError
        return packet.port
    if protocol in ("icmp", "icmpv6", "sctp", "dccp", "udplite", "esp", "ah", "igmp", "arp"):
        raise OtherError
    raise UnclearError


def value(packet: Packet, left: Any) -> Any:
    """Return what a packet has where an expression looks.

    :raises UnclearError: the expression is not understood.
    :raises UnsaidError: the packet leaves it open.
    :raises OtherError: packets of this kind have no such field.
    """
    if not isinstance(left, dict) or len(left) != 1:
        raise UnclearError
    ((kind, words),) = left.items()
    if kind == "payload":
        return _payload(packet, words)
    if kind == "meta":
        known: Dict[str, Any] = {
            "iifname": packet.interface, "iif": packet.interface, "l4proto": packet.protocol, "nfproto": f"ipv{packet.family}",
            "protocol": "ip6" if packet.family == 6 else "ip", "mark": 0,
        }
        if words.get("key") not in known:
            raise UnclearError
        if known[words["key"]] == "":
            raise UnsaidError
        return known[words["key"]]
    if kind == "ct":
        known = {"state": STATE, "status": "", "mark": 0}
        if words.get("key") not in known:
            raise UnclearError
        return known[words["key"]]
    if kind == "concat":
        return [value(packet, part) for part in words]
    if kind == "&":
        found = value(packet, words[0])
        return found & words[1] if isinstance(found, int) and isinstance(words[1], int) else found
    raise UnclearError


def _address(text: Any) -> Any:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _number(given: Any) -> Any:
    return NUMBERS.get(given, given) if isinstance(given, str) else given


def _ordered(given: Any) -> Any:
    return given if isinstance(given, int) else _address(given)


def equal(found: Any, wanted: Any, sets: Mapping[str, List[Any]]) -> bool:
    """Whether a value is one of those that an expression names.

    :param sets: elements of the named sets of the table.
    :raises UnclearError: the expression is not understood.
    """
    if isinstance(wanted, str) and wanted.startswith("@"):
        if wanted[1:] not in sets:
            raise UnclearError
        return any(equal(found, one, sets) for one in sets[wanted[1:]])
    if isinstance(wanted, list):
        return any(equal(found, one, sets) for one in wanted)
    if isinstance(wanted, dict) and len(wanted) == 1:
        ((kind, words),) = wanted.items()
        if kind == "set":
            return any(equal(found, one, sets) for one in (words if isinstance(words, list) else [words]))
        if kind == "elem":
            return equal(found, words["val"], sets)
        if kind == "range":
            low, high, own = _ordered(words[0]), _ordered(words[1]), _ordered(found)
            if low is None or own is None or type(low) is not type(own):
                return False
            return bool(low <= own <= high)
        if kind == "prefix":
            network = ipaddress.ip_network(f"{words['addr']}/{words['len']}", strict=False)
            own = _address(found)
            return own is not None and own in network
        if kind == "concat":
            return isinstance(found, list) and all(equal(one, other, sets) for one, other in zip(found, words))
        if kind == "|":
            return equal(found, words, sets)
        raise UnclearError
    if isinstance(found, str) and isinstance(wanted, str):
        if wanted.endswith("*") and len(wanted) > 1:
            return found.startswith(wanted[:-1])
        one, other = _address(found), _address(wanted)
        return found == wanted or (one is not None and one == other) or _number(found) == _number(wanted)
    return bool(_number(found) == _number(wanted))


def holds(packet: Packet, match: Mapping[str, Any], sets: Mapping[str, List[Any]], unclear: Set[str]) -> Optional[bool]:
    """Return whether a packet is what a match asks for, None where that is not to be told.

    :param unclear: takes what was not understood.
    """
    op, right = match.get("op", "=="), match.get("right")
    try:
        found = value(packet, match.get("left"))
        if op in ("==", "in"):
            return equal(found, right, sets)
        if op == "!=":
            return not equal(found, right, sets)
        if op in ("<", ">", "<=", ">=") and isinstance(found, int) and isinstance(right, int):
            return {"<": found < right, ">": found > right, "<=": found <= right, ">=": found >= right}[op]
        raise UnclearError
    except OtherError:
        return False
    except UnsaidError:
        return None
    except (UnclearError, KeyError, TypeError, ValueError, AttributeError):
        unclear.add(str(match.get("left"))[:80])
        return None


def chosen(
    packet: Packet, words: Mapping[str, Any], sets: Mapping[str, List[Any]], unclear: Set[str]
) -> Tuple[List[Any], bool]:
    """Return the verdicts of a map that a packet may get, and whether it gets one of them for sure."""
    data = words.get("data")
    rows = data.get("set") if isinstance(data, dict) else sets.get(str(data)[1:]) if isinstance(data, str) else None
    if not isinstance(rows, list):
        unclear.add("a map of verdicts")
        return [], False
    found = []
    for row in rows:
        answer = holds(packet, {"op": "==", "left": words.get("key"), "right": row[0]}, sets, unclear)
        if answer is not False:
            found.append(row[1])
        if answer:
            return found, True
    return found, False
