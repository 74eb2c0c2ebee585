# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options to flows, flows and interfaces to zones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Optional

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import connection, parameters, zones
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import FABRIC, MANAGEMENT, Connection, Host, Wanted, Zone
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hostfirewall.filtered_host import (
    CONNECTION,
    HOST,
    also,
    options,
    wanted,
)

Row = tuple[Optional[tuple[str, ...]], str, str]
ENGINES = ("203.0.113.10/31", "203.0.113.110/31")
FABRIC_ROWS: list[Row] = [
    (("198.51.100.210", "203.0.113.210"), "203.0.113.10", "tcp 30000"),
    (ENGINES, "203.0.113.10", "tcp 8998"),
    (("203.0.113.10/31",), "203.0.113.10", "tcp 5000"),
    (("203.0.113.110/31",), "203.0.113.10", "tcp 15000-17000"),
    (ENGINES, "", "tcp 32768-60999"),
]
SSH: Row = (None, "", "tcp 22")


def made(given: Wanted, host: Host = HOST) -> dict[str, Zone]:
    found, faults, _notes = zones.zones(given, host)
    assert faults == []
    return found


def rows(zone: Zone) -> list[Row]:
    return [(rule.sources, rule.destination, f"{rule.protocol} {rule.port}") for rule in zone.rules]


def test_the_zones_of_an_engine_host() -> None:
    found = made(wanted())
    assert {scope: zone.interfaces for scope, zone in found.items()} == {FABRIC: ("fab0",), MANAGEMENT: ("mgmt0",)}
    assert sorted(rows(found[FABRIC]), key=str) == sorted(FABRIC_ROWS, key=str)
    assert rows(found[MANAGEMENT]) == [SSH]


def test_the_zone_of_a_router_host() -> None:
    host = Host({"198.51.100.210": "mgmt0"}, ("mgmt0", "fab0"), Connection("198.51.100.1", "198.51.100.210", 22))
    found = made(wanted("r0", monitoring=["198.51.100.7"]), host)
    assert found[MANAGEMENT].interfaces == ("mgmt0",)
    assert rows(found[MANAGEMENT]) == [
        (None, "198.51.100.210", "tcp 8000"), (("198.51.100.7",), "198.51.100.210", "tcp 29000"), SSH,
    ]


# Options, host, rows that a scope must have, and rows that it must not have.
SHAPES: dict[str, tuple[Wanted, Host, str, list[Row], list[Row]]] = {
    "monitoring reads metrics of engines": (
        wanted(monitoring=["198.51.100.0/28"]), HOST, FABRIC, [(("198.51.100.0/28",), "203.0.113.10", "tcp 30000")], [],
    ),
    "controllers given": (
        wanted(controllers=["198.51.100.0/24"]), HOST, MANAGEMENT, [(("198.51.100.0/24",), "", "tcp 22")], [SSH],
    ),
    "another port of SSH than the plan's": (
        wanted(), replace(HOST, connection=Connection("198.51.100.1", "198.51.100.10", 2222)), MANAGEMENT,
        [SSH, (None, "", "tcp 2222")], [],
    ),
    "the controller comes by the fabric": (
        wanted(), replace(HOST, connection=Connection("203.0.113.1", "203.0.113.10", 22)), FABRIC, [SSH, *FABRIC_ROWS], [],
    ),
    "the controller comes by an address that IPv6 carries": (
        wanted(), replace(HOST, connection=Connection("::ffff:203.0.113.1", "::ffff:203.0.113.10", 22)), FABRIC, [SSH], [],
    ),
    "the controller comes by a link-local address": (
        wanted(), replace(HOST, connection=Connection("fe80::1", "fe80::2%fab0", 22)), FABRIC, [SSH], [],
    ),
    "one network for everything": (
        wanted(changes={"p0:ansible_host": "203.0.113.10"}), replace(HOST, connection=None), FABRIC, [SSH, *FABRIC_ROWS], [],
    ),
    "the fabric test": (
        wanted(fabric_test_ports=["18515-18578"]), HOST, FABRIC, [(ENGINES, "", "tcp 18515-18578")], [],
    ),
    "what else is let in": (
        wanted(also=[also("9100"), also("9200", "management", "192.0.2.0/24", "2001:db8::/64")]), HOST, MANAGEMENT,
        [(None, "", "tcp 9100"), (("192.0.2.0/24",), "", "tcp 9200"), (("2001:db8::/64",), "", "tcp 9200")], [],
    ),
    "ranks that meet on the management network": (
        wanted(changes={"p0:sglang_bind_address": "0.0.0.0", "p0:sglang_dist_init_address": "198.51.100.10"}), HOST, MANAGEMENT,
        [(("198.51.100.10", "203.0.113.10/31"), "198.51.100.10", "tcp 5000"), (("198.51.100.10", *ENGINES), "", "tcp 32768-60999")], [],
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_shape(name: str) -> None:
    given, host, scope, there, absent = SHAPES[name]
    found = rows(made(given, host)[scope])
    assert [row for row in there if row not in found] == []
    assert [row for row in absent if row in found] == []


def roce(soft: tuple[str, ...]) -> list[Row]:
    given = wanted("looked")
    host = replace(HOST, interfaces=(*HOST.interfaces, *given.fabric_interfaces), soft_roce=soft)
    return [row for row in rows(made(given, host)[FABRIC]) if row[2] == "udp 4791"]


def test_roce_is_open_for_soft_devices_only() -> None:
    assert roce(()) == []
    (row,) = roce(("rxe0",))
    assert row[0]


def test_rails_are_in_the_fabric_zone() -> None:
    given = wanted("looked")
    assert len(given.fabric_interfaces) > 1
    host = replace(HOST, interfaces=(*HOST.interfaces, *given.fabric_interfaces))
    assert set(made(given, host)[FABRIC].interfaces) == set(given.fabric_interfaces)


def test_an_interface_that_is_missing_is_a_fault() -> None:
    _found, faults, _notes = zones.zones(wanted(), replace(HOST, interfaces=("mgmt0",)))
    assert len(faults) == 1
    assert "fab0 is not on this host" in faults[0]


def test_a_controller_that_would_be_shut_out_is_a_fault() -> None:
    _found, faults, _notes = zones.zones(wanted(controllers=["192.0.2.0/24"]), HOST)
    assert len(faults) == 1
    assert "network_firewall_controllers: the controller comes from 198.51.100.1" in faults[0]


def test_without_a_management_interface_only_the_fabric_is_filtered() -> None:
    host = replace(HOST, addresses={"203.0.113.10": "fab0"}, connection=None)
    found, faults, notes = zones.zones(wanted(), host)
    assert (list(found), faults, len(notes)) == ([FABRIC], [], 1)


def test_no_interface_at_all_is_a_fault() -> None:
    _found, faults, _notes = zones.zones(replace(wanted(), fabric_interfaces=()), Host())
    assert "no interface of this host holds an address" in faults[0]


FAULTS: list[tuple[dict[str, Any], str]] = [
    ({"clients": ["198.51.100.300"]}, "network_firewall_clients: '198.51.100.300' is neither"),
    ({"monitoring": ["x"]}, "network_firewall_monitoring"),
    ({"controllers": ["198.51.100.0/33"]}, "network_firewall_controllers"),
    ({"also": [also("0")]}, "network_firewall_also[0].port: '0' is no port"),
    ({"also": [also("9100-9000")]}, "'9100-9000' is no port"),
    ({"also": [also("9100", "management", "nowhere")]}, "network_firewall_also[0].sources"),
    ({"fabric_test_ports": ["70000"]}, "network_firewall_fabric_test: '70000' is no port"),
    ({"plan": {}}, "the plan says nothing of this host"),
]


@pytest.mark.parametrize(("given", "text"), FAULTS, ids=[text for _given, text in FAULTS])
def test_wrong_options(given: dict[str, Any], text: str) -> None:
    _wanted, faults = parameters.build(options(**given))
    assert len(faults) == 1
    assert text in faults[0]
    assert "Fix: " in faults[0]


def test_the_connection_is_found_above_sudo(tmp_path: Any) -> None:
    told = b"B=2\0SSH_CONNECTION=198.51.100.1 5000 198.51.100.10 22\0"
    rows = ((30, 20, "python3", b"PATH=/bin\0"), (20, 10, "sudo (x) y", b"A=1\0"), (10, 1, "sshd", told))
    for pid, parent, name, environment in rows:
        directory = tmp_path / str(pid)
        directory.mkdir()
        (directory / "environ").write_bytes(environment)
        (directory / "stat").write_text(f"{pid} ({name}) S {parent} 1 1", encoding="utf-8")
    assert connection.find(str(tmp_path), 30) == CONNECTION
    (tmp_path / "10/environ").write_bytes(b"SSH_CONNECTION=broken\0")
    assert connection.find(str(tmp_path), 30) is None
