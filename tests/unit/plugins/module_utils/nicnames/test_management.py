# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which devices carry the controller's connection."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.management import (
    above,
    beneath,
    connection,
    default_routes,
    devices,
)
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Nic
from ansible_collections.railyard.sglang.tests.unit.support.nichosts import card
from ansible_collections.railyard.sglang.tests.unit.support.programs import environment

NICS = (
    Nic("lo", 1, addresses=("127.0.0.1/8", "::1/128"), kind="virtual"),
    card(0, "ens0", addresses=("192.0.2.1/24", "fe80::1/64")),
    card(1, "ens1", addresses=(), master="bond0"),
    card(2, "ens2", addresses=(), master="bond0"),
    Nic("bond0", 9, kind="bond"),
    Nic("bond0.7", 10, kind="vlan", lower=("bond0",), addresses=("198.51.100.7/24", "2001:db8::7/64")),
)


@pytest.mark.parametrize(
    ("local", "defaults", "found"),
    [
        ("192.0.2.1", ("bond0",), {"ens0"}),
        ("198.51.100.7", (), {"bond0.7", "bond0", "ens1", "ens2"}),
        ("2001:db8:0::7", (), {"bond0.7", "bond0", "ens1", "ens2"}),
        ("::ffff:192.0.2.1", (), {"ens0"}),
        ("fe80::1%ens0", ("bond0",), {"ens0"}),
        ("", ("bond0",), {"bond0", "ens1", "ens2"}),
        ("127.0.0.1", ("ens0",), {"ens0"}),
        ("203.0.113.9", ("ens0",), {"ens0"}),
        ("", (), set()),
    ],
)
def test_devices(local: str, defaults: tuple[str, ...], found: set[str]) -> None:
    assert devices(NICS, local, defaults) == found


def test_above_and_beneath() -> None:
    assert above(NICS, ["ens1"]) == {"ens1", "bond0", "bond0.7"}
    assert above(NICS, ["gone"]) == {"gone"}
    assert beneath(NICS, ["ens1"]) == {"ens1"}
    circle = (Nic("a", lower=("b",)), Nic("b", lower=("a",)))
    assert beneath(circle, ["a"]) == {"a", "b"}


def test_the_address_of_a_connection(tmp_path: Path) -> None:
    (tmp_path / "41").mkdir()
    (tmp_path / "41/stat").write_text("41 (sh) S 1 1 1 0\n")
    (tmp_path / "41/environ").write_bytes(b"SSH_CONNECTION=192.0.2.9 50000 192.0.2.1 22\0")
    assert connection(str(tmp_path), 41) == ("192.0.2.1", "192.0.2.9")
    assert connection(str(tmp_path), 999) == ("", "")


SERVICE = (
    *NICS,
    Nic("dummy0", 20, kind="dummy", addresses=("192.0.2.200/32",)),
    Nic("wg0", 21, kind="wireguard", addresses=("203.0.113.200/24",)),
)


@pytest.mark.parametrize(
    ("local", "routed", "defaults", "found"),
    [
        ("192.0.2.200", ("ens0",), (), {"dummy0", "ens0"}),
        ("127.0.0.9", ("ens0", "bond0"), (), {"ens0", "bond0", "ens1", "ens2"}),
        ("192.0.2.1", ("ens0", "bond0"), (), {"ens0", "bond0", "ens1", "ens2"}),
        ("203.0.113.200", ("wg0",), ("ens0",), {"wg0", "ens0"}),
        ("192.0.2.1", ("lo",), ("bond0",), {"ens0"}),
    ],
)
def test_devices_of_the_route(local: str, routed: tuple[str, ...], defaults: tuple[str, ...], found: set[str]) -> None:
    assert devices(SERVICE, local, defaults, routed) == found


ROUTES = """
import json, subprocess, sys
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames import management
subprocess.run(sys.argv[1], shell=True, check=True)
print(json.dumps([management.route_devices(*row) for row in json.loads(sys.argv[2])]))
"""
NETWORK = """set -e
ip link set lo up
for name in e0 e1 e2; do ip link add $name type veth peer name p$name; ip link set p$name up; ip link set $name up; done
ip address add 192.0.2.200/32 dev lo
ip address add 198.51.100.1/24 dev e0; ip address add 203.0.113.1/24 dev e1; ip address add 192.0.2.65/26 dev e2
ip -6 address add 2001:db8:a::1/64 dev e0 nodad; ip -6 address add 2001:db8:b::1/64 dev e1 nodad
ip route add default nexthop via 198.51.100.9 dev e0 nexthop via 203.0.113.9 dev e1
ip -6 route add default nexthop via 2001:db8:a::9 dev e0 nexthop via 2001:db8:b::9 dev e1
ip route add 192.0.2.32/28 via 192.0.2.66 dev e2 table 7; ip rule add from 192.0.2.65 lookup 7
"""


def test_all_next_hops_of_the_kernels_own_routes() -> None:
    space = ["unshare", "--user", "--map-root-user", "--net"]
    if shutil.which("ip") is None or subprocess.run([*space, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("no ip, or no network namespaces for this user")
    rows = [
        ("192.0.2.200", "192.0.2.9"), ("::ffff:192.0.2.200", "::ffff:192.0.2.9"), ("2001:db8:a::1", "2001:db8:9::9"),
        ("198.51.100.1", "198.51.100.7"), ("192.0.2.65", "192.0.2.33"), ("fe80::1%e0", "fe80::2%e0"), ("", ""),
    ]
    command = [*space, sys.executable, "-c", ROUTES, NETWORK, json.dumps(rows)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [sorted(routed) for routed, _defaults in found] == [["e0", "e1"], ["e0", "e1"], ["e0", "e1"], ["e0"], ["e2"], ["e0"], []]
    assert [sorted(defaults) for _routed, defaults in found] == [["e0", "e1"]] * len(rows)


def test_default_routes() -> None:
    ipv4 = (
        "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
        "ens0\t00000000\t010200C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n"
        "ens1\t000200C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n"
        "bad\n"
    )
    zero = "0" * 32
    ipv6 = (
        f"{zero} 00 {zero} 00 20010db8000000000000000000000001 00000400 00000001 00000000 00000003     ens2\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo\n"
        f"{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00000200     ens3\n"
        f"20010db8000000000000000000000000 40 {zero} 00 {zero} 00000100 00000001 00000000 00000001     ens4\n"
    )
    assert default_routes(ipv4, ipv6) == ("ens0", "ens2")
    assert default_routes("", "") == ()
