# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import json
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import situation
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.manager import Device, parse
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.situation import Situation

ROUTES = """\
default via 192.0.2.1 dev enp1s0 proto static metric 100 linkdown
198.51.100.0/24 dev enp2s0 table 101 proto static scope link metric 101
198.51.100.0/24 dev enp22s0 proto kernel scope link src 198.51.100.9 metric 102
local 192.0.2.10 dev enp1s0 table local proto kernel scope host src 192.0.2.10
2001:db8::/64 dev enp1s0 proto ra metric 100 expires 80sec pref medium
fe80::/64 dev enp1s0 proto kernel metric 1024 pref medium
default proto static metric 20 \\\tnexthop via 192.0.2.1 dev enp1s0 weight 1 \\\tnexthop via 198.51.100.1 dev enp2s0 weight 1
203.0.113.0/24 nhid 14 via 192.0.2.7 dev enp1s0
blackhole 203.0.113.128/25
"""


def test_routes_of_some_interfaces_without_their_state() -> None:
    assert situation.routes(ROUTES, ["enp1s0", "enp2s0"]) == [
        "198.51.100.0/24 dev enp2s0 table 101 proto static scope link metric 101",
        "203.0.113.0/24 via 192.0.2.7 dev enp1s0",
        "default proto static metric 20 nexthop via 192.0.2.1 dev enp1s0 weight 1 nexthop via 198.51.100.1 dev enp2s0 weight 1",
        "default via 192.0.2.1 dev enp1s0 proto static metric 100",
        "fe80::/64 dev enp1s0 proto kernel metric 1024",
    ]


RULES = """\
0:\tfrom all lookup local
100:\tfrom all iif enp1s0 lookup 101
101:\tfrom 192.0.2.10 oif enp2s0 [detached] lookup 102 proto static
102:\tfrom 192.0.2.11 lookup 103
32766:\tfrom all lookup main
"""


def test_rules_that_name_an_interface_as_they_can_be_added() -> None:
    assert situation.rules(RULES, ["enp1s0", "enp2s0"]) == [
        "pref 100 from all iif enp1s0 lookup 101",
        "pref 101 from 192.0.2.10 oif enp2s0 lookup 102 proto static",
    ]


ZONES = """\
public (default)
  interfaces: enp1s0 enp9s0
trusted
  interfaces: enp2s0
  sources: 192.0.2.0/24
home
  interfaces: enp9s1
"""


def test_zones_of_some_interfaces() -> None:
    assert situation.zones(ZONES, ["enp1s0", "enp2s0"]) == {"public": ["enp1s0"], "trusted": ["enp2s0"]}


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("default via 192.0.2.1 dev a", "default via 192.0.2.1 dev b"),
        ("pref 7 from all iif b oif a lookup 9", "pref 7 from all iif a oif b lookup 9"),
        ("a dev a", "a dev b"),
        ("192.0.2.0/24 dev a.100", "192.0.2.0/24 dev a.100"),
    ],
)
def test_names_move_all_at_once(line: str, wanted: str) -> None:
    assert situation.moved(line, {"a": "b", "b": "a"}) == wanted


BEFORE = Situation(
    addresses={"a": ["192.0.2.10/24", "fe80::1/64"], "bond0": ["198.51.100.5/24"]},
    routes={"4": ["default via 192.0.2.1 dev a"], "6": []},
    rules={"4": ["pref 9 from all iif a lookup 7"], "6": []},
    devices={"a": Device("connected", "11"), "spare": Device("disconnected")},
    primaries={"bond0": "a"},
)
AFTER = Situation(
    addresses={"r0": ["192.0.2.10/24", "fe80::1/64"], "bond0": ["198.51.100.5/24"]},
    routes={"4": ["default via 192.0.2.1 dev r0"], "6": []},
    rules={"4": ["pref 9 from all iif r0 lookup 7"], "6": []},
    devices={"r0": Device("connected", "11"), "spare": Device("unavailable")},
    primaries={"bond0": "r0"},
)


def changed(**values: Any) -> Situation:
    return Situation(**{**vars(AFTER), **values})


def test_nothing_is_lacking_after_a_rename() -> None:
    assert situation.lacking(BEFORE, AFTER, {"a": "r0"}) == []


@pytest.mark.parametrize(
    ("now", "text"),
    [
        (changed(addresses={"r0": ["192.0.2.10/24"], "bond0": ["198.51.100.5/24"]}), "r0 lacks address fe80::1/64"),
        (changed(addresses={"r0": ["192.0.2.10/24", "fe80::1/64"]}), "bond0 lacks address 198.51.100.5/24"),
        (changed(routes={}), "route default via 192.0.2.1 dev r0 is missing"),
        (changed(rules={"4": ["pref 9 from all iif a lookup 7"]}), "rule pref 9 from all iif r0 lookup 7 is missing"),
        (changed(primaries={}), "bond bond0 has not r0 as its primary port"),
        (changed(devices={}), "NetworkManager does not know r0; NetworkManager does not know spare"),
        (changed(devices={**AFTER.devices, "r0": Device("disconnected")}), "NetworkManager has r0 disconnected; before it was connected"),
        (
            changed(devices={**AFTER.devices, "r0": Device("connected", "22")}),
            "NetworkManager has r0 connected with another profile",
        ),
    ],
)
def test_what_is_lacking_is_said(now: Situation, text: str) -> None:
    assert "; ".join(situation.lacking(BEFORE, now, {"a": "r0"})) == text


def test_it_survives_a_journal() -> None:
    assert Situation.load(json.loads(json.dumps(BEFORE.plain()))) == BEFORE


def test_devices_of_nmcli() -> None:
    output = (
        "enp1s0:connected:11\nenp2s0:connecting (getting IP configuration):22\nlo:connected (externally):33\n"
        "enp3s0:unavailable:--\nx:unmanaged:\n"
    )
    assert parse(output) == {
        "enp1s0": Device("connected", "11"),
        "enp2s0": Device("connecting (getting IP configuration)", "22"),
        "lo": Device("connected (externally)", "33"),
        "enp3s0": Device("unavailable"),
        "x": Device("unmanaged"),
    }
