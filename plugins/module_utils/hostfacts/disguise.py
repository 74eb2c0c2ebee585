# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What names a host, replaced by something of the same form: one new value for every old one, and never an old one for another.

Everything is shown twice. The first time it is only learned, since new values depend on all old ones: they are numbered in the order
of the old ones, so that the same host gives the same capture, and an old value tells nothing of how its new one was made.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Dict, List, Match, Sequence, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.addressmap import Moved
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.identifiers import (
    NAMED_BY_ADDRESS,
    UNMISTAKABLE,
    colons,
    mac_of,
    numbered,
    opaque,
    same_length,
    vendor_part,
    with_middle,
)

MAC, GUID, IPV4, IPV6 = "MAC addresses", "GUIDs and interface identifiers", "IPv4 addresses", "IPv6 networks"
UUID, SERIAL, ACCOUNT, HOST = "UUIDs", "serial numbers", "account names", "host names"
KINDS = (MAC, GUID, IPV4, IPV6, UUID, SERIAL, ACCOUNT, HOST)

LINK_LOCAL = int(ipaddress.IPv4Address("169.254.0.0"))
DOCUMENTED = 0x20010DB8 << 32
# Networks of the kernel's own, and none.
KEPT_IPV4 = tuple(map(ipaddress.IPv4Network, ("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3")))
# Everywhere else people name the files.
KERNELS_OWN = ("/sys/", "/proc/", "/dev/")
# Not worth hiding, or also names of directories.
COMMON = frozenset(("localhost", "localdomain", "lib", "modules", "system", "systemd", "security", "config", "limits", "service"))


class Disguise:
    """Old values and their new ones.

    :param hosts: names of the host.
    :ivar places: kind to the number of values that were replaced since C(settle).
    """

    def __init__(self, hosts: Sequence[str] = ()):
        names = sorted({name.lower() for name in hosts if len(name) > 1} - COMMON, key=lambda name: (-len(name), name))
        self._hosts: Dict[str, str] = {
            # Dashes and dots mean something in names of units.
            name: f"host{place}" + re.sub("[^-.]+", "x", re.sub("^[^-.]+", "", name)) for place, name in enumerate(names, 1)
        }
        pattern = "|".join(map(re.escape, names)) or "(?!)"
        self._host = re.compile(f"(?<![A-Za-z0-9])(?:{pattern})(?![A-Za-z0-9])", re.IGNORECASE)
        self._learning = True
        self._seen: Dict[str, Set[int]] = {}
        self._texts: Dict[str, Set[str]] = {}
        self._numbers: Dict[str, Dict[int, int]] = {}
        self._words: Dict[str, Dict[str, str]] = {}
        self._networks: Set[Tuple[int, int]] = set()
        self._moved = Moved((), ())
        self.places: Dict[str, int] = dict.fromkeys(KINDS, 0)

    def settle(self) -> None:
        """Give every value that was seen its new one."""
        self._learning = False
        vendors = self._seen.get("vendor", set())
        identifiers = self._seen.get("identifier", set()) - vendors
        of_vendors = numbered(sorted(vendors), lambda value, count: value >> 40 << 40 | count, identifiers)
        others = numbered(sorted(identifiers), lambda value, count: count, {*vendors, *of_vendors.values()})
        self._numbers = {
            MAC: numbered(sorted(self._seen.get(MAC, ())), lambda value, count: vendor_part(value) << 24 | count),
            GUID: {**of_vendors, **others},
            IPV6: numbered(sorted(self._seen.get(IPV6, ())), lambda value, count: DOCUMENTED | count),
            SERIAL: numbered(sorted(self._seen.get(SERIAL, ())), same_length),
            "link-local": numbered(sorted(self._seen.get("link-local", ())), lambda value, count: LINK_LOCAL + 256 + count),
        }
        self._words = {
            UUID: numbered(sorted(self._texts.get(UUID, ())), lambda value, count: f"00000000-0000-4000-8000-{count:012x}"),
            ACCOUNT: numbered(sorted(self._texts.get(ACCOUNT, ())), lambda value, count: f"account{count}"),
            SERIAL: numbered(sorted(self._texts.get(SERIAL, ())), opaque),
        }
        self._moved = Moved(self._networks, self._seen.get(IPV4, set()))
        self.places = dict.fromkeys(KINDS, 0)

    def values(self) -> Dict[str, int]:
        """Return kind to the number of different values that were replaced."""
        seen = {
            MAC: len(self._numbers[MAC]),
            GUID: len(self._numbers[GUID]),
            IPV4: len(self._seen.get(IPV4, ())) + len(self._numbers["link-local"]),
            IPV6: len(self._numbers[IPV6]),
            UUID: len(self._words[UUID]),
            SERIAL: len(self._numbers[SERIAL]) + len(self._words[SERIAL]),
            ACCOUNT: len(self._words[ACCOUNT]),
            HOST: len(self._hosts) if self.places[HOST] else 0,
        }
        return {kind: seen[kind] for kind in KINDS}

    def _number(self, kind: str, value: int, table: str = "", count: bool = True) -> int:
        if self._learning:
            self._seen.setdefault(table or kind, set()).add(value)
            return value
        self.places[kind] += count
        return self._numbers[kind if kind != IPV4 else "link-local"][value]

    def _word(self, kind: str, value: str) -> str:
        if self._learning:
            self._texts.setdefault(kind, set()).add(value)
            return value
        self.places[kind] += 1
        return self._words[kind][value]

    # Hardware

    def mac(self, value: int) -> int:
        """Return a MAC address's new one, of the same vendor."""
        return value if value in (0, (1 << 48) - 1) else self._number(MAC, value)

    def identifier(self, value: int, vendor: bool = False) -> int:
        """Return the new one of a GUID or of an address's lower half.

        :param vendor: whether it begins with a vendor's number, which is kept. One that a MAC address is in goes with that address.
        """
        made_of = mac_of(value)
        if made_of and made_of[0]:
            return with_middle(self.mac(made_of[0]), made_of[1])
        return self._number(GUID, value, "vendor" if vendor else "identifier") if value else 0

    def guid(self, text: str) -> str:
        """Return the new one of a GUID such as C(a088:c203:00e3:142a)."""
        return colons(self.identifier(int(text.replace(":", ""), 16), True), 4, 4)

    def gid(self, text: str) -> str:
        """Return the new one of a GID, of eight groups."""
        return colons(self._ipv6(int(text.replace(":", ""), 16)), 4, 8)

    def hardware(self, text: str) -> str:
        """Return the new one of a network device's address: MAC, that of IPoIB, or of a tunnel; another is blotted out."""
        value, octets = int(text.replace(":", ""), 16), text.count(":") + 1
        if octets == 6:
            value = self.mac(value)
        elif octets == 20:
            # The number of a queue pair, then a GID.
            value = value >> 128 << 128 | self._ipv6(value & (1 << 128) - 1, True)
        elif octets in (4, 16):
            value = self._ipv4(value) if octets == 4 else self._ipv6(value)
        else:
            value = 0
        return colons(value, 2, octets)

    def serial(self, text: str) -> str:
        """Return the new one of a serial number in hexadecimal digits, or of any other form."""
        if not text:
            return text
        if re.fullmatch("[0-9a-f]{4,32}", text) and int(text, 16):
            return f"{self.serial_number(int(text, 16)):0{len(text)}x}"
        return self._word(SERIAL, text) if re.search("[1-9a-zA-Z]", text) else text

    def serial_number(self, value: int) -> int:
        """Return the new one of a serial number, with as many digits."""
        return self._number(SERIAL, value) if value else value

    def uuid(self, text: str) -> str:
        """Return the new one of a UUID, with what is around it; of a text without one, a serial number's."""
        if not UNMISTAKABLE.search(text):
            return self.serial(text)
        return self.scan(text)

    # Addresses

    def _ipv4(self, value: int) -> int:
        address = ipaddress.IPv4Address(value)
        if any(address in network for network in KEPT_IPV4):
            return value
        if address.is_link_local:
            return self._number(IPV4, value, "link-local")
        if self._learning:
            self._seen.setdefault(IPV4, set()).add(value)
            return value
        self.places[IPV4] += 1
        return self._moved.address(value)

    def _ipv6(self, value: int, vendor: bool = False) -> int:
        if value >> 32 == 0xFFFF:
            return 0xFFFF << 32 | self._ipv4(value & 0xFFFFFFFF)
        upper, lower = value >> 64, value & (1 << 64) - 1
        if value in (0, 1) or value >> 120 == 0xFF:
            return value
        if value >> 118 != 0x3FA:
            # Not link-local.
            upper = self._number(IPV6, upper)
        return upper << 64 | self.identifier(lower, vendor)

    def network(self, base: int, length: int) -> Tuple[int, int]:
        """Return the new first address and prefix length of an IPv4 network."""
        first = ipaddress.IPv4Address(base)
        if not length or first.is_link_local or any(first in kept for kept in KEPT_IPV4):
            return base, length
        if length == 32:
            return self._ipv4(base), length
        if self._learning:
            self._networks.add((base, length))
            return base, length
        return self._moved.network(base, length)

    def address(self, text: str) -> str:
        """Return the new one of an IP address, with or without prefix length; what is none is blotted out."""
        try:
            old = ipaddress.ip_interface(text)
        except ValueError:
            return "0.0.0.0"
        if old.version == 4:
            length = old.network.prefixlen
            if "/" in text and length < 32:
                length = self.network(int(old.network.network_address), length)[1]
            new = str(ipaddress.IPv4Address(self._ipv4(int(old.ip))))
        else:
            length = old.network.prefixlen
            new = str(ipaddress.IPv6Address(self._ipv6(int(old.ip))))
        return f"{new}/{length}" if "/" in text else new

    # Names

    def account(self, text: str) -> str:
        """Return the new one of a user's or group's name in a limit; everybody, root and numbers stay."""
        sign = text[:1] if text[:1] in ("@", "%") else ""
        name = text[len(sign) :]
        return text if name in ("", "*", "root") or re.fullmatch("[0-9:]+", name) else sign + self._word(ACCOUNT, name)

    def name(self, text: str) -> str:
        """Return a name that an administrator may have given, without host names and addresses in it."""

        def by_address(match: Match[str]) -> str:
            digits = match.group()
            value = int(digits, 16)
            new = self.mac(value) if len(digits) == 12 else self.identifier(value, True)
            return f"{new:0{len(digits)}x}"

        return self._host.sub(self._new_host, self.scan(NAMED_BY_ADDRESS.sub(by_address, text)))

    def _new_host(self, match: Match[str]) -> str:
        self.places[HOST] += 1
        return self._hosts[match.group().lower()]

    def scan(self, text: str) -> str:
        """Return a text with everything replaced that nothing else looks like."""

        def new(match: Match[str]) -> str:
            value = match.group()
            if match.lastgroup == "uuid":
                return self._word(UUID, value.lower())
            translate = {"gid": self.gid, "guid": self.guid, "hardware": self.hardware}[match.lastgroup or ""]
            return translate(value)

        return UNMISTAKABLE.sub(new, text)

    def path(self, path: str) -> str:
        """Return a path with the names in it replaced that are not the kernel's own."""
        parts = path.split("/")
        for place, part in enumerate(parts):
            above = parts[place - 1] if place else ""
            if path.startswith("/sys/") and above in ("net", "infiniband"):
                parts[place] = self.name(part)
            elif path.startswith("/sys/") and part.startswith("lower_"):
                parts[place] = "lower_" + self.name(part[6:])
            elif not path.startswith(KERNELS_OWN):
                parts[place] = self.name(part) if place > 1 else part
            else:
                parts[place] = self.scan(part)
        return "/".join(parts)


def known_hosts(names: Sequence[str]) -> List[str]:
    """Return some host names, and the first parts of those that are qualified; addresses are none."""
    found = [part for name in names for part in (name, name.partition(".")[0])]
    return [part for part in dict.fromkeys(found) if re.search("[^0-9.:]", part) and ":" not in part]
