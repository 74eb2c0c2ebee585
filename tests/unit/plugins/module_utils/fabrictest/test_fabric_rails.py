# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which ports form a rail, also where a host lacks one."""

from __future__ import annotations

from typing import Any

from ansible_collections.railyard.sglang.plugins.module_utils.fabrictest.rails import match, ports, summary


def row(device: str, *addresses: str) -> dict[str, Any]:
    return {"device": device, "port": 1, "addresses": list(addresses)}


def host(number: int, rails: int = 4, without: int = -1) -> list[dict[str, Any]]:
    return [row(f"mlx5_{rail}", f"198.18.{rail}.{number}/24") for rail in range(rails) if rail != without]


def shown(found: Any) -> list[dict[str, str]]:
    return [{name: item["device"] for name, item in rail.items()} for rail in found.rails]


def test_the_same_place_is_the_same_rail() -> None:
    found = match({"a": [row("x0"), row("x1")], "b": [row("y0"), row("y1")]})
    assert shown(found) == [{"a": "x0", "b": "y0"}, {"a": "x1", "b": "y1"}]
    assert found.missing == []


def test_a_lost_port_does_not_shift_the_others() -> None:
    found = match({"a": host(1, without=1), "b": host(2)}, {"a": {"mlx5_1:1": "DOWN, not ACTIVE", "mlx5_9:1": "10 Gb/s, slower"}})
    assert shown(found) == [
        {"b": "mlx5_0", "a": "mlx5_0"}, {"b": "mlx5_1"}, {"b": "mlx5_2", "a": "mlx5_2"}, {"b": "mlx5_3", "a": "mlx5_3"},
    ]
    assert found.missing == [{"rail": 1, "host": "a", "why": "mlx5_1:1 is DOWN, not ACTIVE"}]


def test_two_hosts_that_lack_different_ports() -> None:
    found = match({"a": host(1, without=1), "b": host(2, without=2)})
    assert [sorted(rail) for rail in found.rails] == [["a", "b"], ["a"], ["a", "b"], ["b"]]
    assert {(item["rail"], item["host"]) for item in found.missing} == {(1, "b"), (3, "a")}
    for rail in found.rails:
        assert len({item["device"] for item in rail.values()}) == 1


def test_without_networks_names_of_devices_decide() -> None:
    infiniband = {"a": [row("mlx5_0"), row("mlx5_2")], "b": [row("mlx5_0"), row("mlx5_1"), row("mlx5_2")]}
    found = match(infiniband, {"a": {"mlx5_1:1": "INIT, not ACTIVE"}})
    assert shown(found) == [{"b": "mlx5_0", "a": "mlx5_0"}, {"b": "mlx5_1"}, {"b": "mlx5_2", "a": "mlx5_2"}]
    assert found.missing[0]["why"] == "mlx5_1:1 is INIT, not ACTIVE"


def test_one_flat_network_says_nothing() -> None:
    flat = {name: [row(f"{name}{rail}", f"198.18.0.{number * 8 + rail}/16") for rail in range(3)] for number, name in enumerate("ab")}
    assert shown(match(flat)) == [{"a": f"a{rail}", "b": f"b{rail}"} for rail in range(3)]


def test_links_of_two_ends_are_paired_by_place() -> None:
    routed = {name: [row(f"{name}{rail}", f"198.18.{number}.{rail * 2}/31") for rail in range(3)] for number, name in enumerate("ab")}
    assert shown(match(routed)) == [{"a": f"a{rail}", "b": f"b{rail}"} for rail in range(3)]


def test_more_ports_than_others_have() -> None:
    found = match({"a": host(1, rails=2), "b": host(2, rails=4)})
    assert [sorted(rail) for rail in found.rails] == [["a", "b"], ["a", "b"], ["b"], ["b"]]
    assert found.missing[0]["why"] == "the host has fewer data ports than others"


def test_ports_have_rate_and_layer_of_the_facts() -> None:
    facts = {
        "devices": [{"name": "mlx5_0", "ports": [{"port": 1, "rate_gbps": 400.0, "link_layer": "Ethernet", "active_mtu": 4096}]},
                    {"name": "rxe0", "virtual": True, "ports": [{"port": 1, "rate_gbps": 2.5, "rate_true": False}]}],
        "selection": {"rails": [{"rail": 0, "device": "mlx5_0", "port": 1, "gid_index": 3, "addresses": ["198.18.0.1/24", "198.18.0.1"]}]},
    }
    (found,) = ports(facts, None)
    assert (found["rate"], found["rate_true"], found["link_layer"], found["gid_index"]) == (400.0, True, "Ethernet", 3)
    assert found["addresses"] == ["198.18.0.1/24"]
    planned = {"known": True, "rails": [{"rail": 0, "device": "rxe0", "port": 1}]}
    (found,) = ports(facts, planned)
    assert (found["device"], found["rate_true"]) == ("rxe0", False), "the plan's choice wins"
    (found,) = ports(facts, {"known": False, "rails": []})
    assert found["device"] == "mlx5_0", "a plan that has not looked decides nothing"


def test_what_a_schedule_knows_of_a_host() -> None:
    facts = {
        "devices": [{"name": "mlx5_0", "ports": [{"port": 1, "rate_gbps": 40.0, "speed": "QDR", "link_layer": "InfiniBand"}]}],
        "selection": {"rails": [{"device": "mlx5_0", "port": 1}], "left_out": {"mlx5_1:1": "DOWN, not ACTIVE"}, "missing": ["mlx5_1:1"]},
    }
    row = {"address": "203.0.113.1", "cluster": "a", "facts": facts, "planned": None, "traffic_class": "106"}
    found = summary(row)
    assert (found["rdma"], found["traffic_class"], found["missing"]) == (False, 106, ["mlx5_1:1"])
    assert (found["ports"][0]["speed"], found["ports"][0]["link_layer"]) == ("QDR", "InfiniBand")
    planned = {"known": True, "rails": [], "missing": ["mlx5_2:1"], "left_out": {"mlx5_2:1": "INIT, not ACTIVE"}}
    found = summary({**row, "planned": planned, "traffic_class": -1})
    assert (found["rdma"], found["traffic_class"], found["missing"], found["ports"]) == (True, None, ["mlx5_2:1"], [])
    assert summary({**row, "traffic_class": None, "facts": None})["traffic_class"] is None
