# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What interfaces carry beyond what they carried: a wrong route of the same metric wins although the right one is there, too.

An undo takes such things away only from interfaces that are in doubt: those that have lost something, have another profile, or have a
route to where there was another one. Elsewhere, what is new is somebody else's. Never taken away are link-local addresses of IPv6, what
DHCP (unless all addresses were fixed) or a router's announcement brings, and what a daemon has marked as its own.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from dataclasses import dataclass, field
from typing import Collection, Dict, Iterable, List, Mapping, Set, Tuple

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.situation import FAMILIES, Situation, lapsed, moved, named, ways


@dataclass
class Extras:
    """What is too much.

    :ivar addresses: interface and address.
    :ivar routes: family and route.
    :ivar rules: family and rule.
    """

    addresses: List[Tuple[str, str]] = field(default_factory=list)
    routes: List[Tuple[str, str]] = field(default_factory=list)
    rules: List[Tuple[str, str]] = field(default_factory=list)

    def told(self) -> List[str]:
        """Return it as sentences without an end each."""
        return [
            *(f"{name} has address {row}, which it had not" for name, row in self.addresses),
            *(f"route {row} is there, and was not" for _family, row in self.routes),
            *(f"rule {row} is there, and was not" for _family, row in self.rules),
        ]

    def __bool__(self) -> bool:
        """Whether anything is too much."""
        return bool(self.addresses or self.routes or self.rules)


def _of(family: str, rows: Iterable[str]) -> List[str]:
    return [row for row in rows if (":" in row) == (family == "6")]


def _local(row: str) -> bool:
    return ipaddress.ip_interface(row).is_link_local and ":" in row


def fixed(before: Situation, name: str, family: str) -> bool:
    """Whether an interface had addresses of a family, and none of them by DHCP or an announcement."""
    own = [row for row in _of(family, before.addresses.get(name, [])) if not _local(row)]
    return bool(own) and not [row for row in _of(family, before.passing.get(name, [])) if not _local(row)]


def _inside(network: str, rows: Iterable[str]) -> bool:
    """Whether one of some addresses is in a network."""
    try:
        whole = ipaddress.ip_network(network)
    except ValueError:
        return False
    return any(ipaddress.ip_interface(row).ip in whole for row in rows)


def _addresses(before: Situation, now: Situation, name: str, here: str) -> List[str]:
    had = {*before.addresses.get(name, []), *before.passing.get(name, [])}
    passing = now.passing.get(here, [])
    found = [row for row in now.addresses.get(here, []) if row not in passing]
    # A profile by DHCP in the place of a fixed one.
    found += [row for row in _of("4", passing) if row not in now.addresses.get(here, []) and fixed(before, name, "4")]
    announced = now.announced.get(here, [])
    return [
        row for row in found
        if row not in had and not _local(row) and not any(_inside(prefix, [row]) for prefix in announced)
    ]


def _target(row: str) -> Tuple[str, str]:
    """Return where a route leads, and its table."""
    words = row.split()
    return words[0], words[words.index("table") + 1] if "table" in words[:-1] else "main"


def _ours(row: str, family: str, before: Situation, now: Situation, names: Mapping[str, str]) -> bool:
    """Whether a route that was not there may be taken away."""
    target = _target(row)[0]
    if family == "6" and target.startswith(("fe80:", "ff", "multicast")):
        return False
    back = {here: name for name, here in names.items()}
    words = row.split()
    here = words[words.index("dev") + 1] if "dev" in words[:-1] else ""
    name = back.get(here, here)
    if " proto dhcp" in row:
        return fixed(before, name, family)
    if " proto kernel" in row:
        # It comes and goes with an address.
        mine = _addresses(before, now, name, here)
        return not _inside(target, [each for each in now.passing.get(here, []) if each not in mine])
    return True


def _routes(family: str, before: Situation, now: Situation, names: Mapping[str, str]) -> List[str]:
    """Return the routes that were not there, or are there more often than before."""
    wanted = [moved(row, names) for row in before.routes.get(family, [])]
    left = Counter(way for row in wanted for way in ways([row]))
    found = []
    # Those that are exactly as before count first.
    for row in sorted(now.routes.get(family, []), key=lambda row: row not in wanted):
        (way,) = ways([row])
        left[way] -= 1
        if left[way] < 0 and _ours(row, family, before, now, names):
            found.append(row)
    return found


def find(before: Situation, now: Situation, names: Mapping[str, str], doubtful: Collection[str]) -> Extras:
    """Return what some interfaces carry that they did not.

    :param names: name before to name now.
    :param doubtful: the interfaces, by the names before.
    """
    found = Extras()
    here = {name: names.get(name, name) for name in doubtful}
    for name in sorted(here):
        found.addresses += [(here[name], row) for row in _addresses(before, now, name, here[name])]
    for family in FAMILIES:
        found.routes += [(family, row) for row in _routes(family, before, now, names) if named(row, here.values())]
        rules = [moved(row, names) for row in before.rules.get(family, [])]
        found.rules += [(family, row) for row in now.rules.get(family, []) if row not in rules and named(row, here.values())]
    return found


def doubtful(before: Situation, now: Situation, names: Mapping[str, str]) -> Set[str]:
    """Return the interfaces that have lost something, have another profile, or a route to where another one led; by their names before."""
    back = {names.get(name, name): name for name in {*before.mtus, *before.addresses, *before.devices, *names}}
    found: Set[str] = set()
    for here, name in back.items():
        if set(before.addresses.get(name, [])) - set(now.addresses.get(here, [])):
            found.add(name)
        device, seen = before.devices.get(name), now.devices.get(here)
        if device is not None and device.uuid and seen is not None and seen.uuid not in ("", device.uuid):
            found.add(name)
    for family in FAMILIES:
        wanted = [moved(row, names) for row in before.routes.get(family, [])]
        targets = {_target(row) for row in wanted}
        rows = [row for row in wanted if not ways([row]) <= ways(now.routes.get(family, [])) and not lapsed(row, before, now)]
        rows += [
            row for row in _routes(family, before, now, names) if _target(row) in targets and not ways([row]) <= ways(wanted)
        ]
        found |= {name for here, name in back.items() for row in rows if named(row, [here])}
    return found


def incomplete(before: Situation, now: Situation, names: Mapping[str, str]) -> Set[str]:
    """Return the interfaces that lack an address or a route, by their names before: nothing is taken from these."""
    found: Dict[str, None] = {}
    for name, rows in before.addresses.items():
        if set(rows) - set(now.addresses.get(names.get(name, name), [])):
            found[name] = None
    for family in FAMILIES:
        for row in before.routes.get(family, []):
            if not ways([moved(row, names)]) <= ways(now.routes.get(family, [])) and not lapsed(row, before, now):
                found.update({name: None for name in {*before.mtus, *names} if named(row, [name])})
    return set(found)
