# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from ipaddress import IPv4Network
from typing import Optional, Sequence

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.runner import Completed
from ansible_collections.railyard.sglang.plugins.module_utils.lab.subnets import (
    Occupied,
    candidates,
    check_free,
    choose_networks,
    occupied_networks,
    parse_network,
    read_occupied,
)

DEFAULT = {"dst": "default", "gateway": "192.0.2.1", "dev": "eth0"}
FIRST, SECOND, THIRD = "198.51.100.0/24", "203.0.113.0/24", "192.0.2.0/24"


def route(dst: str, **more: str) -> dict[str, str]:
    return {"dst": dst, "dev": "eth0", **more}


@pytest.mark.parametrize(
    ("routes", "management", "fabric"),
    [
        ([], FIRST, SECOND),
        ([DEFAULT], FIRST, SECOND),
        ([route(FIRST)], SECOND, THIRD),
        ([route(SECOND)], FIRST, THIRD),
        ([route("198.51.100.128/25")], SECOND, THIRD),
        ([route("198.51.100.7")], SECOND, THIRD),
        ([route("198.51.0.0/16")], SECOND, THIRD),
        ([route(FIRST), route(SECOND)], THIRD, "198.18.0.0/24"),
        ([route(FIRST), route(SECOND), route(THIRD)], "198.18.0.0/24", "198.18.1.0/24"),
        ([route(FIRST), route(SECOND), route(THIRD), route("198.18.0.0/23")], "198.18.2.0/24", "198.18.3.0/24"),
        ([route(FIRST), route(SECOND), route(THIRD), route("198.18.0.0/16")], "198.19.0.0/24", "198.19.1.0/24"),
        # The two halves of everything, as VPN clients add them, lead everywhere.
        ([route("0.0.0.0/1", dev="tun0"), route("128.0.0.0/1", dev="tun0")], FIRST, SECOND),
        # A network that is blackholed, or in another table, is somebody's as well.
        ([route(FIRST, type="blackhole"), route(SECOND, table="100")], THIRD, "198.18.0.0/24"),
    ],
)
def test_first_free_networks_are_taken(routes: list[dict[str, str]], management: str, fabric: str) -> None:
    occupied = occupied_networks(json.dumps(routes), "[]")
    assert choose_networks(None, None, occupied) == (IPv4Network(management), IPv4Network(fabric))


def test_address_without_route_counts() -> None:
    addresses = [
        {"ifname": "eth9", "addr_info": [{"local": "198.51.100.9", "prefixlen": 24}]},
        {"ifname": "lo"},
        {"addr_info": [{}]},
    ]
    occupied = occupied_networks("[]", json.dumps(addresses))
    assert choose_networks(None, None, occupied) == (IPv4Network(SECOND), IPv4Network(THIRD))
    with pytest.raises(LabError, match=r"management_network 198.51.100.0/24 clashes .* address 198.51.100.9/24 on eth9"):
        check_free(IPv4Network(FIRST), "management_network", occupied)


def test_clash_names_the_route() -> None:
    occupied = occupied_networks(json.dumps([DEFAULT, route("198.51.0.0/16", gateway="192.0.2.7")]), "[]")
    with pytest.raises(LabError, match=r"fabric_network 198.51.100.0/24 clashes .* route 198.51.0.0/16 gateway 192.0.2.7 dev eth0"):
        choose_networks(None, IPv4Network(FIRST), occupied)


def test_operators_choice_is_kept_and_the_other_avoids_it() -> None:
    assert choose_networks(None, IPv4Network(FIRST), []) == (IPv4Network(SECOND), IPv4Network(FIRST))
    assert choose_networks(IPv4Network(SECOND), None, []) == (IPv4Network(SECOND), IPv4Network(FIRST))
    given = IPv4Network("198.18.8.0/24"), IPv4Network("198.18.9.0/24")
    assert choose_networks(*given, []) == given


def test_operators_choices_overlap() -> None:
    with pytest.raises(LabError, match="overlap"):
        choose_networks(IPv4Network(FIRST), IPv4Network("198.51.0.0/16"), [])


@pytest.mark.parametrize("taken", [list(candidates()), list(candidates())[1:]])
def test_nothing_left(taken: list[IPv4Network]) -> None:
    with pytest.raises(LabError, match="No free network is left"):
        choose_networks(None, None, [Occupied(network, "a test") for network in taken])


@pytest.mark.parametrize("text", ["", "auto ", "198.51.100.0/33", "198.51.100.7/24", "198.51.100.0/25", "2001:db8::/64", "net"])
def test_no_network(text: str) -> None:
    with pytest.raises(LabError, match="fabric_network is '"):
        parse_network(text, "fabric_network")


def test_machine_is_asked_for_all_tables() -> None:
    asked = []

    def runner(argv: Sequence[str], stdin: Optional[str]) -> Completed:
        asked.append(list(argv))
        return Completed(0, json.dumps([route(FIRST)]) if "route" in argv else "[]", "")

    assert [str(each.network) for each in read_occupied(runner)] == [FIRST]
    assert asked == [["ip", "-j", "-4", "route", "show", "table", "all"], ["ip", "-j", "-4", "address", "show"]]


def test_failing_command_is_named() -> None:
    with pytest.raises(LabError, match=r"Cannot read the routes of this machine: 'ip .*' ended with status 127: no such program"):
        read_occupied(lambda argv, stdin: Completed(127, "", "no such program"))
