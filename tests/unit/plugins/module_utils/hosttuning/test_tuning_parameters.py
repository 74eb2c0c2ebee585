# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with the wanted set is said with variable and fix, and what is right is taken as it is meant."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.hosttuning import parameters, ports, wanted
from ansible_collections.railyard.sglang.tests.unit.plugins.module_utils.hosttuning.tuned_machine import FULL, RAILS


def faults(**params: Any) -> list[str]:
    return parameters.build({"traffic_class": -1, "rails": RAILS, **params})[1]


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"modules": ["nvidia_peermem; reboot"]}, "rdma_extra_modules: 'nvidia_peermem; reboot' is no name of a module"),
        ({"sysctl": {"vm": 1}}, "rdma_sysctl: 'vm' is no key"),
        ({"sysctl": {"vm//./shadow": 1}}, "rdma_sysctl: 'vm../.shadow' is no key"),
        ({"sysctl": {"/etc/shadow": 1}}, "is no key"),
        ({"sysctl": {"net.ipv4.ip_local_reserved_ports": "5000"}}, "Fix: name the ports in rdma_reserved_ports"),
        ({"sysctl": {"vm.max_map_count": ""}}, "rdma_sysctl: vm.max_map_count has no value"),
        ({"reserved_ports": ["30000-"]}, "rdma_reserved_ports: '30000-' is no port and no range of ports"),
        ({"reserved_ports": ["17000-15000"]}, "rdma_reserved_ports"),
        ({"reserved_ports": ["65536"]}, "rdma_reserved_ports"),
        ({"limits": [{"domain": "a b", "type": "-", "item": "memlock", "value": "1"}]}, "rdma_limits"),
        ({"udev_rules": ["do something"]}, "rdma_udev_rules: 'do something' is no rule"),
        ({"udev_rules": ['KERNEL=="x", MODE="0666"\nRUN+="y"']}, "one line per item"),
        ({"drop_ins": {"../x": {"Unit": {"After": "y"}}}}, "rdma_drop_ins: '../x' is no unit"),
        ({"drop_ins": {"a.service": {"Unit": {"After": "x\n[Service]"}}}}, "rdma_drop_ins: a.service has 'After'"),
        ({"drop_ins": {"a.service": {"Unit": {"After": "x \\"}}}}, "a value on one line, without a backslash at its end"),
        ({"udev_rules": ['KERNEL=="x", MODE="0666" \\']}, "without a backslash at its end"),
        ({"drop_ins": {"a.service": "After=x"}}, "rdma_drop_ins: a.service is no mapping of sections to keys"),
        ({"drop_ins": {"a.service": {"Unit": "After=x"}}}, "rdma_drop_ins: a.service is no mapping of sections to keys"),
        ({"drop_ins": {"a.service": {"Unit": {"After": ["x"]}}}}, "rdma_drop_ins: a.service is no mapping of sections to keys"),
        ({"sysctl_least": {"vm.max_map_count": "many"}}, "sysctl_least: vm.max_map_count = 'many' is no number"),
        (
            {"sysctl": {"net.ipv4.tcp_rmem": [4096, 131072, 6291456]}},
            "rdma_sysctl: net.ipv4.tcp_rmem = [4096, 131072, 6291456] is no single",
        ),
        ({"default_memlock": "much"}, "rdma_default_memlock: 'much'. Fix: infinity"),
        ({"traffic_class": 256}, "rdma_traffic_class: 256. Fix: 0 to 255"),
        ({"pfc": [8]}, "rdma_pfc: [8]. Fix: each priority once, 0 to 7"),
        ({"pfc": [3, 3]}, "rdma_pfc: [3, 3]"),
        ({"priority": 8, "traffic_class": 106}, "rdma_priority: 8"),
        ({"priority": 3}, "rdma_priority: there is no rdma_traffic_class"),
        ({"priority": 3, "traffic_class": 106, "trust": "pcp"}, "with rdma_trust pcp the VLAN tag tells the priority"),
        ({"pfc": [5], "traffic_class": 106}, "traffic class 106 is DSCP 26 and priority 3, which is not among [5]"),
        ({"pfc": [3], "traffic_class": 106, "priority": 5}, "priority 5, which is not among [3]"),
        ({"trust": "dscp", "link_layer": "InfiniBand"}, "rdma_trust: the data ports are InfiniBand"),
        ({"pfc": [3], "rails": []}, "rdma_pfc: the host has no data port"),
        ({"rails": [{"device": "mlx5_0", "netdev": "a b"}]}, "rails: mlx5_0:1: no names of devices"),
    ],
)
def test_what_contradicts_itself_is_refused(params: dict[str, Any], message: str) -> None:
    found = faults(**params)
    assert any(message in fault for fault in found), found
    assert all("Fix: " in fault for fault in found)


@pytest.mark.parametrize(
    "params",
    [
        dict(FULL),
        {"pfc": [], "traffic_class": 106},
        {"pfc": [5], "traffic_class": 236, "priority": 5},
        {"pfc": [3], "trust": "pcp", "traffic_class": 0},
        {"pfc": [3], "traffic_class": 255, "link_layer": "InfiniBand", "rails": RAILS, "trust": None} | {"pfc": None},
        {"udev_rules": ["# why", 'SUBSYSTEM=="net", ATTRS{vendor}=="0x15b3", ENV{X}+="y"']},
        {"sysctl": {"net.ipv4.conf.eth0/100.rp_filter": 2, "net/ipv4/conf/eth0.100/arp_ignore": 1, "kernel.numa_balancing": False}},
    ],
)
def test_what_is_sound_is_taken(params: dict[str, Any]) -> None:
    assert faults(**params) == []


def test_the_operators_map_goes_over_the_defaults() -> None:
    params = {
        "rails": RAILS,
        "sysctl_least": {"vm.max_map_count": 16777216},
        "rail_sysctl": {"arp_ignore": 1, "rp_filter": None},
        "sysctl": {"net/ipv4/conf/ens2.100/arp_ignore": 2, "net.ipv4.conf.ens1.arp_ignore": None, "vm.max_map_count": 1048576},
    }
    found, _faults = parameters.build({"traffic_class": -1, **params})
    assert found.sysctl == {"net.ipv4.conf.ens2/100.arp_ignore": "2", "vm.max_map_count": "1048576"}
    assert found.least == {}
    found, _faults = parameters.build({"traffic_class": -1, **params, "sysctl": {"vm.max_map_count": None}})
    assert found.least == {"net.ipv4.conf.ens1.arp_ignore": 1, "net.ipv4.conf.ens2/100.arp_ignore": 1}


@pytest.mark.parametrize(
    ("params", "keys"),
    [
        ({"rails": RAILS}, 2),
        ({"rails": RAILS[:1]}, 0),
        ({"rails": RAILS, "link_layer": "InfiniBand"}, 0),
        ({"rails": [{"device": "x"}] * 3}, 0),
    ],
)
def test_rails_are_set_apart_where_there_are_several(params: dict[str, Any], keys: int) -> None:
    found, _faults = parameters.build({"traffic_class": -1, "rail_sysctl": {"arp_ignore": 1, "rp_filter": 2}, **params})
    # Of arp_ignore more is stricter; rp_filter has no such order.
    assert (len(found.least), len(found.sysctl)) == (keys, keys)


@pytest.mark.parametrize(
    ("params", "traffic_class", "modules"),
    [
        ({"traffic_class": 106}, 106, ("rdma_cm",)),
        ({"traffic_class": 0, "modules": ["nvidia-peermem", "rdma_cm"]}, 0, ("nvidia_peermem", "rdma_cm")),
        ({"traffic_class": -1}, None, ()),
        ({"traffic_class": 106, "link_layer": "InfiniBand"}, None, ()),
    ],
)
def test_a_traffic_class_needs_rdma_cm_and_ethernet(params: dict[str, Any], traffic_class: int, modules: tuple[str, ...]) -> None:
    found, _faults = parameters.build({"rails": RAILS, **params})
    assert (found.traffic_class, found.modules) == (traffic_class, modules)


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("net.ipv4.conf.eth0/100.arp_ignore", "net.ipv4.conf.eth0/100.arp_ignore"),
        ("net/ipv4/conf/eth0.100/arp_ignore", "net.ipv4.conf.eth0/100.arp_ignore"),
        ("vm.max_map_count", "vm.max_map_count"),
        ("vm/max_map_count", "vm.max_map_count"),
    ],
)
def test_keys_in_both_spellings(given: str, key: str) -> None:
    assert wanted.canonical(given) == key


@pytest.mark.parametrize(
    ("text", "count", "shown"),
    [("", 0, ""), ("5000", 1, "5000"), ("30001,30000, 30002,5", 4, "5,30000-30002"), ("15000-17000,16999-17002", 2003, "15000-17002")],
)
def test_lists_of_ports(text: str, count: int, shown: str) -> None:
    assert len(ports.numbers(text)) == count
    assert ports.text(ports.numbers(text)) == shown
