# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two networks for a lab that nothing on this machine uses.

A lab's networks live in namespaces of their own, so a clash would break nothing by itself. It would still make every
address in a log or in `ip route` mean two things, so it is refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Network, NetmaskValueError
from itertools import chain
from typing import Iterable, Iterator, Optional, Sequence

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import SHORTEST_NETWORK
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Runner, demand

#: Documentation ranges (RFC 5737) first, then the benchmarking range (RFC 2544): none of them is anybody's network.
DOCUMENTATION_RANGES = ("198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24")
BENCHMARK_RANGE = "198.18.0.0/15"

#: Default routes, and the halves of everything that VPN clients add, lead to all networks and occupy none.
SHORTEST_OCCUPYING_PREFIX = 8


@dataclass(frozen=True)
class Occupied:
    """A network in use, and by what, in words."""

    network: IPv4Network
    user: str


def parse_network(text: str, option: str) -> IPv4Network:
    """Read a network of at least 256 addresses. Raises LabError naming the option."""
    try:
        network = IPv4Network(text)
    except (AddressValueError, NetmaskValueError, ValueError) as error:
        raise LabError(f"{option} is '{text}': it must be auto or an IPv4 network such as {DOCUMENTATION_RANGES[0]} ({error})") from error
    if network.prefixlen > SHORTEST_NETWORK:
        raise LabError(f"{option} is '{text}': it must have at least 256 addresses, that is a prefix of /{SHORTEST_NETWORK} or shorter")
    return network


def occupied_networks(routes: str, addresses: str) -> list[Occupied]:
    """Read the JSON of `ip -j -4 route show table all` and `ip -j -4 address show`."""
    found = []
    for route in json.loads(routes or "[]"):
        if route["dst"] == "default":
            continue
        network = IPv4Network(route["dst"], strict=False)
        if network.prefixlen >= SHORTEST_OCCUPYING_PREFIX:
            words = [route.get("type", ""), "route", str(network)]
            words += [f"{key} {route[key]}" for key in ("gateway", "dev", "table") if key in route]
            found.append(Occupied(network, " ".join(word for word in words if word)))
    for link in json.loads(addresses or "[]"):
        for address in link.get("addr_info", []):
            if "local" in address:
                network = IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
                found.append(Occupied(network, f"address {address['local']}/{address['prefixlen']} on {link.get('ifname', '?')}"))
    # A route covers the broadcast and local entries that the kernel derives from it; name the widest user first.
    return sorted(found, key=lambda each: (each.network.prefixlen, each.network, each.user))


def read_occupied(runner: Runner) -> list[Occupied]:
    """Ask this machine for all its IPv4 routes and addresses. Raises LabError where `ip` cannot be run."""
    routes = demand(runner, ["ip", "-j", "-4", "route", "show", "table", "all"], "read the routes of this machine")
    addresses = demand(runner, ["ip", "-j", "-4", "address", "show"], "read the addresses of this machine")
    return occupied_networks(routes, addresses)


def user_of(network: IPv4Network, occupied: Iterable[Occupied]) -> Optional[Occupied]:
    """Return what overlaps a network, or None."""
    return next((each for each in occupied if each.network.overlaps(network)), None)


def candidates(prefix: int = SHORTEST_NETWORK) -> Iterator[IPv4Network]:
    """Yield the networks of a prefix length that a lab may take, in the order of preference."""
    benchmark = IPv4Network(BENCHMARK_RANGE).subnets(new_prefix=prefix)
    return chain((each for each in map(IPv4Network, DOCUMENTATION_RANGES) if each.prefixlen == prefix), benchmark)


def check_free(network: IPv4Network, option: str, occupied: Sequence[Occupied]) -> None:
    """Raise LabError where something on this machine overlaps a network."""
    user = user_of(network, occupied)
    if user:
        raise LabError(f"{option} {network} clashes with this machine's {user.user}: choose another network, or auto")


def choose_networks(
    management: Optional[IPv4Network],
    fabric: Optional[IPv4Network],
    occupied: Sequence[Occupied],
    fabric_prefix: int = SHORTEST_NETWORK,
) -> tuple[IPv4Network, IPv4Network]:
    """Return the management and the fabric network: as given, else the first candidates that are free.

    Args:
        management: the operator's choice, or None.
        fabric: the operator's choice, or None.
        occupied: what this machine uses.
        fabric_prefix: prefix length of a fabric network that is chosen.

    Raises:
        LabError: a given network clashes, both overlap, or nothing is left.
    """
    for option, given in (("management_network", management), ("fabric_network", fabric)):
        if given:
            check_free(given, option, occupied)
    if management and fabric:
        if management.overlaps(fabric):
            raise LabError(f"management_network {management} and fabric_network {fabric} overlap: choose two that do not")
        return management, fabric
    taken = [Occupied(given, "the lab's other network") for given in (management, fabric) if given]

    def free(prefix: int) -> Optional[IPv4Network]:
        found = next((each for each in candidates(prefix) if user_of(each, [*occupied, *taken]) is None), None)
        if found:
            taken.append(Occupied(found, "the lab's other network"))
        return found

    chosen_management = management or free(SHORTEST_NETWORK)
    chosen_fabric = fabric or free(fabric_prefix)
    if chosen_management is None or chosen_fabric is None:
        raise LabError(
            f"No free network is left in {', '.join(DOCUMENTATION_RANGES)} and {BENCHMARK_RANGE}: "
            "set management_network and fabric_network to networks that nothing on this machine uses"
        )
    return chosen_management, chosen_fabric
