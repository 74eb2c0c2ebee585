# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Network devices and addresses, from files and by netlink."""

from __future__ import annotations

import errno
import json
import socket
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts import net, netlink
from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.sysroot import Root
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host

# An address on fab0, one on mgmt0, and one whose network is routed elsewhere; two default routes, one of them without a gateway.
TRIE = """\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.7
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
     |-- 127.0.0.1
        /32 host LOCAL
     |-- 198.51.100.9
        /32 host LOCAL
     |-- 203.0.113.77
        /32 host LOCAL
     |-- 192.0.2.7
        /32 host LOCAL
"""
ROUTE = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
mgmt0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
mgmt0\t007100CB\t016433C6\t0003\t0\t0\t0\t00FFFFFF\t0\t0\t0
mgmt0\t006433C6\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
fab0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
broken
"""
INET6 = "20010db8000000000000000000000007 03 40 00 80     fab0\nfe800000000000000000000000000007 03 40 20 80     fab0\nbroken line\n"

little = pytest.mark.skipif(sys.byteorder != "little", reason="the texts are of a little-endian machine")


@little
def test_addresses_from_files(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.files("/proc/net", {"fib_trie": TRIE, "route": ROUTE, "if_inet6": INET6})
    assert net.file_addresses(Root(str(tmp_path))) == {
        "fab0": ["192.0.2.7/24", "2001:db8::7/64", "fe80::7/64"],
        "mgmt0": ["198.51.100.9/24"],
    }


@little
def test_a_port_has_the_addresses_of_its_network_device(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.files("/proc/net", {"fib_trie": TRIE, "route": ROUTE, "if_inet6": INET6})
    host.nic("mlx5_0", "17:01.0 18:00.0", netdev="fab0")
    assert host.port("mlx5_0")["addresses"] == ["192.0.2.7/24", "2001:db8::7/64", "fe80::7/64"]
    host.netdev("ens1")
    host.bond("fab0", ["ens1"])
    host.soft("rxe0", "ens1")
    assert host.port("rxe0")["addresses"] == ["192.0.2.7/24", "2001:db8::7/64", "fe80::7/64"]


@pytest.mark.parametrize(
    ("mtu", "wanted"),
    [
        *[(1500, 1024), (4200, 4096), (9000, 4096), (4191, 2048), (4192, 4096), (2144, 2048), (1119, 512)],
        *[(352, 256), (351, None), (0, None), (None, None)],
    ],
)
def test_roce_mtu(mtu: int | None, wanted: int | None) -> None:
    assert net.roce_mtu(mtu) == wanted


def test_interfaces(tmp_path: Path) -> None:
    host = Host(tmp_path)
    host.netdev("ens1", "17:01.0 18:00.0", mtu=9000, speed="400000")
    host.file("/sys/devices/pci0000:17/0000:17:01.0/0000:18:00.0/numa_node", "1")
    host.netdev("ens2", "17:01.0 18:00.1", mtu=9000, state="down", speed="-1")
    host.bond("bond0", ["ens1", "ens2"], mode="active-backup 1")
    host.netdev("bond0.100", uevent="DEVTYPE=vlan\nINTERFACE=bond0.100")
    host.link("/sys/class/net/bond0.100/lower_bond0", "/sys/class/net/bond0")
    found = host.facts(["net"])["interfaces"]
    keys = ("mtu", "state", "speed_mbps", "pci", "numa_node", "virtual", "master", "kind", "lower")
    assert {name: tuple(row[key] for key in keys) for name, row in found.items()} == {
        "ens1": (9000, "up", 400000, "0000:18:00.0", 1, False, "bond0", None, []),
        "ens2": (9000, "down", None, "0000:18:00.1", None, False, "bond0", None, []),
        "bond0": (9000, "up", None, None, None, True, None, None, ["ens1", "ens2"]),
        "bond0.100": (1500, "up", None, None, None, True, None, "vlan", ["bond0"]),
    }
    assert found["bond0"]["bond"] == {"mode": "active-backup", "slaves": ["ens1", "ens2"], "active_slave": None}


# Netlink

pack = netlink.pack


def message(kind: int, body: bytes, flags: int = 0) -> bytes:
    return struct.pack("=IHHII", 16 + len(body), kind, flags, 1, 0) + body + b"\0" * (-len(body) % 4)


def test_attributes() -> None:
    data = pack(1, b"abc") + pack(2 | 0x8000, b"") + pack(3, b"12345678")
    assert list(netlink.attributes(data)) == [(1, b"abc"), (2, b""), (3, b"12345678")]


@pytest.mark.parametrize("cut", range(24))
def test_cut_attributes_and_messages_end(cut: int) -> None:
    data = pack(1, b"abc") + pack(2, b"12345678")
    found = list(netlink.attributes(data[:cut]))
    assert found == [(1, b"abc"), (2, b"12345678")][: len(found)]
    assert len(list(netlink.messages((message(16, b"") + message(17, b"body"))[:cut]))) <= 2


@pytest.mark.parametrize("data", [b"\0\0\1\0", b"\3\0\1\0", b"\xff\xff\1\0abc", b"\4\0"])
def test_senseless_attributes(data: bytes) -> None:
    assert list(netlink.attributes(data)) == []


def test_an_error_is_raised_and_an_acknowledgement_is_not() -> None:
    with pytest.raises(OSError, match="NOTSUP") as caught:
        list(netlink.messages(message(netlink.ERROR, struct.pack("=i", -errno.EOPNOTSUPP))))
    assert caught.value.errno == errno.EOPNOTSUPP
    assert [kind for kind, _flags, _body in netlink.messages(message(netlink.ERROR, struct.pack("=i", 0)))] == [netlink.ERROR]


def address(family: int, prefix: int, index: int, *values: tuple[int, str]) -> bytes:
    rows = [pack(kind, socket.inet_pton(family, text)) for kind, text in values]
    return struct.pack("=BBBBI", family, prefix, 0, 0, index) + b"".join(rows)


def test_addresses_by_netlink() -> None:
    bodies = [
        address(socket.AF_INET, 24, 2, (1, "192.0.2.7"), (2, "192.0.2.7")),
        # A point-to-point link: the other end comes first.
        address(socket.AF_INET, 32, 2, (1, "198.51.100.2"), (2, "198.51.100.1")),
        address(socket.AF_INET6, 64, 3, (1, "2001:db8::7")),
        address(socket.AF_INET, 24, 99, (1, "192.0.2.8")),
        b"\2\0",
        struct.pack("=BBBBI", socket.AF_INET, 24, 0, 0, 2) + pack(1, b"\1\2"),
    ]
    assert netlink.parse_addresses(bodies, {2: "fab0", 3: "fab1"}) == {
        "fab0": ["192.0.2.7/24", "198.51.100.1/32"],
        "fab1": ["2001:db8::7/64"],
    }


def test_dcb() -> None:
    pfc = struct.pack("=BBBxHxx", 8, 0b00001000, 0, 0) + b"\0" * 128
    ets = bytes([0, 8, 0, *[0, 0, 0, 70, 30, 0, 0, 0], *[0] * 8, *[2] * 8, *[0, 0, 0, 3, 4, 5, 6, 7], *[0] * 24])
    rows = b"".join(pack(1, struct.pack("=BBH", *row)) for row in ((5, 3, 26), (1, 2, 0x8915), (5, 6, 48)))
    body = b"\0\25\0\0" + pack(1, b"ens1\0") + pack(13, pack(1, ets) + pack(2, pfc) + pack(3, rows))
    assert netlink.parse_dcb(body) == {
        "pfc": [3],
        "ets_percent": [0, 0, 0, 70, 30, 0, 0, 0],
        "priority_to_class": [0, 0, 0, 3, 4, 5, 6, 7],
        "dscp_to_priority": {"26": 3, "48": 6},
    }


@pytest.mark.parametrize("body", [b"", pack(1, b"ens1\0"), pack(13, b""), pack(13, pack(2, b"\0"))])
def test_no_dcb(body: bytes) -> None:
    assert netlink.parse_dcb(b"\0\25\0\0" + body) is None


def test_addresses_of_this_machine() -> None:
    found = netlink.addresses()
    assert "127.0.0.1/8" in found["lo"]
    by_files = {name: [row for row in rows if ":" not in row] for name, rows in net.file_addresses(Root("/")).items()}
    assert all(set(rows) <= set(found[name]) for name, rows in by_files.items())
    try:
        listed = subprocess.run(["ip", "-json", "address"], capture_output=True, text=True, check=True).stdout
    except FileNotFoundError:
        return
    wanted = {f"{row['local']}/{row['prefixlen']}" for link in json.loads(listed) for row in link["addr_info"]}
    assert {row for rows in found.values() for row in rows} == wanted


def test_this_kernel_answers_or_refuses() -> None:
    assert netlink.dcb(["lo", "no-such-device"]) == {"lo": None, "no-such-device": None}
    if Path("/sys/class/infiniband").is_dir():
        assert set(netlink.rdma_devices()) == {path.name for path in Path("/sys/class/infiniband").iterdir()}
        assert netlink.rdma_netns_mode() in ("shared", "exclusive")
    else:
        with pytest.raises(OSError, match="not supported"):
            netlink.rdma_devices()
