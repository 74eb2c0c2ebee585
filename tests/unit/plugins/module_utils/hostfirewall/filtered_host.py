# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host of the lab's shape and what a call asks of it, for the tests of the host's filter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall import parameters
from ansible_collections.railyard.sglang.plugins.module_utils.hostfirewall.wanted import Connection, Host, Profile, Runtime, Seen, Wanted
from ansible_collections.railyard.sglang.tests.unit.support.clusters import cluster, looked

CONNECTION = Connection("198.51.100.1", "198.51.100.10", 22)
HOST = Host(
    {"203.0.113.10": "fab0", "198.51.100.10": "mgmt0", "2001:db8::10": "mgmt0", "127.0.0.1": "lo", "192.0.2.1": "other0"},
    ("fab0", "lo", "mgmt0", "other0"), CONNECTION,
)
PUBLIC = Runtime("default", (), (), (), {"services": "ssh dhcpv6-client"})


def options(host: str = "p0", changes: dict[str, Any] | None = None, **given: Any) -> dict[str, Any]:
    """Return the options of the module for a host of the lab.

    :param changes: of the lab's inventory.
    """
    inventory = looked() if host == "looked" else cluster()
    plan = inventory.change({"sglang_fabric_interface": "fab0", **(changes or {})}).plan()["hosts"]["p0" if host == "looked" else host]
    return {
        "state": "present", "provider": "firewalld", "plan": plan, "clients": [], "monitoring": [], "controllers": [],
        "fabric_test_ports": [], "also": [], "take": False, **given,
    }


def wanted(host: str = "p0", changes: dict[str, Any] | None = None, **given: Any) -> Wanted:
    """Return what such a call asks for."""
    found, faults = parameters.build(options(host, changes, **given))
    assert faults == []
    return found


def seen(**given: Any) -> Seen:
    """Return the host with a firewalld that has its default zone."""
    return replace(Seen(host=HOST, runtime={"public": PUBLIC}, ruleset=[]), **given)


def also(port: str, scope: str = "management", *sources: str) -> dict[str, Any]:
    """Return a row of option C(also)."""
    return {"port": port, "protocol": "tcp", "scope": scope, "sources": list(sources), "purpose": "exporter"}


def keyfile(device: str, zone: str | None = None) -> Profile:
    """Return a profile of NetworkManager on an interface."""
    line = f"zone={zone}\n" if zone else ""
    content = f"# of the operator\n[connection]\nid={device}\nuuid=u-{device}\n{line}type=ethernet\n".encode()
    return Profile(f"u-{device}", device, device, f"/etc/NetworkManager/system-connections/{device}.nmconnection", content, zone)
