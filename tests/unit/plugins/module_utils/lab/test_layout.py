# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

from ipaddress import IPv4Network

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.lab.errors import LabError
from ansible_collections.railyard.sglang.plugins.module_utils.lab.layout import (
    Shape,
    check_name,
    lab_hosts,
    nodes_per_instance,
    parse_shape,
)

MANAGEMENT, FABRIC = IPv4Network("198.51.100.0/24"), IPv4Network("203.0.113.0/24")


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("2p2d", Shape(2, 2)),
        ("1p1d", Shape(1, 1)),
        ("4p2d", Shape(4, 2)),
        ("90p90d", Shape(90, 90)),
        ("10p1d", Shape(10, 1)),
    ],
)
def test_shape_is_read_and_written(text: str, shape: Shape) -> None:
    assert parse_shape(text) == shape
    assert str(shape) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2p",
        "p2d",
        "2d2p",
        "0p1d",
        "1p0d",
        "01p1d",
        "91p1d",
        "1p91d",
        "100p1d",
        " 2p2d",
        "2p2d\n",
        "2P2D",
        "-1p1d",
        "2p2d1r",
    ],
)
def test_no_shape_names_grammar(text: str) -> None:
    with pytest.raises(LabError, match=r"(?s)shape is '.*<prefill hosts>p<decode hosts>d with 1 to 90 of each"):
        parse_shape(text)


@pytest.mark.parametrize(
    ("shape", "asked", "nodes"),
    [
        ("2p2d", None, 2),
        ("4p2d", None, 2),
        ("1p1d", None, 1),
        ("2p1d", None, 1),
        ("3p3d", None, 1),
        ("3p3d", 3, 3),
        ("4p4d", 4, 4),
        ("4p4d", 1, 1),
    ],
)
def test_nodes_per_instance(shape: str, asked: int | None, nodes: int) -> None:
    assert nodes_per_instance(parse_shape(shape), asked) == nodes


@pytest.mark.parametrize(("shape", "asked"), [("2p1d", 2), ("4p4d", 3), ("2p2d", 0), ("2p2d", -1), ("2p2d", 4)])
def test_nodes_that_do_not_divide(shape: str, asked: int) -> None:
    with pytest.raises(LabError, match=f"nodes_per_instance is {asked}, .*divide both counts"):
        nodes_per_instance(parse_shape(shape), asked)


def test_hosts_of_the_default_lab() -> None:
    hosts = lab_hosts(parse_shape("2p2d"), MANAGEMENT, FABRIC)
    assert [(host.name, host.group, host.management_address, host.fabric_address) for host in hosts] == [
        ("p0", "prefill", "198.51.100.10", "203.0.113.10"),
        ("p1", "prefill", "198.51.100.11", "203.0.113.11"),
        ("d0", "decode", "198.51.100.110", "203.0.113.110"),
        ("d1", "decode", "198.51.100.111", "203.0.113.111"),
        ("r0", "router", "198.51.100.210", "203.0.113.210"),
    ]


def test_largest_lab_has_unique_addresses_within_its_networks() -> None:
    hosts = lab_hosts(parse_shape("90p90d"), MANAGEMENT, FABRIC)
    addresses = [host.management_address for host in hosts]
    assert len(set(addresses)) == len(hosts) == 181
    assert not {"198.51.100.0", "198.51.100.1", "198.51.100.255"} & set(addresses)


def test_address_of_a_host_does_not_depend_on_the_shape() -> None:
    small, large = (lab_hosts(parse_shape(shape), MANAGEMENT, FABRIC) for shape in ("1p1d", "9p4d"))
    assert set(small) < set(large)


@pytest.mark.parametrize("name", ["lab", "a", "ci42", "abcdefghijklmnop"])
def test_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "Lab", "4lab", "my-lab", "lab/..", "abcdefghijklmnopq", "lab\n"])
def test_no_names(name: str) -> None:
    with pytest.raises(LabError, match="name is '"):
        check_name(name)
