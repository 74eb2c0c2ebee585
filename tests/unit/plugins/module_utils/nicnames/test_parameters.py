# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Parameters of nic_names, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.parameters import build
from ansible_collections.railyard.sglang.plugins.module_utils.nicnames.shapes import Wanted, WantedNic

MAC = "00:00:5e:00:53:01"


def test_all_of_them() -> None:
    nics = [
        {"name": "roce0", "mac": "00-00-5E-00-53-01", "pci": None, "rail": None, "mtu": 9000, "rdma": "mlx5_rail0"},
        {"name": "roce1", "pci": "0C:00.0"},
        {"name": "roce2", "rail": 0},
        {"name": "roce3", "mac": "00005e005303"},
    ]
    asked = {"nics": nics, "rails": {"0": "ens0", 1: "ens1"}, "carries": ["ens0"], "stale": "remove", "apply": "boot", "remap": True}
    wanted, faults = build({"state": "present", **asked, "allow_management": True, "allow_disruption": True})
    assert faults == []
    assert wanted == Wanted(
        nics=(
            WantedNic("roce0", mac=MAC, mtu=9000, rdma="mlx5_rail0"),
            WantedNic("roce1", pci="0000:0c:00.0"),
            WantedNic("roce2", rail=0),
            WantedNic("roce3", mac="00:00:5e:00:53:03"),
        ),
        rails={0: "ens0", 1: "ens1"},
        carries=("ens0",),
        stale="remove",
        at_boot=True,
        remap=True,
        allow_management=True,
        allow_disruption=True,
    )


def test_none_of_them() -> None:
    assert build({}) == (Wanted(), [])
    assert build({"state": "present", "nics": [], "rails": None, "carries": None, "apply": "live"}) == (Wanted(), [])


def test_absent_takes_no_interfaces() -> None:
    wanted, faults = build({"state": "absent", "nics": [{"name": "eth0"}], "carries": []})
    assert (wanted, faults) == (Wanted(present=False, carries=()), [])


@pytest.mark.parametrize(
    ("nics", "rails", "words"),
    [
        ([{"name": "eth0", "mac": MAC}], {}, "'eth0' cannot be used"),
        ([{"name": "", "mac": MAC}], {}, "cannot be used"),
        ([{"name": "roce0"}], {}, "says not where to find it"),
        ([{"name": "roce0", "mac": MAC, "rail": 0}], {}, "found by mac and rail at once"),
        ([{"name": "roce0", "mac": "00:00:5e:00:53"}], {}, "is no MAC address"),
        ([{"name": "roce0", "mac": ":".join(["00"] * 20)}], {}, "InfiniBand goes by pci"),
        ([{"name": "roce0", "pci": "0000:0c:00"}], {}, "is no PCI address"),
        ([{"name": "roce0", "rail": -1}], {}, "rail -1 is negative"),
        ([{"name": "roce0", "mac": MAC, "mtu": 67}], {}, "MTU 67"),
        ([{"name": "roce0", "mac": MAC, "mtu": 65536}], {}, "MTU 65536"),
        ([{"name": "roce0", "mac": MAC, "rdma": "rail0"}], {}, "'mlx5' among them"),
        ([{"name": "roce0", "mac": MAC, "rdma": "mlx5 0"}], {}, "cannot be used"),
        ([{"name": "roce0", "mac": MAC, "rdma": "mlx5_0"}], {}, "the driver itself gives out such names"),
        ([{"name": "roce0", "mac": MAC, "rdma": "mlx5_bond_12"}], {}, "the driver itself gives out such names"),
        ([{"name": "roce0", "mac": MAC}, {"name": "roce0", "rail": 1}], {}, "name roce0 is there 2 times"),
        ([{"name": "roce0", "mac": MAC}, {"name": "roce1", "mac": MAC.upper()}], {}, f"MAC address {MAC} is there 2 times"),
        ([{"name": "roce0", "rail": 0}, {"name": "roce1", "rail": 0}], {}, "rail 0 is there 2 times"),
        ([{"name": "a", "pci": "0c:00.0"}, {"name": "b", "pci": "0000:0c:00.0"}], {}, "PCI address 0000:0c:00.0 is there 2 times"),
        ([{"name": "a", "rail": 0, "rdma": "mlx5_a"}, {"name": "b", "rail": 1, "rdma": "mlx5_a"}], {}, "RDMA name mlx5_a"),
        ([], {"x": "ens0"}, "x: ens0 is no rail"),
        ([], {"0": ""}, "is no rail"),
        ([], {"0": "ens0", "1": "ens0"}, "ens0 is the interface of several rails"),
    ],
)
def test_faults(nics: list[dict[str, Any]], rails: dict[str, str], words: str) -> None:
    _wanted, faults = build({"nics": nics, "rails": rails})
    assert len(faults) == 1, faults
    assert words in faults[0]
    assert "Fix: " in faults[0]


@pytest.mark.parametrize("mtu", [68, 1500, 65535])
def test_mtus_that_are_fine(mtu: int) -> None:
    assert build({"nics": [{"name": "roce0", "mac": MAC, "mtu": mtu}]})[1] == []


def test_all_faults_at_once() -> None:
    assert len(build({"nics": [{"name": "lo"}, {"name": "lo", "pci": "x"}, {"name": "a", "rail": 0, "mtu": 1}]})[1]) == 6
