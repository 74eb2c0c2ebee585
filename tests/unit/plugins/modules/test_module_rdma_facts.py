# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module rdma_facts, on this machine and on trees of our own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.railyard.sglang.plugins.modules import rdma_facts
from ansible_collections.railyard.sglang.tests.unit.support.modules import run
from ansible_collections.railyard.sglang.tests.unit.support.sysfs import Host, hgx


@pytest.mark.parametrize("check", [False, True])
def test_this_machine(check: bool) -> None:
    result = run(rdma_facts.main, {}, check)
    assert set(result) == {"changed", "ansible_facts"}
    assert result["changed"] is False
    (facts,) = result["ansible_facts"].values()
    assert list(result["ansible_facts"]) == ["rdma"]
    devices = Path("/sys/class/infiniband")
    if not devices.is_dir():
        assert (facts["present"], facts["devices"], facts["selection"]["data_devices"]) == (False, [], [])


def test_a_machine_with_eight_rails(tmp_path: Path) -> None:
    hgx(Host(tmp_path), 8, management=(1, 2, 7, 8), slots=4)
    facts = run(rdma_facts.main, {"root": str(tmp_path)})["ansible_facts"]["rdma"]
    assert facts["present"]
    assert facts["selection"]["data_devices"] == [f"mlx5_{index}" for index in (0, 3, 4, 5, 6, 9, 10, 11)]
    assert [gpu["nics"] for gpu in facts["gpus"]] == [[name] for name in facts["selection"]["data_devices"]]


@pytest.mark.parametrize(
    ("arguments", "devices"),
    [
        ({"include": ["mlx5_1"]}, ["mlx5_1"]),
        ({"exclude": ["mlx5_0", "mlx5_1"]}, ["mlx5_2", "mlx5_3"]),
        ({"link_layer": "InfiniBand"}, []),
        ({"address_range": "192.0.2.2/31"}, ["mlx5_1", "mlx5_2"]),
        ({"min_rate_gbps": 800}, []),
    ],
)
def test_what_the_operator_says(tmp_path: Path, arguments: dict[str, Any], devices: list[str]) -> None:
    hgx(Host(tmp_path), 4, slots=4)
    result = run(rdma_facts.main, {"root": str(tmp_path), "selection": arguments, "subsets": ["select"]})
    facts = result["ansible_facts"]["rdma"]
    assert facts["selection"]["data_devices"] == devices
    assert (facts["system"], facts["interfaces"]) == ({}, {})


def test_subsets_and_units(tmp_path: Path) -> None:
    host = hgx(Host(tmp_path), 2, slots=4)
    host.file("/etc/systemd/system/sglang-prefill-0.service", "[Service]\nLimitMEMLOCK=infinity\n")
    asked = {"root": str(tmp_path), "subsets": ["system"], "units": ["sglang-prefill-0.service"]}
    facts = run(rdma_facts.main, asked)["ansible_facts"]["rdma"]
    assert (facts["devices"], facts["gpus"], "selection" in facts) == ([], [], False)
    assert facts["system"]["memlock"]["units"]["sglang-prefill-0.service"]["value"] == "infinity"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"root": "/no/such/directory"}, "root: there is no directory /no/such/directory"),
        ({"selection": {"address_range": "somewhere"}}, "selection.address_range: "),
        ({"subsets": ["everything"]}, "value of subsets must be one or more of: rdma, gpu, net, system, select"),
        ({"selection": {"link_layer": "ATM"}}, "value of link_layer must be one of: auto, InfiniBand, Ethernet"),
    ],
)
def test_wrong_parameters_are_the_only_failures(arguments: dict[str, Any], message: str) -> None:
    result = run(rdma_facts.main, arguments)
    assert result["failed"]
    assert message in result["msg"]
