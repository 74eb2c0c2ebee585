# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New values for old ones: forms, what belongs together, and that nothing is lost or betrayed."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ansible_collections.railyard.sglang.plugins.module_utils.hostfacts.disguise import Disguise, known_hosts

FUZZ = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
Use = Callable[[Disguise, str], str]
USES: dict[str, Use] = {
    "guid": Disguise.guid, "gid": Disguise.gid, "hardware": Disguise.hardware, "serial": Disguise.serial, "uuid": Disguise.uuid,
    "address": Disguise.address, "account": Disguise.account, "name": Disguise.name, "path": Disguise.path, "scan": Disguise.scan,
}


def disguised(rows: list[tuple[str, str]], hosts: list[str] | None = None) -> list[str]:
    """Return new values for old ones of some kinds."""
    disguise = Disguise(hosts or [])
    for kind, text in rows:
        USES[kind](disguise, text)
    disguise.settle()
    return [USES[kind](disguise, text) for kind, text in rows]


@pytest.mark.parametrize(
    ("rows", "new"),
    [
        # One card: MAC address, GUID, address that is made of it, and names that udev makes of it.
        (
            [
                ("hardware", "b8:3f:d2:e3:14:2a"), ("guid", "b83f:d203:00e3:142a"), ("gid", "fe80:0000:0000:0000:ba3f:d2ff:fee3:142a"),
                ("address", "fe80::ba3f:d2ff:fee3:142a/64"), ("name", "enxb83fd2e3142a"), ("name", "rocexb83fd20300e3142a"),
                ("path", "/sys/class/net/enxb83fd2e3142a.7/mtu"),
                ("hardware", "00:00:10:49:fe:80" + ":00" * 6 + ":b8:3f:d2:03:00:e3:14:2a"),
            ],
            [
                "b8:3f:d2:00:00:01", "b83f:d203:0000:0001", "fe80:0000:0000:0000:ba3f:d2ff:fe00:0001", "fe80::ba3f:d2ff:fe00:1/64",
                "enxb83fd2000001", "rocexb83fd20300000001", "/sys/class/net/enxb83fd2000001.7/mtu",
                "00:00:10:49:fe:80" + ":00" * 6 + ":b8:3f:d2:03:00:00:00:01",
            ],
        ),
        # The next port of a card, another vendor, and one that chose its address itself.
        (
            [
                ("hardware", "b8:3f:d2:e3:14:2b"), ("hardware", "b8:3f:d2:e3:14:2a"), ("hardware", "00:0a:f7:00:00:09"),
                ("hardware", "5a:1b:2c:3d:4e:5f"),
            ],
            ["b8:3f:d2:00:00:02", "b8:3f:d2:00:00:01", "00:0a:f7:00:00:01", "02:00:00:00:00:01"],
        ),
        # What would be a new value is there already.
        ([("hardware", "b8:3f:d2:00:00:01"), ("hardware", "b8:3f:d2:00:00:02"), ("guid", "0011:7500:0000:0001"),
          ("serial", "1000000000000001")],
         ["b8:3f:d2:00:00:03", "b8:3f:d2:00:00:04", "0011:7500:0000:0002", "1000000000000002"]),
        # GUIDs of cards that are not made of a MAC address keep their vendor; random halves of addresses have none.
        ([("guid", "0011:7501:0165:abcd"), ("gid", "fe80:0000:0000:0000:0011:7501:0165:abcd")],
         ["0011:7500:0000:0001", "fe80:0000:0000:0000:0011:7500:0000:0001"]),
        ([("gid", "fe80:0000:0000:0000:7c31:9a0b:12ef:0456")], ["fe80:0000:0000:0000:0000:0000:0000:0001"]),
        # Nothing, and what every host has.
        ([("guid", "0000:0000:0000:0000"), ("hardware", "00:00:00:00:00:00"), ("hardware", "ff:ff:ff:ff:ff:ff")],
         ["0000:0000:0000:0000", "00:00:00:00:00:00", "ff:ff:ff:ff:ff:ff"]),
        ([("address", "127.0.0.1/8"), ("address", "::1/128"), ("address", "0.0.0.0"), ("account", "root"), ("account", "*"),
          ("account", "@1000:")],
         ["127.0.0.1/8", "::1/128", "0.0.0.0", "root", "*", "@1000:"]),
        # An address and the GID that is made of it; link-local ones stay so.
        ([("address", "192.0.2.9/29"), ("gid", "0000:0000:0000:0000:0000:ffff:c000:0209"), ("address", "169.254.7.8/16")],
         ["203.0.113.1/29", "0000:0000:0000:0000:0000:ffff:cb00:7101", "169.254.1.1/16"]),
        ([("address", "2001:db8:5::7/64"), ("address", "2001:db8:5::8/64"), ("address", "2001:db8:6::7")],
         ["2001:db8:0:1::1/64", "2001:db8:0:1::2/64", "2001:db8:0:2::1"]),
        ([("hardware", "c0:00:02:07"), ("hardware", "01:02:03")], ["cb:00:71:07", "00:00:00"]),
        ([("uuid", "GPU-5fd4f087-86f3-7a43-b711-4771313afc50"), ("scan", "x 5FD4F087-86f3-7a43-b711-4771313afc50")],
         ["GPU-00000000-0000-4000-8000-000000000001", "x 00000000-0000-4000-8000-000000000001"]),
        # Hexadecimal or not, of the same length.
        ([("serial", "1f2e3d4c5b6a7988"), ("serial", "0000a0b1"), ("serial", "MT2231X09999"), ("serial", "")],
         ["1000000000000001", "00002711", "000000000001", ""]),
        ([("account", "kea"), ("account", "@kea"), ("account", "%moa")], ["account1", "@account1", "%account2"]),
        ([("path", "/sys/devices/VMBUS:00/5fd4f087-86f3-7a43-b711-4771313afc50/net/ens1")],
         ["/sys/devices/VMBUS:00/00000000-0000-4000-8000-000000000001/net/ens1"]),
    ],
)
def test_forms(rows: list[tuple[str, str]], new: list[str]) -> None:
    assert disguised(rows) == new


@pytest.mark.parametrize(
    ("text", "new"),
    [
        ("/etc/systemd/system/kea7.service", "/etc/systemd/system/host2.service"),
        ("/opt/units/kea7/a.service", "/opt/units/host2/a.service"),
        ("/lib/modules/6.1.0-KEA7/modules.dep", "/lib/modules/6.1.0-host2/modules.dep"),
        ("/sys/class/net/kea7-br/mtu", "/sys/class/net/host2-br/mtu"),
        ("/sys/class/net/bond0/lower_kea7", "/sys/class/net/bond0/lower_host2"),
        ("/sys/class/net/kea77/mtu", "/sys/class/net/kea77/mtu"),
        # The kernel has names of its own that hosts may have, too.
        ("/sys/devices/system/node/kea7", "/sys/devices/system/node/kea7"),
    ],
)
def test_host_names_where_people_write_them(text: str, new: str) -> None:
    assert disguised([("path", text)], ["kea7.example.org", "kea7"]) == [new]


def test_known_hosts() -> None:
    assert known_hosts(["kea7.example.org", "198.51.100.7", "2001:db8::7", "", "moa"]) == ["kea7.example.org", "kea7", "moa"]


HEX = "0123456789abcdef"
MACS = st.text(HEX, min_size=12, max_size=12).map(lambda text: ":".join(text[place : place + 2] for place in range(0, 12, 2)))
GUIDS = st.text(HEX, min_size=16, max_size=16).map(lambda text: ":".join(text[place : place + 4] for place in range(0, 16, 4)))
GIDS = st.tuples(st.sampled_from(["fe80:0000:0000:0000", "2001:0db8:0000:0007", "fec0:0000:0000:0001"]), GUIDS).map(":".join)
SERIALS = st.text(HEX, min_size=12, max_size=20)
VALUES = {"hardware": MACS, "guid": GUIDS, "gid": GIDS, "serial": SERIALS, "address": st.ip_addresses().map(str)}
ROW = st.sampled_from(sorted(VALUES)).flatmap(lambda kind: st.tuples(st.just(kind), VALUES[kind]))


@FUZZ
@given(rows=st.lists(ROW, min_size=1, max_size=30))
def test_one_for_each_and_none_of_the_old(rows: list[tuple[str, str]]) -> None:
    new = disguised(rows)
    table: dict[tuple[str, str], str] = {}
    for row, text in zip(rows, new, strict=True):
        assert table.setdefault(row, text) == text
        if row[0] != "address":
            assert re.sub(f"[{HEX}]", "x", row[1]) == re.sub(f"[{HEX}]", "x", text)
    for kind in VALUES:
        values = {row: text for row, text in table.items() if row[0] == kind}
        assert len(set(values.values())) == len(values)
    kept = {text for (_kind, old), text in table.items() if text == old}
    assert all(re.fullmatch("(fe80)?[0:]+|ff:ff:ff:ff:ff:ff|127.*|0[.].*|::1?|(22[4-9]|2[345][0-9])[.].*|ff.*", text) for text in kept)
    assert {old for _kind, old in rows} & set(new) <= kept
